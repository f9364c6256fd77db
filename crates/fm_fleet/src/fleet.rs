//! What the API asks for: one handle on records and blobs, for any number of callers at once.

mod answer;
mod builds;
mod census;
mod changes;
mod check;
mod events;
mod filters;
mod health;
mod hosts;
mod index;
mod inner;
mod keys;
mod manifest;
mod meta;
mod options;
mod persons;
mod planner;
mod prepared;
mod recent;
mod record;
mod refresh;
mod report;
mod rollouts;
mod shards;
mod store;
mod summary;
mod waiting;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use fm_api::v1::fleet::{
    BuildView, Digest, Event, GuestView, HostId, HostReport, HostTargets, HostView, OldVariables, Page,
    PageRequest, ReportAnswer, StoredPin, UseReason, Why,
};

pub use filters::{BuildFilter, EventFilter, GuestFilter, HostFilter};
pub use health::HealthSource;
pub use manifest::{Layer, StoredBuild};
pub use meta::Meta;
pub use options::{FleetOptions, PlannerOptions};
pub use planner::{Planner, Step};
pub use rollouts::RolloutStep;
pub use summary::{BuildUsage, Summary};
pub use waiting::WaitingBuild;

use crate::Result;
use builds::Change;
use fm_api::v1::rollout::{GuestPin, MemberView, RolloutPlan, RolloutSpec, RolloutView};
use fm_blobs::{BlobReader, Blobs, FoundManifest, Reference};
use fm_records::{Clock, Records, SystemClock, Watch};
use fm_rollout::Command;
use inner::Inner;
use refresh::Views;

/// The fleet. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
    views: Arc<Views>,
}

impl Fleet {
    /// The fleet in these records, which come into being if there are none.
    ///
    /// # Errors
    /// [`crate::Error::TooOld`] if the records want a newer program.
    pub async fn open(
        records: Arc<dyn Records>,
        blobs: Arc<dyn Blobs>,
        clock: Option<Arc<dyn Clock>>,
        options: FleetOptions,
    ) -> Result<Self> {
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let inner = Inner::new(records, blobs, clock, options);
        inner.meta().await?;
        Ok(Self {
            inner: Arc::new(inner),
            views: Arc::default(),
        })
    }

    /// The records themselves, for others who keep some of their own under another prefix than `/fm/v1/`.
    #[must_use]
    pub fn records(&self) -> &Arc<dyn Records> {
        &self.inner.records
    }

    /// The fleet as a whole.
    pub async fn meta(&self) -> Result<Meta> {
        let (meta, revision) = self.inner.meta().await?;
        Ok(Meta {
            fleet_id: meta.value.fleet_id,
            epoch: meta.value.epoch,
            min_reader: meta.value.min_reader,
            min_writer: meta.value.min_writer,
            revision,
        })
    }

    /// Begins a new epoch because the records were set back: nothing is deleted until every host has reported.
    pub async fn begin_epoch(&self, by: &str, why: &str) -> Result<Meta> {
        self.inner.begin_epoch(by, why).await?;
        self.meta().await
    }

    /// Takes a host's report: writes what differs from the last, revives what is needed, and notes what it
    /// acknowledges, all of that in one transaction. The caller has checked that the host may speak for this id.
    ///
    /// # Errors
    /// [`crate::Error::Stale`], [`crate::Error::OtherInstance`], [`crate::Error::Retired`],
    /// [`crate::Error::Invalid`], [`crate::Error::TooLarge`].
    pub async fn report(&self, report: &HostReport) -> Result<ReportAnswer> {
        let done = self.inner.take_report(report).await?;
        answer::to_report(&self.inner, &self.views, report, done).await
    }

    /// Takes a sign of life of a host. Writes nothing that has to be kept.
    ///
    /// # Errors
    /// [`crate::Error::Retired`].
    pub async fn sign_of_life(&self, host: &HostId) -> Result<ReportAnswer> {
        answer::to_sign_of_life(&self.inner, &self.views, host).await
    }

    /// Hosts, by id.
    pub async fn hosts(&self, filter: &HostFilter, page: &PageRequest) -> Result<Page<HostView>> {
        hosts::hosts(&self.inner, &self.views, filter, page).await
    }

    /// One host.
    pub async fn host(&self, host: &HostId) -> Result<HostView> {
        hosts::host(&self.inner, &self.views, host).await
    }

    /// Guests, by host and uuid. A page may have fewer than asked for, even none, and still name a next one.
    pub async fn guests(&self, filter: &GuestFilter, page: &PageRequest) -> Result<Page<GuestView>> {
        hosts::guests(&self.inner, &self.views, filter, page).await
    }

    /// Reads where every guest is, so that nobody waits who asks for one: it takes seconds for a million.
    pub async fn locate_guests(&self) -> Result<()> {
        let mut places = self.views.places.lock().await;
        places.refresh(&self.inner).await
    }

    /// Builds, by digest.
    pub async fn builds(&self, filter: &BuildFilter, page: &PageRequest) -> Result<Page<BuildView>> {
        builds::builds(&self.inner, &self.views, filter, page).await
    }

    /// One build.
    pub async fn build(&self, build: &Digest) -> Result<BuildView> {
        builds::build(&self.inner, &self.views, build).await
    }

    /// The fleet in figures, with the builds that most guests run, at most so many of them.
    pub async fn summary(&self, count: usize) -> Result<Summary> {
        summary::summary(&self.inner, &self.views, count).await
    }

    /// For how many guests, and for what else, a build is needed.
    pub async fn usage(&self, build: &Digest) -> Result<BTreeMap<UseReason, u64>> {
        summary::usage(&self.inner, &self.views, build).await
    }

    /// Condemned builds, by digest, each with what still stands in the way of its removal.
    pub async fn waiting(&self, page: &PageRequest) -> Result<Page<WaitingBuild>> {
        waiting::waiting(&self.inner, &self.views, page).await
    }

    /// Why a build is kept, or what still stands in the way of its removal.
    pub async fn why(&self, build: &Digest) -> Result<Why> {
        why::why(&self.inner, &self.views, build).await
    }

    /// A person, or fencing, says that a host will not come back: it needs nothing any more.
    ///
    /// # Errors
    /// [`crate::Error::Changed`] if `revision` is given and the host's record has another.
    pub async fn retire(&self, host: &HostId, by: &str, revision: Option<u64>) -> Result<HostView> {
        persons::retire(&self.inner, host, by, revision).await?;
        self.host(host).await
    }

    /// Keeps a build, whoever uses it. Revives it if it was condemned.
    pub async fn pin(&self, build: &Digest, pin: &StoredPin, revision: Option<u64>) -> Result<BuildView> {
        self.change(build, &Change::Pin(pin), &pin.by, revision).await
    }

    /// Takes a pin away.
    pub async fn unpin(
        &self,
        build: &Digest,
        name: &str,
        by: &str,
        revision: Option<u64>,
    ) -> Result<BuildView> {
        self.change(build, &Change::Unpin(name), by, revision).await
    }

    /// Says that a build is to go unless somebody needs it.
    pub async fn condemn(&self, build: &Digest, by: &str, revision: Option<u64>) -> Result<BuildView> {
        self.change(build, &Change::Condemn, by, revision).await
    }

    /// Says that a condemned build is to stay, until it is condemned again.
    pub async fn revive(&self, build: &Digest, by: &str, revision: Option<u64>) -> Result<BuildView> {
        self.change(build, &Change::Revive, by, revision).await
    }

    async fn change(
        &self,
        build: &Digest,
        change: &Change<'_>,
        by: &str,
        revision: Option<u64>,
    ) -> Result<BuildView> {
        builds::change(&self.inner, build, change, by, revision).await?;
        self.build(build).await
    }

    /// What the planner wants on a host; empty targets with revision 0 if nothing.
    pub async fn targets(&self, host: &HostId) -> Result<HostTargets> {
        persons::targets(&self.inner, host).await
    }

    /// Says what is wanted on a host, if its targets are at `targets.revision` still.
    pub async fn set_targets(&self, targets: &HostTargets, by: &str) -> Result<HostTargets> {
        persons::set_targets(&self.inner, targets, by).await?;
        self.targets(&targets.host).await
    }

    /// What a rollout would do to whom. Touches nothing.
    pub async fn plan_rollout(&self, spec: &RolloutSpec) -> Result<RolloutPlan> {
        rollouts::plan(&self.inner, spec).await
    }

    /// Begins a rollout.
    ///
    /// # Errors
    /// [`crate::Error::Overlaps`] if another one has some of its guests, [`crate::Error::NobodyMoves`],
    /// [`crate::Error::NotStored`].
    pub async fn begin_rollout(&self, spec: &RolloutSpec, by: &str) -> Result<RolloutView> {
        let id = rollouts::begin(&self.inner, spec, by).await?;
        self.rollout(&id).await
    }

    /// Rollouts, the newest first, and the revision of the records.
    pub async fn rollouts(&self) -> Result<(Vec<RolloutView>, u64)> {
        rollouts::list(&self.inner).await
    }

    /// One rollout.
    pub async fn rollout(&self, id: &str) -> Result<RolloutView> {
        rollouts::one(&self.inner, id).await
    }

    /// The guests of a rollout. A page ends with a host, and may have more than was asked for.
    pub async fn rollout_guests(&self, id: &str, page: &PageRequest) -> Result<Page<MemberView>> {
        rollouts::guests(&self.inner, id, page).await
    }

    /// A person pauses, resumes, aborts or takes back a rollout, and says what becomes of variables on the way back.
    ///
    /// # Errors
    /// [`crate::Error::Rollout`] if it does not stand so that this can be done.
    pub async fn change_rollout(
        &self,
        id: &str,
        command: Command,
        variables: Option<OldVariables>,
        by: &str,
        revision: Option<u64>,
    ) -> Result<RolloutView> {
        rollouts::change(&self.inner, id, command, variables, by, revision).await?;
        self.rollout(id).await
    }

    /// Guests that rollouts leave out.
    pub async fn guest_pins(&self) -> Result<Vec<GuestPin>> {
        rollouts::pins(&self.inner).await
    }

    /// Leaves a guest out of rollouts that begin from now on.
    pub async fn pin_guest(&self, pin: &GuestPin) -> Result<()> {
        rollouts::pin(&self.inner, pin).await
    }

    /// Takes that back.
    pub async fn unpin_guest(&self, guest: &str, by: &str) -> Result<()> {
        rollouts::unpin(&self.inner, guest, by).await
    }

    /// What happened, oldest first; `filter.after` for what came since. A page may have fewer than asked for, even
    /// none, and still name a next one.
    pub async fn events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<Event>> {
        self.inner.events(filter, page).await
    }

    /// What happened, newest first; the cursor leads to what is older. A page may have fewer than asked for, even none,
    /// and still name a next one.
    pub async fn recent_events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<Event>> {
        recent::events(&self.inner, filter, page).await
    }

    /// Wakes whoever waits for events: on each notice, ask [`Fleet::events`] for what came since.
    pub async fn watch_events(&self) -> Result<Watch> {
        Ok(self.inner.records.watch(keys::EVENTS).await?)
    }

    /// Stores a build: blobs, manifest, both looked at again, and only then is it live. One that is live already is
    /// checked.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] while it is being deleted: later it can be stored again.
    pub async fn store(&self, build: &StoredBuild, by: &str) -> Result<BuildView> {
        store::store(&self.inner, build, by).await?;
        self.build(&build.build).await
    }

    /// Takes up a build that lies in the store though no record says so: of an older version, or put there by hand.
    /// Tells whether there was one.
    pub async fn adopt(&self, build: &Digest, by: &str) -> Result<bool> {
        store::adopt(&self.inner, build, by).await
    }

    /// The manifest of a build that is live or condemned; nothing otherwise.
    pub async fn manifest(&self, build: &Digest) -> Result<Option<FoundManifest>> {
        store::read_manifest(&self.inner, build).await
    }

    /// A manifest by its digest, whatever the records say of its build; nothing if it is not there.
    pub async fn manifest_at(&self, digest: &Digest) -> Result<Option<FoundManifest>> {
        let reference = Reference::Digest(digest.clone());
        Ok(self.inner.blobs.manifest(&reference).await?)
    }

    /// A blob of the store; nothing if it is not there.
    pub async fn blob(&self, digest: &Digest) -> Result<Option<BlobReader>> {
        store::read_blob(&self.inner, digest).await
    }

    /// Looks whether a build that is on record as stored is in the store; if not, it is asked for again.
    pub async fn verify(&self, build: &Digest) -> Result<BuildView> {
        store::verify(&self.inner, build).await?;
        self.build(build).await
    }

    /// Whoever calls [`Planner::step`] every few seconds takes part in the election of the planner.
    #[must_use]
    pub fn planner(&self, name: impl Into<String>, options: PlannerOptions) -> Planner {
        Planner::new(
            Arc::clone(&self.inner),
            Arc::clone(&self.views),
            name.into(),
            options,
        )
    }
}
