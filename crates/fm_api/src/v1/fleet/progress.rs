//! How far a host has come with what is wanted of its guests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Rest};

/// How far a guest has come with what a rollout wants of it, in its host's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestProgress {
    /// Which guest.
    pub guest: String,
    /// The rollout that wants it.
    pub rollout: String,
    /// The build that is to be taken, or, on the way back, the one that was.
    pub build: Digest,
    /// How far.
    pub state: ProgressState,
    /// What was seen that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Variables that the guest wrote since it had taken the build, which going back to the old ones would lose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// How far a guest has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// Its wave has not begun; no host says so.
    Planned,
    /// Nothing is changed: it waits until the guest is off, its build has come, or its window opens.
    Waiting,
    /// Its next start takes the build.
    Armed,
    /// It runs the build, and has not shown yet that it boots.
    Booting,
    /// It has booted the build.
    Healthy,
    /// It did not boot it in time, or ended before.
    Failed,
    /// Its host has judged that it must not, or cannot.
    Refused,
    /// It goes back at its next start.
    Reverting,
    /// It has the old build again.
    Reverted,
    /// It goes back once a person has decided what becomes of the variables that it wrote.
    Undecided,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}
