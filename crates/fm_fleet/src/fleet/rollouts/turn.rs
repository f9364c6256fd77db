//! One rollout in one step of the planner: what hosts said, what is decided, how it is written down.

use std::collections::HashMap;
use std::time::Duration;

use fm_api::v1::fleet::{Event, EventKind, GuestProgress, HostId, ProgressState};
use fm_api::v1::rollout::{HealthQuestion, RolloutState};
use fm_records::Transaction;
use fm_rollout::{Command, Decision, HealthWord, Member, Situation, Stop, decide, heard, trouble_count};

use super::super::builds::{self, Change};
use super::super::events::event;
use super::super::inner::{Inner, Stored, write};
use super::super::keys;
use super::super::record::RolloutRecord;
use super::asked::Asked;
use super::begin::pin_name;
use super::change::told;
use super::members::Members;
use crate::{Error, Result};

/// Shards of guests that are written at once.
const MAX_BATCH_COUNT: usize = 50;
const MAX_BATCH_BYTES: usize = 768 << 10;
/// So many failures are told of in one step.
const MAX_EVENT_COUNT: usize = 64;

/// What is known of hosts.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Hosts that belong to the fleet, and whether they gave a sign of life lately.
    pub(super) hosts: HashMap<HostId, bool>,
    pub(super) racks: HashMap<HostId, String>,
}

/// A rollout whose turn it is.
pub(super) struct Turn<'a> {
    pub(super) inner: &'a Inner,
    pub(super) fenced: &'a Transaction,
    pub(super) world: &'a World,
    pub(super) id: &'a str,
    pub(super) record: &'a Stored<RolloutRecord>,
}

type Places = Vec<(usize, usize)>;

impl Turn<'_> {
    /// Takes the rollout on. Its record afterwards, and since when its wave is through.
    pub(super) async fn take(
        &self,
        members: &mut Members,
        said: &[(&HostId, &GuestProgress)],
        since: Option<(u32, Duration)>,
        asked: &mut Option<Asked>,
    ) -> Result<(Stored<RolloutRecord>, Option<(u32, Duration)>)> {
        let mut events = Vec::new();
        self.hear(members, said, &mut events);
        let now = self.inner.clock.monotonic();
        let since = since.filter(|(wave, _)| *wave == self.record.value.wave);
        let through_for = since.map(|(_, since)| now.saturating_sub(since));
        let mut pending = asked
            .take()
            .filter(|asked| asked.is_about(self.record.value.wave));
        let word = match &mut pending {
            Some(asked) => asked.answer().await,
            None => None,
        };
        let (decision, places, trouble_count) = self.decide(members, through_for, word.as_ref());
        if decision.asks {
            *asked = Some(match pending.filter(|_| word.is_none()) {
                Some(pending) => pending,
                None => Asked::ask(self.inner.options.health.clone(), self.question(members)),
            });
        }
        let set = |members: &mut Members, chosen: &[usize], state| {
            for place in chosen.iter().filter_map(|chosen| places.get(*chosen)) {
                members.edit(*place, |member| {
                    member.state = state;
                    member.evidence = None;
                    member.written.clear();
                });
            }
        };
        set(members, &decision.take, ProgressState::Waiting);
        set(members, &decision.withdraw, ProgressState::Planned);
        set(members, &decision.back, ProgressState::Reverting);
        self.write_members(members).await?;
        let since = decision
            .is_through
            .then(|| since.unwrap_or((self.record.value.wave, now)));
        let record = self.write(members, &decision, trouble_count, events).await?;
        Ok((record, since))
    }

    /// What hosts have said of its guests.
    fn hear(&self, members: &mut Members, said: &[(&HostId, &GuestProgress)], events: &mut Vec<Event>) {
        for (host, progress) in said {
            if progress.rollout != self.id {
                continue;
            }
            let Some(place) = members.place(&progress.guest) else {
                continue;
            };
            // A guest that has moved: its old host does not speak for it any more.
            let known = members.get(place).filter(|(at, _)| at == host);
            let Some((_, member)) = known else { continue };
            let state = self.record.value.state;
            let next = heard(state, member.state, progress.state);
            // The evidence may have become another one while it stands as it did.
            let says_more = progress.state == member.state;
            let build = member.build.clone();
            if next.is_none() && !says_more {
                continue;
            }
            members.edit(place, |member| {
                member.state = next.unwrap_or(member.state);
                member.evidence.clone_from(&progress.evidence);
                member.written.clone_from(&progress.written);
            });
            if matches!(next, Some(ProgressState::Failed | ProgressState::Refused)) {
                let mut told = event(EventKind::RolloutFailed, self.inner.clock.display());
                told.host = Some((*host).clone());
                told.guest = Some(progress.guest.clone());
                told.build = Some(build);
                told.by = Some("planner".into());
                let evidence = progress.evidence.as_deref().unwrap_or("its host did not say why");
                told.why = Some(format!("rollout {}: {evidence}", self.id));
                events.push(told);
            }
        }
        // Nobody hears of those whose hosts do not come back.
        let mut gone = Vec::new();
        for (place, host, member) in members.iter() {
            let is_on_its_way = matches!(
                member.state,
                ProgressState::Waiting
                    | ProgressState::Armed
                    | ProgressState::Booting
                    | ProgressState::Reverting
                    | ProgressState::Undecided
            );
            if is_on_its_way && !self.world.hosts.contains_key(host) {
                gone.push(place);
            }
        }
        for place in gone {
            members.edit(place, |member| {
                member.state = ProgressState::Refused;
                member.evidence = Some("its host was retired".into());
            });
        }
        events.truncate(MAX_EVENT_COUNT);
    }

    /// What is asked of a wave that is through.
    fn question(&self, members: &Members) -> HealthQuestion {
        let record = &self.record.value;
        let waves = members.counts(record.counts.len());
        let so_far = waves.iter().take(record.wave as usize + 1);
        let count = |state| -> u64 { so_far.clone().filter_map(|wave| wave.get(&state)).sum() };
        HealthQuestion {
            schema: fm_api::Schema::default(),
            rollout: self.id.to_owned(),
            spec: record.spec.clone(),
            wave: record.wave,
            healthy_count: count(ProgressState::Healthy),
            failed_count: count(ProgressState::Failed),
        }
    }

    fn decide(
        &self,
        members: &Members,
        through_for: Option<Duration>,
        word: Option<&HealthWord>,
    ) -> (Decision, Places, u64) {
        let record = &self.record.value;
        let mut places = Vec::new();
        let mut seen = Vec::new();
        for (place, host, member) in members.iter() {
            places.push(place);
            seen.push(Member {
                wave: member.wave,
                state: member.state,
                host: host.as_str(),
                rack: self.world.racks.get(host).map(String::as_str),
                is_heard: self.world.hosts.get(host).copied().unwrap_or(false),
            });
        }
        let decision = decide(&Situation {
            state: record.state,
            spec: &record.spec,
            wave: record.wave,
            accepted_count: record.accepted_count,
            through_for,
            word,
            members: &seen,
        });
        let trouble_count = trouble_count(seen.iter());
        (decision, places, trouble_count)
    }

    async fn write_members(&self, members: &mut Members) -> Result<()> {
        while !members.changed.is_empty() {
            let mut change = self.fenced.clone();
            let (mut batch, mut size_bytes) = (Vec::new(), 0);
            for number in members.changed.iter().take(MAX_BATCH_COUNT) {
                let Some(shard) = members.shards.get(*number) else {
                    continue;
                };
                let key = format!("{}{}", keys::members(self.id), shard.host);
                let bytes = write(&key, &shard.record())?;
                if !batch.is_empty() && size_bytes + bytes.len() > MAX_BATCH_BYTES {
                    break;
                }
                size_bytes += bytes.len();
                change = change.if_unchanged(&key, Some(shard.modified)).put(&key, bytes);
                batch.push(*number);
            }
            let Some(revision) = self.inner.transact(change).await? else {
                return Err(self.contention());
            };
            for number in batch {
                members.changed.remove(&number);
                if let Some(shard) = members.shards.get_mut(number) {
                    shard.modified = revision;
                }
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        members: &Members,
        decision: &Decision,
        trouble_count: u64,
        mut events: Vec<Event>,
    ) -> Result<Stored<RolloutRecord>> {
        let before = &self.record.value;
        let mut next = before.clone();
        let command = match (&decision.stop, decision.finish) {
            (Some(stop), _) => Some((Command::Pause, why(stop))),
            (None, true) => Some((Command::Finish, "every guest had its turn".into())),
            (None, false) => None,
        };
        if let Some((command, why)) = command {
            next.state = fm_rollout::next(next.state, command)?;
            next.why = Some(why);
            events.push(told(self.inner, self.id, "planner", &next));
        }
        if decision.advance {
            next.wave = next.wave.saturating_add(1);
            let mut began = event(EventKind::RolloutWave, self.inner.clock.display());
            began.by = Some("planner".into());
            began.build = next.spec.builds.first().cloned();
            began.why = Some(format!("rollout {}: wave {} begins", self.id, next.wave));
            events.push(began);
        }
        next.counts = members.counts(before.counts.len());
        next.trouble_count = trouble_count;
        next.troubles = members.troubles();
        let differs = next.state != before.state
            || next.wave != before.wave
            || next.counts != before.counts
            || next.trouble_count != before.trouble_count
            || next.troubles != before.troubles;
        if !differs {
            return Ok(self.record.clone());
        }
        let key = keys::rollout(self.id);
        let change = self
            .fenced
            .clone()
            .if_unchanged(&key, Some(self.record.modified))
            .put(&key, write(&key, &next)?);
        let done = match events.is_empty() {
            true => self.inner.transact(change).await?,
            false => self.inner.transact_with(change, events).await?,
        };
        let modified = done.ok_or_else(|| self.contention())?;
        if matches!(next.state, RolloutState::Done | RolloutState::RolledBack) {
            self.unpin(&next).await;
        }
        Ok(Stored {
            value: next,
            modified,
        })
    }

    /// Guests need the build themselves by now, or nobody does. If that fails the pin stays, which takes nothing away.
    async fn unpin(&self, record: &RolloutRecord) {
        let name = pin_name(self.id);
        for build in &record.spec.builds {
            let change = Change::Unpin(&name);
            drop(builds::change(self.inner, build, &change, "planner", None).await);
        }
    }

    fn contention(&self) -> Error {
        Error::Contention {
            what: format!("rollout {}", self.id),
        }
    }
}

fn why(stop: &Stop) -> String {
    match stop {
        Stop::FirstFailed => {
            "one of those that go first did not boot the build, or its host refused it".into()
        }
        Stop::BudgetSpent { failed_count } => {
            format!("{failed_count} guests failed, more than were allowed to")
        }
        Stop::Silent { host } => {
            format!("host {host} is silent, and nobody knows how the guests there are that are on their way")
        }
        Stop::Ill { why } => format!("guests are not well: {why}"),
        Stop::NoWord { why } => format!("nobody says whether guests are well: {why}"),
    }
}
