//! Which hosts, guests, builds or events are wanted.

use fm_api::v1::fleet::{BuildState, Digest, EventKind, GuestState, HostId, HostState};

/// Which hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFilter {
    /// Only those that stand so.
    pub state: Option<HostState>,
    /// Only those that need this build.
    pub build: Option<Digest>,
    /// Only those that gave a sign of life lately, or did not.
    pub alive: Option<bool>,
}

/// Which guests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestFilter {
    /// Only those that run this build or take it at their next cold boot.
    pub build: Option<Digest>,
    /// Only those of this host.
    pub host: Option<HostId>,
    /// Only the one with this uuid.
    pub uuid: Option<String>,
    /// Only those whose name holds this.
    pub name: Option<String>,
    /// Only those whose variable store has this layout.
    pub layout: Option<String>,
    /// Only those with Secure Boot on, or off.
    pub secure_boot: Option<bool>,
    /// Only those that do this.
    pub state: Option<GuestState>,
    /// Only those with this generation of certificates in any of their keys.
    pub certificate: Option<String>,
    /// Only those whose next cold boot takes another build, or takes the same.
    pub drifts: Option<bool>,
}

/// Which builds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildFilter {
    /// Only those that stand so.
    pub state: Option<BuildState>,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those behind this one.
    pub after: Option<u64>,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only of this host.
    pub host: Option<HostId>,
    /// Only of this guest.
    pub guest: Option<String>,
    /// Only of this build.
    pub build: Option<Digest>,
}
