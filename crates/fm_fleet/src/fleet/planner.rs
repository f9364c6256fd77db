//! The elected planner's work: condemn what nobody needs, hear every host, wait, delete.
//!
//! No step relies on a clock or a lock. A planner that was deposed without noticing cannot change a record, because
//! each of its transactions relies on the record of its election; and a deletion of its that comes late names the
//! manifest of a generation that is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use fm_api::v1::fleet::{BuildState, Digest, Event, EventKind, Mark, Rest};

use super::events::event;
use super::inner::{Inner, Stored, lock, random_name, write};
use super::keys;
use super::options::PlannerOptions;
use super::record::{BuildRecord, CollectionRecord, PlannerRecord, Record as _};
use super::refresh::Views;
use super::rollouts::{self, RolloutStep, Rollouts};
use crate::{Error, Result};
use fm_records::{LeaseId, Outcome, Revision, Transaction};

/// Wants to be the one that collects; any number may want it.
pub struct Planner {
    inner: Arc<Inner>,
    views: Arc<Views>,
    name: String,
    options: PlannerOptions,
    term: Option<Term>,
    rollouts: Rollouts,
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
    /// What it did for rollouts.
    pub rollouts: RolloutStep,
}

/// An election that was won.
#[derive(Debug, Clone)]
struct Term {
    name: String,
    lease: LeaseId,
    created: Revision,
    epoch: String,
    meta: Revision,
}

impl Planner {
    pub(super) fn new(inner: Arc<Inner>, views: Arc<Views>, name: String, options: PlannerOptions) -> Self {
        Self {
            inner,
            views,
            name,
            options,
            term: None,
            rollouts: Rollouts::default(),
        }
    }

    /// Stands for election or renews it, and takes the collection one step further. To be called every few seconds,
    /// more often than the lease lasts.
    ///
    /// # Errors
    /// [`Error::Deposed`] if another planner was elected meanwhile; the next step stands again.
    pub async fn step(&mut self) -> Result<Step> {
        let Some(term) = self.lead().await? else {
            return Ok(Step::default());
        };
        // Neither waits for the other: what stands in the way of one may not be in the way of the other.
        let collected = self.collect(&term).await;
        let fenced = self.fenced(&term);
        let taken_on = rollouts::step(&self.inner, &self.views, &fenced, &mut self.rollouts).await;
        let done = collected.and_then(|step| {
            let rollouts = taken_on?;
            Ok(Step { rollouts, ..step })
        });
        if done.is_err() {
            // Whatever it was: the next step begins with a look at the election.
            self.check(&term).await?;
        }
        done
    }

    /// Gives the election up, so that another need not wait for the lease to run out.
    pub async fn resign(&mut self) -> Result<()> {
        match self.term.take() {
            Some(term) => Ok(self.inner.records.revoke(term.lease).await?),
            None => Ok(()),
        }
    }

    async fn check(&mut self, term: &Term) -> Result<()> {
        let found = self.inner.records.get(keys::PLANNER).await?;
        if found.entry.is_none_or(|entry| entry.created != term.created) {
            self.term = None;
            self.rollouts = Rollouts::default();
        }
        Ok(())
    }

    /// The term of this planner, if it is the elected one.
    async fn lead(&mut self) -> Result<Option<Term>> {
        let (meta, _) = self.inner.meta_to_write().await?;
        if let Some(term) = self.term.clone() {
            let is_renewed = self.inner.records.renew(term.lease).await?;
            let found = self.inner.records.get(keys::PLANNER).await?.entry;
            let is_ours = found.is_some_and(|entry| entry.created == term.created);
            if is_renewed && is_ours && term.epoch == meta.value.epoch {
                // Something else about the fleet may have changed, which ends no term.
                let term = Term {
                    meta: meta.modified,
                    ..term
                };
                self.term = Some(term.clone());
                return Ok(Some(term));
            }
            self.rollouts = Rollouts::default();
            // In a new epoch even the same planner begins anew: no answer from before counts.
            self.resign().await?;
        }
        if self.inner.records.get(keys::PLANNER).await?.entry.is_some() {
            return Ok(None);
        }
        let lease = self.inner.records.lease(self.options.lease).await?;
        let record = PlannerRecord {
            schema: PlannerRecord::SCHEMA,
            name: self.name.clone(),
            term: random_name()?,
            epoch: meta.value.epoch.clone(),
            rest: Rest::new(),
        };
        let stand = Transaction::new()
            .if_absent(keys::PLANNER)
            .if_unchanged(keys::META, Some(meta.modified))
            .put_leased(keys::PLANNER, write(keys::PLANNER, &record)?, Some(lease));
        let Outcome::Committed(created) = self.inner.records.transact(stand).await? else {
            self.inner.records.revoke(lease).await?;
            return Ok(None);
        };
        let term = Term {
            name: record.term,
            lease,
            created,
            epoch: record.epoch,
            meta: meta.modified,
        };
        self.term = Some(term.clone());
        *lock(&self.inner.grace) = (BTreeMap::new(), self.options.grace);
        let mut elected = event(EventKind::PlannerElected, self.inner.clock.display());
        elected.by = Some(self.name.clone());
        self.inner.note(vec![elected]).await?;
        Ok(Some(term))
    }

    async fn collect(&self, term: &Term) -> Result<Step> {
        let mut step = Step {
            leads: true,
            ..Step::default()
        };
        let mut builds: BTreeMap<Digest, Stored<BuildRecord>> = BTreeMap::new();
        let take = |key: &str, record: Stored<BuildRecord>| {
            if let Some(build) = keys::behind(key, keys::BUILDS) {
                builds.insert(build, record);
            }
        };
        self.inner.scan(keys::BUILDS, None, take).await?;
        for (build, record) in &builds {
            if record.value.state == BuildState::Deleting {
                self.finish(term, build, record, &mut step).await?;
            }
        }
        self.hear(term, &builds, &mut step).await?;
        self.condemn(term, &builds, &mut step).await?;
        Ok(step)
    }

    /// Relies on this planner's being the elected one, in the epoch that it was elected in.
    fn fenced(&self, term: &Term) -> Transaction {
        Transaction::new()
            .if_created(keys::PLANNER, term.created)
            .if_unchanged(keys::META, Some(term.meta))
    }

    fn told(&self, kind: EventKind, build: &Digest, why: String) -> Event {
        let mut told = event(kind, self.inner.clock.display());
        told.build = Some(build.clone());
        told.by = Some("planner".into());
        told.why = Some(why);
        told
    }

    /// Puts a build into another state, if its record is at `revision` still. Gives the new revision.
    async fn turn(
        &self,
        term: &Term,
        build: &Digest,
        record: &Stored<BuildRecord>,
        state: BuildState,
        (kind, why): (EventKind, String),
    ) -> Result<Option<Revision>> {
        let key = keys::build(build);
        let mut next = record.value.clone();
        next.state = state;
        if state == BuildState::Purged {
            next.manifest = None;
        }
        let turn = self
            .fenced(term)
            .if_unchanged(&key, Some(record.modified))
            .put(&key, write(&key, &next)?);
        let done = self
            .inner
            .transact_with(turn, vec![self.told(kind, build, why)])
            .await?;
        if done.is_none() {
            let found = self.inner.records.get(keys::PLANNER).await?.entry;
            if found.is_none_or(|entry| entry.created != term.created) {
                return Err(Error::Deposed);
            }
        }
        Ok(done)
    }

    /// Hears what every host says about the condemned builds, and deletes what has waited long enough.
    async fn hear(
        &self,
        term: &Term,
        builds: &BTreeMap<Digest, Stored<BuildRecord>>,
        step: &mut Step,
    ) -> Result<()> {
        let condemned: Vec<(&Digest, &Stored<BuildRecord>)> = builds
            .iter()
            .filter(|(_, record)| record.value.state == BuildState::Condemned)
            .collect();
        lock(&self.inner.grace).0.retain(|build, (revision, _)| {
            condemned
                .iter()
                .any(|(condemned, record)| *condemned == build && record.modified == *revision)
        });
        let Some(newest) = condemned.iter().map(|(_, record)| record.modified).max() else {
            return Ok(());
        };
        self.ask(term, newest).await?;
        let census = self.inner.census(None).await?;
        let mut awaited_count = 0;
        for (build, record) in condemned {
            if census.used.contains(build) || !record.value.pins.is_empty() {
                let why = "it is needed after all".to_owned();
                let told = (EventKind::BuildRevived, why);
                if self
                    .turn(term, build, record, BuildState::Live, told)
                    .await?
                    .is_some()
                {
                    step.revived.push(build.clone());
                }
                continue;
            }
            let mark = Mark {
                term: term.name.clone(),
                revision: record.modified,
            };
            let awaited = census.awaited(&mark, &term.epoch).count() as u64;
            awaited_count = awaited_count.max(awaited);
            if awaited > 0 {
                lock(&self.inner.grace).0.remove(build);
                continue;
            }
            if self.is_in_grace(build, record.modified) {
                continue;
            }
            let why = format!(
                "no host needed it at revision {}, and every host has answered to revision {}",
                census.revision, record.modified
            );
            let told = (EventKind::BuildDeleting, why);
            if let Some(revision) = self.turn(term, build, record, BuildState::Deleting, told).await? {
                let mut deleting = record.clone();
                deleting.value.state = BuildState::Deleting;
                deleting.modified = revision;
                self.finish(term, build, &deleting, step).await?;
            }
        }
        step.awaited_count = awaited_count;
        Ok(())
    }

    /// Whether the grace period of a build lasts, which begins now if it has not.
    fn is_in_grace(&self, build: &Digest, condemned: Revision) -> bool {
        let now = self.inner.clock.monotonic();
        let mut grace = lock(&self.inner.grace);
        let since = grace.0.entry(build.clone()).or_insert((condemned, now)).1;
        now.saturating_sub(since) < self.options.grace
    }

    /// Asks every host to acknowledge a revision, unless that was asked in this term already.
    async fn ask(&self, term: &Term, revision: Revision) -> Result<()> {
        let before: Option<Stored<CollectionRecord>> = self.inner.get(keys::COLLECTION).await?;
        let is_asked = before
            .as_ref()
            .is_some_and(|asked| asked.value.term == term.name && asked.value.revision >= revision);
        if is_asked {
            return Ok(());
        }
        let record = CollectionRecord {
            schema: CollectionRecord::SCHEMA,
            term: term.name.clone(),
            revision,
            rest: before
                .as_ref()
                .map(|asked| asked.value.rest.clone())
                .unwrap_or_default(),
        };
        let ask = self
            .fenced(term)
            .if_unchanged(keys::COLLECTION, before.map(|asked| asked.modified))
            .put(keys::COLLECTION, write(keys::COLLECTION, &record)?);
        match self.inner.transact(ask).await? {
            Some(_) => Ok(()),
            None => Err(Error::Deposed),
        }
    }

    /// Deletes the manifest of a build that is being deleted. Whoever comes second finds nothing to delete.
    async fn finish(
        &self,
        term: &Term,
        build: &Digest,
        record: &Stored<BuildRecord>,
        step: &mut Step,
    ) -> Result<()> {
        if let Some(manifest) = &record.value.manifest {
            self.inner.blobs.delete_manifest(manifest).await?;
        }
        let why = format!("generation {} is deleted", record.value.generation);
        let told = (EventKind::BuildPurged, why);
        if self
            .turn(term, build, record, BuildState::Purged, told)
            .await?
            .is_some()
        {
            lock(&self.inner.grace).0.remove(build);
            step.purged.push(build.clone());
        }
        Ok(())
    }

    /// Condemns what nobody needs as far as is known, and notes builds that are needed and not there.
    async fn condemn(
        &self,
        term: &Term,
        builds: &BTreeMap<Digest, Stored<BuildRecord>>,
        step: &mut Step,
    ) -> Result<()> {
        let (unused, lacking) = {
            let mut lists = self.views.lists.lock().await;
            lists.refresh(&self.inner).await?;
            let index = &lists.index;
            let is_unused = |build: &Digest, record: &BuildRecord| {
                record.state == BuildState::Live && record.pins.is_empty() && index.user_count(build) == 0
            };
            let unused: Vec<Digest> = builds
                .iter()
                .filter(|(build, record)| is_unused(build, &record.value))
                .map(|(build, _)| build.clone())
                .take(self.options.max_condemned_count)
                .collect();
            let mut lacking = Vec::new();
            for build in index.used() {
                let record = index.builds.get(build);
                if record.is_none_or(|record| record.value.state == BuildState::Purged) {
                    lacking.push(build.clone());
                }
            }
            (unused, lacking)
        };
        for build in lacking {
            let key = keys::build(&build);
            let found: Option<Stored<BuildRecord>> = self.inner.get(&key).await?;
            let next = match &found {
                None => Some(BuildRecord::missing()),
                Some(found) => found
                    .value
                    .needed()
                    .filter(|next| next.state == BuildState::Missing),
            };
            if let Some(next) = next {
                let change = self
                    .fenced(term)
                    .if_unchanged(&key, found.map(|found| found.modified))
                    .put(&key, write(&key, &next)?);
                self.inner.transact(change).await?;
            }
        }
        let mut newest = None;
        for build in unused {
            let Some(record) = builds.get(&build) else {
                continue;
            };
            let told = (
                EventKind::BuildCondemned,
                "no host needs it as far as is known".to_owned(),
            );
            let done = self
                .turn(term, &build, record, BuildState::Condemned, told)
                .await?;
            if let Some(revision) = done {
                newest = Some(revision);
                step.condemned.push(build);
            }
        }
        match newest {
            Some(revision) => self.ask(term, revision).await,
            None => Ok(()),
        }
    }
}
