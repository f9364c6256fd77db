//! What the API asks for: one handle on records and blobs, for any number of callers at once.

mod filters;

use std::sync::Arc;
use std::time::Duration;

use fm_api::v1::fleet::{
    BuildView, Digest, Event, GuestView, HostId, HostReport, HostTargets, HostView, Page, PageRequest,
    ReportAnswer, StoredPin, Why,
};

pub use filters::{BuildFilter, EventFilter, GuestFilter, HostFilter};

use crate::blobs::{Blob, BlobReader, Blobs, FoundManifest};
use crate::records::{Records, Watch};
use crate::{Clock, Error, Result, SystemClock};

/// How a fleet is kept.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// How long a host counts as alive after its last sign of life: for display only.
    pub alive: Duration,
    /// How many events are kept.
    pub max_event_count: u64,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            alive: Duration::from_secs(90),
            max_event_count: 1_000_000,
        }
    }
}

/// The fleet. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    records: Arc<dyn Records>,
    blobs: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
    options: FleetOptions,
}

/// The fleet as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Made up when the records were.
    pub fleet_id: String,
    /// Made up anew each time the records turn out to have been set back.
    pub epoch: String,
    /// The oldest program that may read the records.
    pub min_reader: u32,
    /// The oldest program that may write them.
    pub min_writer: u32,
    /// The revision of the records.
    pub revision: u64,
}

/// A build to be stored: its files, and what is known of it.
#[derive(Debug, Clone)]
pub struct StoredBuild {
    /// Its id: the digest of the layer that is its CODE.
    pub build: Digest,
    /// Its files.
    pub layers: Vec<Layer>,
    /// What people call it.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
}

/// One file of a build.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What it is, such as `application/vnd.flashmoor.code.v1`.
    pub media_type: String,
    /// Its name, such as `CODE.fd`.
    pub title: String,
    /// Its bytes.
    pub blob: Blob,
}

/// How the planner works.
#[derive(Debug, Clone)]
pub struct PlannerOptions {
    /// How long the planner's lease lasts without renewal.
    pub lease: Duration,
    /// How long a build that nobody needs is kept all the same, by the planner's monotonic clock; begins again when
    /// the planner changes.
    pub grace: Duration,
    /// How many builds are condemned at once, at most.
    pub max_condemned_count: usize,
}

impl Default for PlannerOptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            grace: Duration::from_secs(24 * 60 * 60),
            max_condemned_count: 1000,
        }
    }
}

/// Wants to be the one that collects; any number may want it.
pub struct Planner {
    fleet: Fleet,
    name: String,
    options: PlannerOptions,
}

/// What one step of a planner did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether this planner is the elected one.
    pub leads: bool,
    /// Builds that it condemned.
    pub condemned: Vec<Digest>,
    /// Builds that turned out to be needed.
    pub revived: Vec<Digest>,
    /// Builds whose deletion it finished.
    pub purged: Vec<Digest>,
    /// How many hosts have not acknowledged yet what they are to.
    pub awaited_count: u64,
}

fn not_yet<T>() -> Result<T> {
    Err(Error::invalid("this request", "this version cannot do it yet"))
}

impl Fleet {
    /// The fleet in these records, which come into being if there are none.
    ///
    /// # Errors
    /// [`Error::TooOld`] if the records want a newer program.
    pub async fn open(
        records: Arc<dyn Records>,
        blobs: Arc<dyn Blobs>,
        clock: Option<Arc<dyn Clock>>,
        options: FleetOptions,
    ) -> Result<Self> {
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let inner = Inner {
            records,
            blobs,
            clock,
            options,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The records themselves, for others who keep some of their own under another prefix than `/fm/v1/`.
    #[must_use]
    pub fn records(&self) -> &Arc<dyn Records> {
        &self.inner.records
    }

    /// The fleet as a whole.
    pub async fn meta(&self) -> Result<Meta> {
        not_yet()
    }

    /// Begins a new epoch because the records were set back: nothing is deleted until every host has reported.
    pub async fn begin_epoch(&self, _by: &str, _why: &str) -> Result<Meta> {
        not_yet()
    }

    /// Takes a host's report: writes what differs from the last, revives what is needed, and notes what it
    /// acknowledges, all of that in one transaction. The caller has checked that the host may speak for this id.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::OtherInstance`], [`Error::Retired`], [`Error::Invalid`], [`Error::TooLarge`].
    pub async fn report(&self, _report: &HostReport) -> Result<ReportAnswer> {
        not_yet()
    }

    /// Takes a sign of life of a host. Writes nothing that has to be kept.
    pub async fn sign_of_life(&self, _host: &HostId) -> Result<ReportAnswer> {
        not_yet()
    }

    /// Hosts, by id.
    pub async fn hosts(&self, _filter: &HostFilter, _page: &PageRequest) -> Result<Page<HostView>> {
        not_yet()
    }

    /// One host.
    pub async fn host(&self, _host: &HostId) -> Result<HostView> {
        not_yet()
    }

    /// Guests, by host and uuid.
    pub async fn guests(&self, _filter: &GuestFilter, _page: &PageRequest) -> Result<Page<GuestView>> {
        not_yet()
    }

    /// Builds, by digest.
    pub async fn builds(&self, _filter: &BuildFilter, _page: &PageRequest) -> Result<Page<BuildView>> {
        not_yet()
    }

    /// One build.
    pub async fn build(&self, _build: &Digest) -> Result<BuildView> {
        not_yet()
    }

    /// Why a build is kept, or what still stands in the way of its removal.
    pub async fn why(&self, _build: &Digest) -> Result<Why> {
        not_yet()
    }

    /// A person, or fencing, says that a host will not come back: it needs nothing any more.
    ///
    /// # Errors
    /// [`Error::Changed`] if `revision` is given and the host's record has another.
    pub async fn retire(&self, _host: &HostId, _by: &str, _revision: Option<u64>) -> Result<HostView> {
        not_yet()
    }

    /// Keeps a build, whoever uses it. Revives it if it was condemned.
    pub async fn pin(&self, _build: &Digest, _pin: &StoredPin, _revision: Option<u64>) -> Result<BuildView> {
        not_yet()
    }

    /// Takes a pin away.
    pub async fn unpin(
        &self,
        _build: &Digest,
        _name: &str,
        _by: &str,
        _revision: Option<u64>,
    ) -> Result<BuildView> {
        not_yet()
    }

    /// Says that a build is to go unless somebody needs it.
    pub async fn condemn(&self, _build: &Digest, _by: &str, _revision: Option<u64>) -> Result<BuildView> {
        not_yet()
    }

    /// Says that a condemned build is to stay.
    pub async fn revive(&self, _build: &Digest, _by: &str, _revision: Option<u64>) -> Result<BuildView> {
        not_yet()
    }

    /// What the planner wants on a host; empty targets with revision 0 if nothing.
    pub async fn targets(&self, _host: &HostId) -> Result<HostTargets> {
        not_yet()
    }

    /// Says what is wanted on a host, if its targets are at `targets.revision` still.
    pub async fn set_targets(&self, _targets: &HostTargets, _by: &str) -> Result<HostTargets> {
        not_yet()
    }

    /// What happened, oldest first; `filter.after` for what came since.
    pub async fn events(&self, _filter: &EventFilter, _page: &PageRequest) -> Result<Page<Event>> {
        not_yet()
    }

    /// Wakes whoever waits for events: on each notice, ask [`Fleet::events`] for what came since.
    pub async fn watch_events(&self) -> Result<Watch> {
        not_yet()
    }

    /// Stores a build: blobs, manifest, both looked at again, and only then is it live. One that is live already is
    /// checked.
    pub async fn store(&self, _build: &StoredBuild, _by: &str) -> Result<BuildView> {
        not_yet()
    }

    /// The manifest of a build that is live or condemned; nothing otherwise.
    pub async fn manifest(&self, _build: &Digest) -> Result<Option<FoundManifest>> {
        not_yet()
    }

    /// A blob of the store; nothing if it is not there.
    pub async fn blob(&self, _digest: &Digest) -> Result<Option<BlobReader>> {
        not_yet()
    }

    /// Looks whether a build that is on record as stored is in the store; if not, it is asked for again.
    pub async fn verify(&self, _build: &Digest) -> Result<BuildView> {
        not_yet()
    }

    /// Whoever calls [`Planner::step`] every few seconds takes part in the election of the planner.
    #[must_use]
    pub fn planner(&self, name: impl Into<String>, options: PlannerOptions) -> Planner {
        Planner {
            fleet: self.clone(),
            name: name.into(),
            options,
        }
    }
}

impl Planner {
    /// Stands for election or renews it, and takes the collection one step further.
    pub async fn step(&mut self) -> Result<Step> {
        let _ = (&self.fleet, &self.name, &self.options);
        not_yet()
    }

    /// Gives the election up, so that another need not wait for the lease to run out.
    pub async fn resign(&mut self) -> Result<()> {
        not_yet()
    }
}
