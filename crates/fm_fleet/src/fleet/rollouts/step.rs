//! The elected planner takes rollouts on: hears hosts, decides, writes down how guests stand, and tells hosts.
//!
//! What hosts are told follows from how guests stand, and that is written down first: a planner that ends in between has
//! left nothing that the next one does not make from there. Every change relies on the election, and what hosts are told
//! on the state of the rollouts as well, so that nobody is given anything once a pause is written down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fm_api::v1::fleet::{GuestProgress, HostId, ProgressState};
use fm_api::v1::rollout::RolloutState;
use fm_records::Transaction;

use super::super::inner::{Inner, Stored};
use super::super::keys;
use super::super::record::{ProgressRecord, RolloutRecord};
use super::super::refresh::{Followed, News, Views};
use super::asked::Asked;
use super::given::{Given, MAX_ACTIVE_COUNT, Wanted, want};
use super::known;
use super::members::Members;
use super::turn::{Turn, World};
use crate::Result;

/// Everything that hosts have said is gone through again so often, whatever the watch told.
const FULL_EVERY: u64 = 12;

/// What the planner keeps of rollouts between two steps; all of it is made anew when it is lost.
#[derive(Default)]
pub(in super::super) struct Rollouts {
    turn: u64,
    members: BTreeMap<String, Members>,
    heard: Heard,
    given: Option<Given>,
    /// Since when a rollout's wave is through.
    through: BTreeMap<String, (u32, Duration)>,
    /// Questions whether guests are well, and whose rollout they are about.
    asked: BTreeMap<String, Asked>,
}

/// What hosts have said.
struct Heard {
    followed: Followed,
    rows: HashMap<HostId, Vec<GuestProgress>>,
    fresh: BTreeSet<HostId>,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            followed: Followed::new(keys::PROGRESS),
            rows: HashMap::new(),
            fresh: BTreeSet::new(),
        }
    }
}

impl Heard {
    async fn refresh(&mut self, inner: &Inner) -> Result<()> {
        match self.followed.news(&*inner.records).await? {
            News::Some(changed) => {
                for key in changed {
                    let Some(host) = keys::behind::<HostId>(&key, keys::PROGRESS) else {
                        continue;
                    };
                    match inner.get::<ProgressRecord>(&key).await? {
                        Some(record) => drop(self.rows.insert(host.clone(), record.value.rows)),
                        None => drop(self.rows.remove(&host)),
                    }
                    self.fresh.insert(host);
                }
            }
            News::All => {
                let mut rows = HashMap::new();
                let take = |key: &str, record: Stored<ProgressRecord>| {
                    if let Some(host) = keys::behind::<HostId>(key, keys::PROGRESS) {
                        rows.insert(host, record.value.rows);
                    }
                };
                inner.scan(keys::PROGRESS, None, take).await?;
                self.rows = rows;
                self.all();
            }
        }
        Ok(())
    }

    /// What hosts have said since the last step.
    fn fresh(&self) -> Vec<(&HostId, &GuestProgress)> {
        let rows = self
            .fresh
            .iter()
            .filter_map(|host| Some((host, self.rows.get(host)?)));
        rows.flat_map(|(host, rows)| rows.iter().map(move |row| (host, row)))
            .collect()
    }

    fn all(&mut self) {
        self.fresh = self.rows.keys().cloned().collect();
    }
}

/// What one step did for rollouts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutStep {
    /// How many go on, are paused or go back.
    pub active_count: u64,
    /// How many hosts were told something else than before.
    pub told_count: u64,
}

/// One step for all rollouts. `fenced` relies on the election.
pub(in super::super) async fn step(
    inner: &Inner,
    views: &Views,
    fenced: &Transaction,
    memory: &mut Rollouts,
) -> Result<RolloutStep> {
    let done = all(inner, views, fenced, memory).await;
    if done.is_err() {
        // Whatever was lost: the records have it.
        *memory = Rollouts::default();
    }
    done
}

async fn all(
    inner: &Inner,
    views: &Views,
    fenced: &Transaction,
    memory: &mut Rollouts,
) -> Result<RolloutStep> {
    let rollouts = known::rollouts(inner).await?;
    let active: BTreeMap<String, Stored<RolloutRecord>> = rollouts
        .into_iter()
        .filter(|(_, record)| is_active(&record.value))
        .take(MAX_ACTIVE_COUNT)
        .collect();
    memory.members.retain(|id, _| active.contains_key(id));
    memory.through.retain(|id, _| active.contains_key(id));
    memory.asked.retain(|id, _| active.contains_key(id));
    if active.is_empty() && memory.given.is_none() && memory.turn > 0 {
        return Ok(RolloutStep::default());
    }
    let loads = active.keys().any(|id| !memory.members.contains_key(id));
    memory.heard.refresh(inner).await?;
    memory.turn += 1;
    if loads || memory.turn.is_multiple_of(FULL_EVERY) {
        memory.heard.all();
    }
    let world = world(inner, views, &active).await?;
    let mut wanted = Wanted::new();
    let mut relied = fenced.clone();
    for (id, record) in &active {
        let mut members = match memory.members.remove(id) {
            Some(members) => members,
            None => Members::load(inner, id).await?,
        };
        relocate(inner, views, &mut members).await?;
        let one = Turn {
            inner,
            fenced,
            world: &world,
            id,
            record,
        };
        let since = memory.through.get(id).copied();
        let mut asked = memory.asked.remove(id);
        let said = memory.heard.fresh();
        let (record, since) = one.take(&mut members, &said, since, &mut asked).await?;
        memory.asked.extend(asked.map(|asked| (id.clone(), asked)));
        match since {
            Some(since) => drop(memory.through.insert(id.clone(), since)),
            None => drop(memory.through.remove(id)),
        }
        want(id, &record.value, &members, &mut wanted);
        relied = relied.if_unchanged(keys::rollout(id), Some(record.modified));
        memory.members.insert(id.clone(), members);
    }
    memory.heard.fresh.clear();
    let mut given = match memory.given.take() {
        Some(given) => given,
        None => Given::load(inner).await?,
    };
    let told_count = given.tell(inner, &relied, wanted).await?;
    if !active.is_empty() {
        memory.given = Some(given);
    }
    Ok(RolloutStep {
        active_count: active.len() as u64,
        told_count,
    })
}

/// Whether something is still to be done or heard. What was aborted has guests that were on their way.
fn is_active(record: &RolloutRecord) -> bool {
    let on_their_way = || {
        let states = [
            ProgressState::Waiting,
            ProgressState::Armed,
            ProgressState::Booting,
        ];
        let mut counts = record.counts.iter();
        counts.any(|wave| {
            states
                .iter()
                .any(|state| wave.get(state).is_some_and(|count| *count > 0))
        })
    };
    match record.state {
        RolloutState::Running | RolloutState::Paused | RolloutState::RollingBack => true,
        RolloutState::Aborted => on_their_way(),
        RolloutState::Planned | RolloutState::RolledBack | RolloutState::Done | RolloutState::Unknown => {
            false
        }
    }
}

async fn world(
    inner: &Inner,
    views: &Views,
    active: &BTreeMap<String, Stored<RolloutRecord>>,
) -> Result<World> {
    let mut world = World::default();
    {
        let mut lists = views.lists.lock().await;
        lists.refresh(inner).await?;
        let index = &lists.index;
        for host in index.uses.keys() {
            world.hosts.insert(host.clone(), index.alive.contains(host));
        }
    }
    if active.values().any(|record| record.value.spec.max_per_rack > 0) {
        for (host, mut labels) in known::labels(inner).await? {
            if let Some(rack) = labels.remove("rack") {
                world.racks.insert(host, rack);
            }
        }
    }
    Ok(world)
}

/// Guests that are on their way and have moved to another host are looked after there.
async fn relocate(inner: &Inner, views: &Views, members: &mut Members) -> Result<()> {
    let mut places = views.places.lock().await;
    places.refresh(inner).await?;
    let mut moved = Vec::new();
    for (place, host, member) in members.iter() {
        if matches!(
            member.state,
            ProgressState::Planned | ProgressState::Refused | ProgressState::Reverted
        ) {
            continue;
        }
        let found = places.places.of(&member.guest);
        // One that is off is nowhere, and stays where it was.
        if !found.contains(host)
            && let Some(now) = found.into_iter().next()
        {
            moved.push((place, now));
        }
    }
    for (place, host) in moved {
        members.edit(place, |member| member.host = Some(host));
    }
    Ok(())
}
