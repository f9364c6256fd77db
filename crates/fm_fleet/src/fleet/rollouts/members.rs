//! The guests of a rollout: as they lie in the records, and as the planner keeps them in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fm_api::v1::fleet::{HostId, ProgressState, Rest};
use fm_api::v1::rollout::MemberView;
use fm_records::Revision;

use super::super::inner::{Inner, Stored};
use super::super::keys;
use super::super::record::{MemberRecord, MembersRecord, Record as _};
use crate::Result;

/// So many troubles are told in a rollout's own record.
const MAX_TROUBLE_COUNT: usize = 50;

/// Guests that were on one host when the rollout began.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) host: HostId,
    pub(super) modified: Revision,
    pub(super) members: Vec<MemberRecord>,
    schema: u32,
    rest: Rest,
}

impl Shard {
    pub(super) fn record(&self) -> MembersRecord {
        MembersRecord {
            schema: self.schema.max(MembersRecord::SCHEMA),
            members: self.members.clone(),
            rest: self.rest.clone(),
        }
    }
}

/// All guests of a rollout.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) shards: Vec<Shard>,
    /// Where each guest is in `shards`.
    places: HashMap<String, (usize, usize)>,
    /// Shards that differ from what is written down.
    pub(super) changed: BTreeSet<usize>,
}

impl Members {
    pub(super) async fn load(inner: &Inner, id: &str) -> Result<Self> {
        let prefix = keys::members(id);
        let mut members = Self::default();
        let take = |key: &str, record: Stored<MembersRecord>| {
            if let Some(host) = keys::behind::<HostId>(key, &prefix) {
                members.add(host, record);
            }
        };
        inner.scan(&prefix, None, take).await?;
        Ok(members)
    }

    fn add(&mut self, host: HostId, record: Stored<MembersRecord>) {
        let shard = self.shards.len();
        for (place, member) in record.value.members.iter().enumerate() {
            self.places.insert(member.guest.clone(), (shard, place));
        }
        self.shards.push(Shard {
            host,
            modified: record.modified,
            members: record.value.members,
            schema: record.value.schema,
            rest: record.value.rest,
        });
    }

    /// Where a guest is.
    pub(super) fn place(&self, guest: &str) -> Option<(usize, usize)> {
        self.places.get(guest).copied()
    }

    /// All of them, with their places and the hosts that they are on.
    pub(super) fn iter(&self) -> impl Iterator<Item = ((usize, usize), &HostId, &MemberRecord)> {
        self.shards.iter().enumerate().flat_map(|(shard, part)| {
            let members = part.members.iter().enumerate();
            members.map(move |(place, member)| {
                let host = member.host.as_ref().unwrap_or(&part.host);
                ((shard, place), host, member)
            })
        })
    }

    /// One of them and the host that it is on.
    pub(super) fn get(&self, (shard, place): (usize, usize)) -> Option<(&HostId, &MemberRecord)> {
        let part = self.shards.get(shard)?;
        let member = part.members.get(place)?;
        Some((member.host.as_ref().unwrap_or(&part.host), member))
    }

    /// Changes one of them. Whether that made a difference.
    pub(super) fn edit(
        &mut self,
        (shard, place): (usize, usize),
        edit: impl FnOnce(&mut MemberRecord),
    ) -> bool {
        let member = self
            .shards
            .get_mut(shard)
            .and_then(|part| part.members.get_mut(place));
        let Some(member) = member else { return false };
        let before = member.clone();
        edit(member);
        let differs = *member != before;
        if differs {
            self.changed.insert(shard);
        }
        differs
    }

    /// How many of each wave stand in which way.
    pub(super) fn counts(&self, wave_count: usize) -> Vec<BTreeMap<ProgressState, u64>> {
        let mut counts = vec![BTreeMap::new(); wave_count];
        for (_, _, member) in self.iter() {
            if let Some(wave) = counts.get_mut(member.wave as usize) {
                *wave.entry(member.state).or_default() += 1;
            }
        }
        counts
    }

    /// The first of those that failed, were refused or wait for a decision.
    pub(super) fn troubles(&self) -> Vec<MemberView> {
        let is_trouble = |state| {
            matches!(
                state,
                ProgressState::Failed | ProgressState::Refused | ProgressState::Undecided
            )
        };
        self.iter()
            .filter(|(_, _, member)| is_trouble(member.state))
            .take(MAX_TROUBLE_COUNT)
            .map(|(_, host, member)| view(host, member))
            .collect()
    }
}

/// What is shown of a guest.
pub(super) fn view(host: &HostId, member: &MemberRecord) -> MemberView {
    MemberView {
        guest: member.guest.clone(),
        name: member.name.clone(),
        host: host.clone(),
        from: member.from.clone(),
        build: member.build.clone(),
        wave: member.wave,
        state: member.state,
        evidence: member.evidence.clone(),
        written: member.written.clone(),
    }
}
