//! What this host tells its fleet, and what it does for it.
//!
//! A thread of its own gathers, reports and uploads: nothing else of the agent, and never the hook, waits for the
//! network. What could not be sent stays in a file that is replaced whole; only the newest state matters.

mod chore;
mod gather;
mod member;
mod outbox;
mod renewal;
mod reporter;
mod rows;
mod trust;

use std::path::{Path, PathBuf};

pub use member::{Joining, Membership, join, leave, membership};
pub use reporter::{FleetEvent, Reporter, report_once, spawn};

/// Where a store's agent keeps its identity in the fleet, and what it has not told yet.
#[must_use]
pub fn folder(store: &Path) -> PathBuf {
    store.join("fleet")
}
