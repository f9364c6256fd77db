//! What the pages are made of.

use std::sync::Arc;

use fm_access::Ledger;
use fm_fleet::Fleet;
use tokio::sync::Semaphore;

/// The fleet that the pages show, and who may see them. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Site {
    fleet: Fleet,
    ledger: Ledger,
    streams: Arc<Semaphore>,
}

impl Site {
    /// Pages of `fleet`, for those whom `ledger` knows. Each stream of events that is open has one of `streams`.
    #[must_use]
    pub fn new(fleet: Fleet, ledger: Ledger, streams: Arc<Semaphore>) -> Self {
        Self {
            fleet,
            ledger,
            streams,
        }
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.streams
    }
}
