//! `flashmoor/host-targets/1`: what the planner wants on a host. The host's agent judges again before it acts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

use super::{Digest, HostId, Rest};

/// What the planner wants on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostTargets {
    /// `flashmoor/host-targets/1`.
    pub schema: Schema<HostTargets>,
    /// Which host.
    pub host: HostId,
    /// Builds that are to lie in its store.
    #[serde(default)]
    pub builds: Vec<BuildTarget>,
    /// What its guests are to run.
    #[serde(default)]
    pub guests: Vec<GuestTarget>,
    /// The revision at which this last changed; 0 if nothing was ever wanted.
    #[serde(default)]
    pub revision: u64,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

document!(HostTargets = "flashmoor/host-targets/1");

/// A build that is to lie in a host's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildTarget {
    /// Which.
    pub build: Digest,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// What a guest is to run from its next cold boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestTarget {
    /// Which guest.
    pub guest: String,
    /// Which build.
    pub build: Digest,
    /// The rollout that wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Whether it is to take the build, or to go back from it.
    #[serde(default)]
    pub action: TargetAction,
    /// When its host may shut it down and start it again; never if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartWindow>,
    /// How long it may take to boot the build.
    #[serde(default)]
    pub health_timeout_s: u64,
    /// On the way back, what becomes of variables that the guest wrote meanwhile.
    #[serde(default)]
    pub variables: OldVariables,
    /// The certificates that its keys gain, where the rollout is one of certificates; `build` is then what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificateSet>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a guest is to do with a build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetAction {
    /// Take it.
    #[default]
    Take,
    /// Take it at its own next reset, by an update of its memory. One that cannot be updated is refused.
    TakeAtReset,
    /// Gain certificates while it is off; what it runs stays.
    Enroll,
    /// Go back to what it had before, and to the variables of that time.
    Back,
    /// A newer version has a word for it: nothing is done.
    #[serde(other)]
    Unknown,
}

/// When a host may restart a guest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RestartWindow {
    /// The first minute of the day, in UTC, counted from midnight.
    pub from_minute: u32,
    /// The minute that the window ends before; smaller than the first if midnight is in it, the same for all day.
    pub to_minute: u32,
    /// How long the guest may take to shut down. After that it is left alone: nothing is ever killed.
    pub shutdown_timeout_s: u64,
}

/// What becomes of variables that a guest wrote after it had taken a build that it goes back from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OldVariables {
    /// Nobody has decided: a guest that wrote some does not go back yet.
    #[default]
    Ask,
    /// It keeps what it has written, where both builds lay variables out alike.
    Keep,
    /// It gets those of before back, and what it wrote is kept as a backup.
    Old,
    /// A newer version has a word for it: nobody has decided.
    #[serde(other)]
    Unknown,
}

/// A set of certificates that keys gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CertificateSet {
    /// Microsoft's of 2023, besides those that are there.
    #[serde(rename = "2023")]
    Microsoft2023,
    /// A newer version has a word for it: nothing is done.
    #[serde(rename = "unknown", other)]
    Unknown,
}

impl CertificateSet {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Microsoft2023 => "2023",
            Self::Unknown => "unknown",
        }
    }
}
