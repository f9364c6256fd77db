//! What happened in the fleet, in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, HostId, Rest};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number: grows from one event to the next, and is never used twice.
    pub id: u64,
    /// When, in RFC 3339: for display.
    pub time: String,
    /// What.
    pub kind: EventKind,
    /// Which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Which guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// Which build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// Who asked for it: a certificate's name, or `planner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A host reported for the first time.
    HostJoined,
    /// A host was started again.
    HostRebooted,
    /// A person, or fencing, retired a host.
    HostRetired,
    /// A guest appeared on a host.
    GuestAppeared,
    /// A guest is no longer on a host.
    GuestLeft,
    /// A guest runs another build than before.
    GuestChangedBuild,
    /// A build was uploaded and verified.
    BuildStored,
    /// A build's manifest or blobs are gone from the store though its record says otherwise.
    BuildLost,
    /// A build is not needed any more, as far as the records say.
    BuildCondemned,
    /// A condemned build is needed again.
    BuildRevived,
    /// A build's deletion began: nobody needs it.
    BuildDeleting,
    /// A build's manifest was deleted.
    BuildPurged,
    /// Somebody pinned a build.
    BuildPinned,
    /// Somebody took a pin away.
    BuildUnpinned,
    /// A planner was elected.
    PlannerElected,
    /// The records were set back, or somebody said so.
    EpochBegan,
    /// A rollout went from one state to another.
    RolloutChanged,
    /// A rollout's next wave began.
    RolloutWave,
    /// A guest did not boot what a rollout gave it, or its host refused.
    RolloutFailed,
    /// A guest is left out of rollouts, or not any more.
    GuestPinned,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}
