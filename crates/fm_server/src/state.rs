//! What all requests share.

use std::sync::Arc;

use fm_fleet::Fleet;
use fm_pages::Site;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::pki::Signer;
use crate::uploads::Uploads;
use fm_access::Ledger;

/// Streams of events that are open at once.
const MAX_STREAM_COUNT: usize = 64;

/// Cheap to clone: all clones are one.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

struct Parts {
    fleet: Fleet,
    ledger: Ledger,
    signer: Option<Signer>,
    ca: String,
    metrics: Metrics,
    uploads: Uploads,
    streams: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(
        fleet: Fleet,
        signer: Option<Signer>,
        ca: String,
        metrics: Metrics,
        uploads: Uploads,
    ) -> Self {
        let ledger = Ledger::new(Arc::clone(fleet.records()));
        Self(Arc::new(Parts {
            fleet,
            ledger,
            signer,
            ca,
            metrics,
            uploads,
            streams: Arc::new(Semaphore::new(MAX_STREAM_COUNT)),
        }))
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.0.signer.as_ref()
    }

    /// The CA's certificate, in PEM.
    pub(crate) fn ca(&self) -> &str {
        &self.0.ca
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn uploads(&self) -> &Uploads {
        &self.0.uploads
    }

    /// What the pages are made of.
    pub(crate) fn site(&self) -> Site {
        Site::new(
            self.0.fleet.clone(),
            self.0.ledger.clone(),
            Arc::clone(&self.0.streams),
        )
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }
}
