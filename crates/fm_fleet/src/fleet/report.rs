//! A host's report becomes records: what differs from the last is written, with what it revives and acknowledges, in
//! one transaction.

use std::collections::BTreeSet;

use fm_api::v1::fleet::{BuildState, Digest, Event, EventKind, HostId, HostReport, HostState, Mark, Rest};

use super::changes::guest_events;
use super::check::checked;
use super::events::event;
use super::inner::{Inner, MAX_ATTEMPT_COUNT, Stored, write};
use super::keys;
use super::meta::set_back;
use super::prepared::Prepared;
use super::record::{
    AckRecord, BuildRecord, CollectionRecord, GuestsRecord, HostRecord, MetaRecord, ProgressRecord,
    Record as _, UseRecord, Uses,
};
use super::shards::{Shard, short_digest};
use crate::{Error, Result};
use fm_records::{Revision, Transaction};

/// So many builds are newly needed in one transaction; more are announced before.
const MAX_ADDED_COUNT: usize = 24;

/// What became of a report.
pub(super) struct Reported {
    pub(super) epoch: String,
    pub(super) revision: Revision,
    pub(super) sequence: u64,
    pub(super) acknowledged: Option<Mark>,
}

impl Inner {
    /// Takes a report.
    pub(super) async fn take_report(&self, report: &HostReport) -> Result<Reported> {
        let report = checked(report.clone())?;
        let prepared = Prepared::of(&report)?;
        for _ in 0..MAX_ATTEMPT_COUNT {
            let (meta, revision) = self.meta_to_write().await?;
            let key = keys::host(&report.host);
            let host: Option<Stored<HostRecord>> = self.get(&key).await?;
            admit(&report, host.as_ref().map(|host| &host.value))?;
            if let Some(epoch) = set_back(
                &meta.value,
                revision,
                host.as_ref().map(|host| &host.value),
                &report,
            ) {
                let why = "a host has seen newer records than these: they were set back";
                self.next_epoch(&meta, epoch.as_deref(), report.host.as_str(), why)
                    .await?;
                continue;
            }
            let attempt = Attempt {
                inner: self,
                report: &report,
                prepared: &prepared,
                meta: &meta.value,
                host: host.as_ref(),
            };
            if let Some(done) = attempt.run(revision).await? {
                return Ok(done);
            }
        }
        Err(Error::Contention {
            what: format!("the record of host {}", report.host),
        })
    }
}

/// Whether the report may be taken.
fn admit(report: &HostReport, host: Option<&HostRecord>) -> Result<()> {
    let Some(host) = host else { return Ok(()) };
    if host.retired.contains(&report.instance) {
        return Err(Error::Retired {
            host: report.host.clone(),
        });
    }
    if host.state == HostState::Retired {
        return Ok(());
    }
    if host.instance != report.instance {
        return Err(Error::OtherInstance {
            host: report.host.clone(),
            recorded: host.instance.clone(),
            reported: report.instance.clone(),
        });
    }
    if report.sequence < host.sequence {
        return Err(Error::Stale {
            host: report.host.clone(),
            recorded: host.sequence,
            reported: report.sequence,
        });
    }
    Ok(())
}

/// One try to write a report down, on what the records hold right now.
struct Attempt<'a> {
    inner: &'a Inner,
    report: &'a HostReport,
    prepared: &'a Prepared,
    meta: &'a MetaRecord,
    host: Option<&'a Stored<HostRecord>>,
}

impl Attempt<'_> {
    /// The host's record if it belongs to the fleet now.
    fn active(&self) -> Option<&HostRecord> {
        self.host
            .map(|host| &host.value)
            .filter(|host| host.state == HostState::Active)
    }

    /// Nothing if somebody else changed something meanwhile.
    async fn run(&self, revision: Revision) -> Result<Option<Reported>> {
        let id = &self.report.host;
        let key = keys::host(id);
        let active = self.active();
        let next = self.prepared.record(
            self.report,
            self.host.map(|host| &host.value),
            self.inner.clock.display(),
        );
        let mut change = Transaction::new().if_unchanged(&key, self.host.map(|host| host.modified));
        let mut events = Vec::new();

        if active.map_or("", |host| &host.progress_digest) != next.progress_digest {
            self.tell_progress().await?;
        }
        let uses_changed = active.is_none_or(|host| host.use_digest != next.use_digest);
        let old_uses = match active {
            Some(_) if uses_changed => self.uses().await?,
            _ => Uses::new(),
        };
        if uses_changed {
            let new: Vec<&Digest> = self
                .prepared
                .uses
                .keys()
                .filter(|build| !old_uses.contains_key(*build))
                .collect();
            if new.len() > MAX_ADDED_COUNT && active.is_some() {
                return self.announce(old_uses, &new).await;
            }
            if new.len() > MAX_ADDED_COUNT {
                return self.join(next).await;
            }
            change = self.need(change, &new, &mut events).await?;
            change = change.put(keys::uses(id), self.prepared.use_bytes.clone());
        }
        let guests_changed = active.is_none_or(|host| host.guest_shards != next.guest_shards);
        if guests_changed && active.is_some() {
            let before = self.guests().await?;
            guest_events(
                id,
                before,
                &self.report.guests,
                &self.inner.clock.display(),
                &mut events,
            );
        }
        let before = active.map_or(&[][..], |host| &host.guest_shards);
        change = put_shards(change, &keys::guests(id), before, &self.prepared.guests);
        let before = active.map_or(&[][..], |host| &host.detail_shards);
        change = put_shards(change, &keys::detail(id), before, &self.prepared.details);
        if active.is_none_or(|host| !same(host, &next)) {
            change = change.put(&key, write(&key, &next)?);
            events.extend(self.host_events(active, &next));
        }
        let (change, acknowledged) = self.acknowledge(change, revision).await?;

        let sequence = match active {
            Some(host) if change.operations.is_empty() => host.sequence,
            // An acknowledgement alone leaves the number as it was.
            Some(host) if same(host, &next) => host.sequence,
            _ => next.sequence,
        };
        let revision = if change.operations.is_empty() {
            revision
        } else {
            match self.inner.transact(change).await? {
                Some(revision) => revision,
                None => return Ok(None),
            }
        };
        self.inner.note(events).await?;
        Ok(Some(Reported {
            epoch: self.meta.epoch.clone(),
            revision,
            sequence,
            acknowledged,
        }))
    }

    /// Writes down what the host says of rollouts, unless a later report has. On its own, because a transaction has no
    /// room for it besides the guests; the report as a whole is taken afterwards, or sent again.
    async fn tell_progress(&self) -> Result<()> {
        let key = keys::progress(&self.report.host);
        let before: Option<Stored<ProgressRecord>> = self.inner.get(&key).await?;
        if before
            .as_ref()
            .is_some_and(|before| before.value.sequence > self.report.sequence)
        {
            return Ok(());
        }
        let change = Transaction::new().if_unchanged(&key, before.map(|before| before.modified));
        let change = match &self.prepared.progress {
            Some((record, _)) => change.put(&key, write(&key, record)?),
            None => change.delete(&key),
        };
        // Somebody else was faster: a later report, or the same one again.
        self.inner.transact(change).await.map(drop)
    }

    async fn uses(&self) -> Result<Uses> {
        let record: Option<Stored<UseRecord>> = self.inner.get(&keys::uses(&self.report.host)).await?;
        Ok(record.map(|record| record.value.builds).unwrap_or_default())
    }

    async fn guests(&self) -> Result<Vec<fm_api::v1::fleet::GuestRow>> {
        let mut guests = Vec::new();
        let take = |_: &str, record: Stored<GuestsRecord>| guests.extend(record.value.guests);
        self.inner
            .scan(&keys::guests(&self.report.host), None, take)
            .await?;
        Ok(guests)
    }

    /// Builds that the host did not need before: the transaction relies on how each stands, and revives what is
    /// condemned.
    async fn need(
        &self,
        mut change: Transaction,
        new: &[&Digest],
        events: &mut Vec<Event>,
    ) -> Result<Transaction> {
        for build in new {
            let key = keys::build(build);
            let found: Option<Stored<BuildRecord>> = self.inner.get(&key).await?;
            change = change.if_unchanged(&key, found.as_ref().map(|found| found.modified));
            let next = match &found {
                None => Some(self.first_heard_of(build)),
                Some(found) => found.value.needed(),
            };
            let Some(next) = next else { continue };
            if next.state == BuildState::Live {
                let mut revived = event(EventKind::BuildRevived, self.inner.clock.display());
                revived.build = Some((*build).clone());
                revived.host = Some(self.report.host.clone());
                events.push(revived);
            }
            change = change.put(&key, write(&key, &next)?);
        }
        Ok(change)
    }

    fn first_heard_of(&self, build: &Digest) -> BuildRecord {
        let mut record = BuildRecord::missing();
        if let Some(held) = self.report.builds.iter().find(|held| held.build == *build) {
            record.name.clone_from(&held.name);
            record.version.clone_from(&held.version);
            record.size_bytes = Some(held.size_bytes).filter(|size| *size > 0);
        }
        record
    }

    /// Adds some of many builds to what the host needs; the next try finds fewer new ones. What it does not need any
    /// more stays until the report is taken as a whole.
    async fn announce(&self, mut uses: Uses, new: &[&Digest]) -> Result<Option<Reported>> {
        let some = new.get(..MAX_ADDED_COUNT).unwrap_or(new);
        let id = &self.report.host;
        for build in some {
            let reasons = self.prepared.uses.get(*build).cloned().unwrap_or_default();
            uses.insert((*build).clone(), reasons);
        }
        let Some(host) = self.host else { return Ok(None) };
        let record = UseRecord {
            schema: UseRecord::SCHEMA,
            builds: uses,
            rest: Rest::new(),
        };
        let bytes = write(&keys::uses(id), &record)?;
        let mut next = host.value.clone();
        next.use_digest = short_digest(&bytes);
        next.use_count = record.builds.len() as u64;
        let mut events = Vec::new();
        let mut change = Transaction::new().if_unchanged(keys::host(id), Some(host.modified));
        change = self.need(change, some, &mut events).await?;
        change = change
            .put(keys::uses(id), bytes)
            .put(keys::host(id), write(&keys::host(id), &next)?);
        self.inner.transact(change).await?;
        self.inner.note(events).await?;
        Ok(None)
    }

    /// A new host that needs many builds joins with none, and then announces them.
    async fn join(&self, mut next: HostRecord) -> Result<Option<Reported>> {
        let id = &self.report.host;
        let key = keys::host(id);
        let events = self.host_events(None, &next);
        let record = UseRecord {
            schema: UseRecord::SCHEMA,
            builds: Uses::new(),
            rest: Rest::new(),
        };
        let bytes = write(&keys::uses(id), &record)?;
        next.use_digest = short_digest(&bytes);
        (next.use_count, next.guest_count, next.build_count) = (0, 0, 0);
        (next.guest_shards, next.detail_shards) = (Vec::new(), Vec::new());
        let change = Transaction::new()
            .if_unchanged(&key, self.host.map(|host| host.modified))
            .put(keys::uses(id), bytes)
            .put(&key, write(&key, &next)?);
        if self.inner.transact(change).await?.is_some() {
            self.inner.note(events).await?;
        }
        Ok(None)
    }

    fn host_events(&self, before: Option<&HostRecord>, next: &HostRecord) -> Vec<Event> {
        let kind = match before {
            None => EventKind::HostJoined,
            Some(before) if before.boot_id != next.boot_id => EventKind::HostRebooted,
            Some(_) => return Vec::new(),
        };
        let mut told = event(kind, self.inner.clock.display());
        told.host = Some(self.report.host.clone());
        vec![told]
    }

    /// Notes that the host has answered the planner, if it is this planner that it answered.
    async fn acknowledge(
        &self,
        change: Transaction,
        revision: Revision,
    ) -> Result<(Transaction, Option<Mark>)> {
        let key = keys::ack(&self.report.host);
        let before: Option<Stored<AckRecord>> = match self.active() {
            Some(_) => self.inner.get(&key).await?,
            None => None,
        };
        let known = before.map(|before| Mark {
            term: before.value.term,
            revision: before.value.revision,
        });
        let Some(mark) = &self.report.acknowledged else {
            return Ok((change, known));
        };
        let asked: Option<Stored<CollectionRecord>> = self.inner.get(keys::COLLECTION).await?;
        let is_asked = asked.is_some_and(|asked| asked.value.term == mark.term);
        let is_new = known
            .as_ref()
            .is_none_or(|known| known.term != mark.term || known.revision < mark.revision);
        // Nobody has seen a revision that is not there yet.
        if !is_asked || !is_new || mark.revision > revision {
            return Ok((change, known));
        }
        let record = AckRecord {
            schema: AckRecord::SCHEMA,
            epoch: self.meta.epoch.clone(),
            term: mark.term.clone(),
            revision: mark.revision,
            rest: Rest::new(),
        };
        Ok((change.put(&key, write(&key, &record)?), Some(mark.clone())))
    }
}

/// Whether a host's record says the same, whenever it was said.
fn same(left: &HostRecord, right: &HostRecord) -> bool {
    let said = |host: &HostRecord| {
        (
            host.boot_id.clone(),
            host.name.clone(),
            host.agent_version.clone(),
            host.use_digest.clone(),
            host.guest_shards.clone(),
            host.detail_shards.clone(),
            host.progress_digest.clone(),
            host.labels.clone(),
            host.said.clone(),
        )
    };
    said(left) == said(right)
}

/// Writes the shards that differ, and takes away those that are no more.
fn put_shards(mut change: Transaction, folder: &str, before: &[String], after: &[Shard]) -> Transaction {
    for (number, shard) in after.iter().enumerate() {
        if before.get(number) != Some(&shard.digest) {
            change = change.put(keys::shard(folder, number), shard.bytes.clone());
        }
    }
    for number in after.len()..before.len() {
        change = change.delete(keys::shard(folder, number));
    }
    change
}

/// Hosts other than this one that report a guest as theirs and not as one that left.
pub(super) async fn is_elsewhere(
    inner: &Inner,
    guest: &str,
    host: &HostId,
    candidates: BTreeSet<HostId>,
) -> Result<bool> {
    use fm_api::v1::fleet::GuestState;
    for other in candidates.into_iter().filter(|other| other != host) {
        let mut is_there = false;
        let take = |_: &str, record: Stored<GuestsRecord>| {
            is_there |= record.value.guests.iter().any(|row| {
                row.uuid == guest && !matches!(row.state, GuestState::Departing | GuestState::Arriving)
            });
        };
        inner.scan(&keys::guests(&other), None, take).await?;
        if is_there {
            return Ok(true);
        }
    }
    Ok(false)
}
