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
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}
