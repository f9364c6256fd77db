//! What the API shows of hosts and their guests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, GuestRow, GuestState, HostId, Mark, Rest};

/// How a host stands in the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It belongs to the fleet; as long as it is silent it needs everything.
    Active,
    /// A person, or fencing, has said that it will not come back.
    Retired,
    /// A newer version has a word for it.
    #[serde(other)]
    Unknown,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostView {
    /// Its id.
    pub host: HostId,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it stands.
    pub state: HostState,
    /// Whether it gave a sign of life lately: a hint, nothing is decided by it.
    pub alive: bool,
    /// Which installation of the agent.
    pub instance: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// The number of its last report that changed something.
    pub sequence: u64,
    /// The agent's version.
    pub agent_version: String,
    /// When it last reported a change, in RFC 3339: for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<String>,
    /// How many guests it has.
    pub guest_count: u64,
    /// How many builds its store holds.
    pub build_count: u64,
    /// How many builds it needs.
    pub use_count: u64,
    /// What it has acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Mark>,
    /// The revision at which its record last changed, for `If-Match`.
    pub revision: u64,
    /// What a newer version says besides.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One guest and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestView {
    /// Its host.
    pub host: HostId,
    /// What its host reported.
    #[serde(flatten)]
    pub guest: GuestRow,
}

impl GuestView {
    /// Whether the guest runs, or will run, a build.
    #[must_use]
    pub fn takes(&self, build: &Digest) -> bool {
        let row = &self.guest;
        [&row.build, &row.next_build, &row.next_reset]
            .iter()
            .any(|taken| taken.as_ref() == Some(build))
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> GuestState {
        self.guest.state
    }
}
