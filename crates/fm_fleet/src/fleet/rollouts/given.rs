//! What hosts are told: made from how guests stand, compared with what is written down, and written where it differs.

use std::collections::{BTreeMap, HashMap};

use fm_api::v1::fleet::{GuestTarget, HostId, HostTargets, Rest, TargetAction};
use fm_records::{Revision, Transaction};
use fm_rollout::target_of;

use super::super::inner::{Inner, Stored, write};
use super::super::keys;
use super::super::record::{MemberRecord, Record as _, RolloutRecord, TargetRecord};
use super::members::Members;
use crate::{Error, Result};

/// Hosts and bytes of one transaction: a compare and a change each, besides what all of them rely on.
const MAX_BATCH_COUNT: usize = 50;
const MAX_BATCH_BYTES: usize = 768 << 10;
/// The most rollouts that go on at once, so that a transaction can rely on all of them.
pub(super) const MAX_ACTIVE_COUNT: usize = 16;

/// What is written down for hosts.
#[derive(Debug)]
pub(super) struct Given(HashMap<HostId, Stored<TargetRecord>>);

/// What hosts are to be told of their guests.
pub(super) type Wanted = BTreeMap<HostId, Vec<GuestTarget>>;

/// Adds what a rollout wants.
pub(super) fn want(id: &str, record: &RolloutRecord, members: &Members, wanted: &mut Wanted) {
    for (_, host, member) in members.iter() {
        if let Some(action) = target_of(&record.spec, record.state, member.state) {
            let targets = wanted.entry(host.clone()).or_default();
            targets.push(target(id, record, member, action));
        }
    }
}

fn target(id: &str, record: &RolloutRecord, member: &MemberRecord, action: TargetAction) -> GuestTarget {
    let spec = &record.spec;
    GuestTarget {
        guest: member.guest.clone(),
        build: match action {
            TargetAction::Back => member.from.clone(),
            TargetAction::Take | TargetAction::TakeAtReset | TargetAction::Enroll | TargetAction::Unknown => {
                member.build.clone()
            }
        },
        rollout: Some(id.to_owned()),
        action,
        restart: spec.restart.clone(),
        health_timeout_s: spec.health_timeout_s,
        variables: record.variables,
        certificates: spec.certificates,
        rest: Rest::new(),
    }
}

impl Given {
    pub(super) async fn load(inner: &Inner) -> Result<Self> {
        let mut found = HashMap::new();
        let take = |key: &str, record: Stored<TargetRecord>| {
            if let Some(host) = keys::behind(key, keys::TARGETS) {
                found.insert(host, record);
            }
        };
        inner.scan(keys::TARGETS, None, take).await?;
        Ok(Self(found))
    }

    /// Writes what differs, as long as everything in `relied` is as it was. How many hosts were told something else.
    pub(super) async fn tell(
        &mut self,
        inner: &Inner,
        relied: &Transaction,
        mut wanted: Wanted,
    ) -> Result<u64> {
        for targets in wanted.values_mut() {
            targets.sort_by(|left, right| (&left.guest, &left.rollout).cmp(&(&right.guest, &right.rollout)));
        }
        // Who was told something and is to hear nothing of it any more.
        for (host, record) in &self.0 {
            if record.value.targets.guests.iter().any(is_ours) {
                wanted.entry(host.clone()).or_default();
            }
        }
        let mut told = 0;
        let mut batch: Vec<(HostId, TargetRecord)> = Vec::new();
        let mut change = relied.clone();
        let mut size_bytes = 0;
        for (host, targets) in wanted {
            let before = self.0.get(&host);
            let modified = before.map(|before| before.modified);
            let Some(record) = differing(&host, before, targets) else {
                continue;
            };
            let key = keys::target(&host);
            let bytes = write(&key, &record)?;
            if batch.len() >= MAX_BATCH_COUNT || size_bytes + bytes.len() > MAX_BATCH_BYTES {
                let full = std::mem::replace(&mut change, relied.clone());
                self.send(inner, full, std::mem::take(&mut batch)).await?;
                size_bytes = 0;
            }
            size_bytes += bytes.len();
            change = change.if_unchanged(&key, modified).put(&key, bytes);
            batch.push((host, record));
            told += 1;
        }
        if !batch.is_empty() {
            self.send(inner, change, batch).await?;
        }
        Ok(told)
    }

    async fn send(
        &mut self,
        inner: &Inner,
        change: Transaction,
        batch: Vec<(HostId, TargetRecord)>,
    ) -> Result<()> {
        let done: Option<Revision> = inner.transact(change).await?;
        let Some(modified) = done else {
            return Err(Error::Contention {
                what: "what hosts are told".into(),
            });
        };
        for (host, value) in batch {
            self.0.insert(host, Stored { value, modified });
        }
        Ok(())
    }
}

fn is_ours(target: &GuestTarget) -> bool {
    target.rollout.is_some()
}

/// The record with these targets of rollouts, if it has others.
fn differing(
    host: &HostId,
    before: Option<&Stored<TargetRecord>>,
    targets: Vec<GuestTarget>,
) -> Option<TargetRecord> {
    let mut record = before.map_or_else(
        || TargetRecord {
            schema: TargetRecord::SCHEMA,
            by: "planner".into(),
            targets: HostTargets {
                schema: fm_api::Schema::default(),
                host: host.clone(),
                builds: Vec::new(),
                guests: Vec::new(),
                revision: 0,
                rest: Rest::new(),
            },
            rest: Rest::new(),
        },
        |before| before.value.clone(),
    );
    let others = record.targets.guests.iter().filter(|target| !is_ours(target));
    let guests: Vec<GuestTarget> = others.cloned().chain(targets).collect();
    if guests == record.targets.guests {
        return None;
    }
    record.targets.guests = guests;
    record.by = "planner".into();
    Some(record)
}
