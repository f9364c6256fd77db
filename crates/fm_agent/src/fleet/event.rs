//! What happens between a host and its fleet, for the agent's log.

/// What the reporter did, for the agent's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetEvent {
    /// The fleet has everything.
    Reached {
        /// What it calls this host.
        host: String,
    },
    /// The fleet does not answer, or refuses; it is tried again.
    Lost {
        /// Why, in one line.
        why: String,
    },
    /// A build was brought to the fleet.
    Uploaded {
        /// Which.
        build: String,
    },
    /// A build that a guest of this host needs came from the fleet.
    Fetched {
        /// Which.
        build: String,
        /// The host that gave it, if that was no server of the fleet.
        peer: Option<String>,
    },
    /// Such a build could not be had.
    NotFetched {
        /// Which.
        build: String,
        /// Why, in one line.
        why: String,
    },
}
