//! The fleet's records, blobs and history: who runs which firmware cluster-wide, and which builds may go.
//!
//! ```text
//! Fleet        what the API asks for: report, hosts, guests, builds, why, retire, pin, events, targets
//! Planner      the elected one: condemns, waits for every host, deletes
//! ```
//!
//! No clock and no lock decides anything: decisions are compare-and-swap, and silence never permits a deletion.

#![forbid(unsafe_code)]

mod error;
mod fleet;

pub use error::Error;
pub use fleet::{
    BuildFilter, BuildUsage, EventFilter, Fleet, FleetOptions, GuestFilter, HealthSource, HostFilter, Layer,
    Meta, Planner, PlannerOptions, RolloutStep, Step, StoredBuild, Summary, WaitingBuild,
};
pub use fm_rollout::{Command as RolloutCommand, HealthWord};

/// What every operation of the fleet returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
