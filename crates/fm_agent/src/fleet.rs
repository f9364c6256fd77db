//! What this host tells its fleet, and what it does for it.
//!
//! A thread of its own gathers, reports, uploads and fetches: nothing else of the agent waits for the network, and the
//! hook only for an answer of its own agent's, for a part of its deadline. What could not be sent stays in a file that is replaced whole; only the newest state matters.

mod chore;
mod event;
mod facts;
mod fetch;
mod gather;
mod labels;
mod member;
mod needs;
mod outbox;
mod renewal;
mod reporter;
mod rows;
mod shelf;
mod supplier;
mod trust;

use std::path::{Path, PathBuf};

pub use event::FleetEvent;
pub use labels::{labels, set_labels};
pub use member::{Joining, join, leave, membership};
pub use reporter::{Reporter, report_once, spawn};
pub use shelf::Shelf;

/// Where a store's agent keeps its identity in the fleet, and what it has not told yet.
#[must_use]
pub fn folder(store: &Path) -> PathBuf {
    store.join("fleet")
}
