//! What the API shows of builds: how each stands, and the proof of why it is kept or may go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

use super::{BuildFacts, Digest, HostId, Rest, UseReason};

/// How a build stands in the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    /// Known from reports, not uploaded yet, or lost by the registry.
    Missing,
    /// Uploaded and verified.
    Live,
    /// Not needed as far as the records say; every host is being asked.
    Condemned,
    /// Nobody needs it: its manifest is being deleted.
    Deleting,
    /// Its manifest is deleted.
    Purged,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}

/// One build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildView {
    /// Its id: the sha256 of CODE.
    pub build: Digest,
    /// How it stands.
    pub state: BuildState,
    /// Grows each time the build comes back after it was purged.
    pub generation: u64,
    /// The digest of its manifest, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// The size of its CODE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it shows, if it was brought by an agent that looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<BuildFacts>,
    /// Why somebody keeps it, whoever uses it.
    #[serde(default)]
    pub pins: Vec<StoredPin>,
    /// How many hosts need it.
    pub user_count: u64,
    /// The revision at which its record last changed, for `If-Match`.
    pub revision: u64,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A build that is kept fleet-wide by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredPin {
    /// The pin's name; one name is there once.
    pub name: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who set it.
    #[serde(default)]
    pub by: String,
}

/// `flashmoor/fleet-why/1`: why a build is kept, or what still stands in the way of its removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// `flashmoor/fleet-why/1`.
    pub schema: Schema<Why>,
    /// Its id.
    pub build: Digest,
    /// How it stands.
    pub state: BuildState,
    /// Which generation.
    pub generation: u64,
    /// Who needs it, host by host, at `revision`.
    pub needed_by: Vec<Need>,
    /// How many needs there are, if `needed_by` does not hold them all.
    pub need_count: u64,
    /// What else stands in the way of its removal.
    pub blocked_by: Vec<Obstacle>,
    /// How many obstacles there are, if `blocked_by` does not hold them all.
    pub obstacle_count: u64,
    /// The revision at which it was condemned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned_revision: Option<u64>,
    /// The revision of the records that this proof was read at.
    pub revision: u64,
}

document!(Why = "flashmoor/fleet-why/1");

/// One need for a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    /// The host that needs it.
    pub host: HostId,
    /// For this guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// Why.
    pub reason: UseReason,
    /// The revision of the record that says so.
    pub revision: u64,
}

/// One thing that stands in the way of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obstacle {
    /// What.
    pub kind: ObstacleKind,
    /// Which host, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Which pin, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// How long the grace period still lasts, by the planner's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// What stands in the way of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleKind {
    /// Somebody pinned it.
    Pinned,
    /// It was not condemned yet: the planner has not come to it.
    NotCondemned,
    /// No planner is elected.
    NoPlanner,
    /// The host is silent: it gave no sign of life and has not acknowledged. It needs everything.
    SilentHost,
    /// The host is there and has not acknowledged yet.
    AwaitedHost,
    /// The grace period lasts.
    Grace,
    /// The records were set back, and this host has not reported since.
    NewEpoch,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}
