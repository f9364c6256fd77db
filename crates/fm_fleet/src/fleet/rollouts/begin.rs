//! A rollout is planned, and begins: written down whole before anything is wanted of anybody.

use std::collections::{BTreeMap, BTreeSet};

use fm_api::v1::fleet::{BuildState, HostId, OldVariables, ProgressState, Rest, StoredPin};
use fm_api::v1::rollout::{LeaveReason, RolloutPlan, RolloutSpec, RolloutState};
use fm_records::Transaction;
use fm_rollout::{Command, Planned, PlannedMember, Planner, ReportedGuest};

use super::super::builds::{self, Change};
use super::super::inner::{Inner, Stored, random_name, write};
use super::super::keys;
use super::super::record::{
    BuildRecord, MemberRecord, MembersRecord, Record as _, RolloutHeadRecord, RolloutRecord,
};
use super::change::told;
use super::{known, pins};
use crate::{Error, Result};

/// Records and bytes of one transaction, so that it stays within what every engine takes.
const MAX_BATCH_COUNT: usize = 100;
const MAX_BATCH_BYTES: usize = 768 << 10;
/// A record's members: a host has no more guests than that anyway.
const MAX_ROLLOUT_COUNT: usize = 1000;

/// What would happen to whom.
pub(in super::super) async fn plan(inner: &Inner, spec: &RolloutSpec) -> Result<RolloutPlan> {
    let rollouts = known::rollouts(inner).await?;
    let taken = known::taken(inner, &rollouts).await?;
    Ok(planned(inner, "plan", spec, &taken, false).await?.plan)
}

async fn planned(
    inner: &Inner,
    id: &str,
    spec: &RolloutSpec,
    taken: &BTreeSet<String>,
    with_members: bool,
) -> Result<Planned> {
    fm_rollout::check(spec)?;
    for build in spec.builds.iter().chain(&spec.from) {
        let found: Option<Stored<BuildRecord>> = inner.get(&keys::build(build)).await?;
        found.ok_or_else(|| Error::NoBuild { build: build.clone() })?;
    }
    let builds = known::builds(inner).await?;
    let labels = known::labels(inner).await?;
    let pinned = pins::pins(inner)
        .await?
        .into_iter()
        .map(|pin| pin.guest)
        .collect();
    let none = BTreeMap::new();
    let mut planner = Planner::new(id, spec, &builds, &pinned, taken)?;
    if with_members {
        planner = planner.with_members();
    }
    let revision = known::guests(inner, |host, guest| {
        planner.add_guest(&ReportedGuest {
            host,
            labels: labels.get(host).unwrap_or(&none),
            guest,
        });
    })
    .await?;
    Ok(planner.finish(revision))
}

/// Begins a rollout, and tells its id.
///
/// # Errors
/// [`Error::Overlaps`] if another one has some of its guests, [`Error::NobodyMoves`], [`Error::NotStored`].
pub(in super::super) async fn begin(inner: &Inner, spec: &RolloutSpec, by: &str) -> Result<String> {
    inner.meta_to_write().await?;
    fm_rollout::check(spec)?;
    if !spec.health.is_empty() {
        let asked = match &inner.options.health {
            Some(source) => source.can_ask(&spec.health),
            None => Err("webhook and no Prometheus"),
        };
        asked.map_err(|lacks| Error::NobodyToAsk { lacks })?;
    }
    let head: Option<Stored<RolloutHeadRecord>> = inner.get(keys::ROLLOUT_HEAD).await?;
    let rollouts = known::rollouts(inner).await?;
    if rollouts.len() >= MAX_ROLLOUT_COUNT {
        return Err(Error::TooLarge {
            what: "the fleet (rollouts)".into(),
            size: rollouts.len() as u64,
            limit: MAX_ROLLOUT_COUNT as u64,
        });
    }
    let unwritten = rollouts
        .iter()
        .find(|(_, record)| record.value.state == RolloutState::Planned);
    if let Some((id, _)) = unwritten {
        return Err(Error::BeingWritten { id: id.clone() });
    }
    let id = random_name()?.get(..8).unwrap_or_default().to_owned();
    let taken = known::taken(inner, &rollouts).await?;
    let Planned { plan, members } = planned(inner, &id, spec, &taken, true).await?;
    let overlap = plan
        .classes
        .iter()
        .filter(|class| class.reason == Some(LeaveReason::OtherRollout));
    let overlap: u64 = overlap.map(|class| class.guest_count).sum();
    if overlap > 0 {
        return Err(Error::Overlaps { guest_count: overlap });
    }
    if members.is_empty() {
        return Err(Error::NobodyMoves);
    }
    // Certificates leave guests the builds that they have and need anyway.
    let wanted: BTreeSet<_> = match spec.certificates {
        Some(_) => BTreeSet::new(),
        None => members.iter().map(|member| member.build.clone()).collect(),
    };
    for build in &wanted {
        let found: Option<Stored<BuildRecord>> = inner.get(&keys::build(build)).await?;
        let state = found.map(|found| found.value.state);
        if !matches!(state, Some(BuildState::Live | BuildState::Condemned)) {
            return Err(Error::NotStored { build: build.clone() });
        }
    }
    let number = head.as_ref().map_or(0, |head| head.value.count) + 1;
    let mut record = RolloutRecord {
        schema: RolloutRecord::SCHEMA,
        number,
        state: RolloutState::Planned,
        why: None,
        spec: spec.clone(),
        by: by.to_owned(),
        started: inner.clock.display(),
        wave: 0,
        counts: plan
            .waves
            .iter()
            .map(|wave| [(ProgressState::Planned, wave.guest_count)].into())
            .collect(),
        trouble_count: 0,
        accepted_count: 0,
        troubles: Vec::new(),
        variables: OldVariables::Ask,
        rest: Rest::new(),
    };
    let key = keys::rollout(&id);
    let counted = RolloutHeadRecord {
        schema: RolloutHeadRecord::SCHEMA,
        count: number,
        rest: head
            .as_ref()
            .map(|head| head.value.rest.clone())
            .unwrap_or_default(),
    };
    // Whoever begins another one at the same time has read the same number.
    let claim = Transaction::new()
        .if_unchanged(keys::ROLLOUT_HEAD, head.map(|head| head.modified))
        .if_absent(&key)
        .put(keys::ROLLOUT_HEAD, write(keys::ROLLOUT_HEAD, &counted)?)
        .put(&key, write(&key, &record)?);
    let claimed = inner.transact(claim).await?;
    let mut revision = claimed.ok_or_else(|| Error::Contention {
        what: "the list of rollouts".into(),
    })?;
    for build in &wanted {
        // Nobody needs it yet, and collection must not take it away.
        let pin = StoredPin {
            name: pin_name(&id),
            reason: format!("rollout {id}"),
            by: by.to_owned(),
        };
        builds::change(inner, build, &Change::Pin(&pin), by, None).await?;
    }
    write_members(inner, &id, revision, members).await?;
    record.state = fm_rollout::next(record.state, Command::Begin)?;
    let go = Transaction::new()
        .if_unchanged(&key, Some(revision))
        .put(&key, write(&key, &record)?);
    let begun = inner
        .transact_with(go, vec![told(inner, &id, by, &record)])
        .await?;
    revision = begun.ok_or_else(|| Error::Contention {
        what: format!("rollout {id}"),
    })?;
    debug_assert!(revision > 0, "it was written");
    Ok(id)
}

/// What the builds of a rollout are pinned with.
pub(super) fn pin_name(id: &str) -> String {
    format!("rollout-{id}")
}

/// Writes the guests down, host by host, as long as the rollout is as it was.
async fn write_members(inner: &Inner, id: &str, revision: u64, members: Vec<PlannedMember>) -> Result<()> {
    let mut hosts: BTreeMap<HostId, Vec<MemberRecord>> = BTreeMap::new();
    for member in members {
        hosts.entry(member.host).or_default().push(MemberRecord {
            guest: member.guest,
            name: member.name,
            host: None,
            from: member.from,
            build: member.build,
            wave: member.wave,
            state: ProgressState::Planned,
            evidence: None,
            written: Vec::new(),
            rest: Rest::new(),
        });
    }
    let rollout = keys::rollout(id);
    let empty = || Transaction::new().if_unchanged(&rollout, Some(revision));
    let mut batch = empty();
    let mut size_bytes = 0;
    for (host, members) in hosts {
        let key = format!("{}{host}", keys::members(id));
        let record = MembersRecord {
            schema: MembersRecord::SCHEMA,
            members,
            rest: Rest::new(),
        };
        let bytes = write(&key, &record)?;
        if batch.operations.len() >= MAX_BATCH_COUNT || size_bytes + bytes.len() > MAX_BATCH_BYTES {
            send(inner, id, std::mem::replace(&mut batch, empty())).await?;
            size_bytes = 0;
        }
        size_bytes += bytes.len();
        batch = batch.put(key, bytes);
    }
    send(inner, id, batch).await
}

async fn send(inner: &Inner, id: &str, batch: Transaction) -> Result<()> {
    match inner.transact(batch).await? {
        Some(_) => Ok(()),
        // Somebody aborted it meanwhile.
        None => Err(Error::Contention {
            what: format!("rollout {id}"),
        }),
    }
}
