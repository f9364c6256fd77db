//! What lists are made from: which host needs which builds, how builds stand, where a guest is. A copy of the records
//! in memory, small enough for ten thousand hosts and a million guests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use fm_api::v1::fleet::{Digest, HostId, UseReason};

use super::inner::Stored;
use super::record::{BuildRecord, UseRecord, Uses};

/// The copy.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) builds: BTreeMap<Digest, Stored<BuildRecord>>,
    pub(super) uses: BTreeMap<HostId, Uses>,
    pub(super) alive: BTreeSet<HostId>,
    users: HashMap<Digest, u64>,
    reasons: HashMap<Digest, BTreeMap<UseReason, u64>>,
}

impl Index {
    /// A build's record as it is now.
    pub(super) fn put_build(&mut self, build: Digest, record: Option<Stored<BuildRecord>>) {
        match record {
            Some(record) => drop(self.builds.insert(build, record)),
            None => drop(self.builds.remove(&build)),
        }
    }

    /// What a host needs now; nothing: it has no record any more.
    pub(super) fn put_uses(&mut self, host: HostId, record: Option<UseRecord>) {
        let after = record.map(|record| record.builds);
        for (build, reasons) in after.iter().flatten() {
            *self.users.entry(build.clone()).or_default() += 1;
            let counts = self.reasons.entry(build.clone()).or_default();
            for (reason, count) in reasons {
                *counts.entry(*reason).or_default() += u64::from(*count);
            }
        }
        let before = match after {
            Some(after) => self.uses.insert(host, after),
            None => self.uses.remove(&host),
        };
        for (build, reasons) in before.into_iter().flatten() {
            if let Some(counts) = self.reasons.get_mut(&build) {
                for (reason, count) in reasons {
                    if let Some(known) = counts.get_mut(&reason) {
                        *known = known.saturating_sub(u64::from(count));
                    }
                }
            }
            if let Some(count) = self.users.get_mut(&build) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.users.remove(&build);
                    self.reasons.remove(&build);
                }
            }
        }
    }

    /// How many hosts need a build.
    pub(super) fn user_count(&self, build: &Digest) -> u64 {
        self.users.get(build).copied().unwrap_or(0)
    }

    /// Builds that some host needs.
    pub(super) fn used(&self) -> impl Iterator<Item = &Digest> {
        self.users.keys()
    }

    /// For how many guests, and for what else, a build is needed.
    pub(super) fn reasons(&self, build: &Digest) -> BTreeMap<UseReason, u64> {
        let known = self.reasons.get(build).cloned().unwrap_or_default();
        known.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Whether some guest of a host takes another build at its next cold boot.
    pub(super) fn drifts(&self, host: &HostId) -> bool {
        self.uses.get(host).is_some_and(|builds| {
            builds
                .values()
                .any(|reasons| reasons.contains_key(&UseReason::NextBoot))
        })
    }

    /// Whether a host needs a build.
    pub(super) fn needs(&self, host: &HostId, build: &Digest) -> bool {
        self.uses
            .get(host)
            .is_some_and(|builds| builds.contains_key(build))
    }
}

/// Where each guest is: by a hash of its uuid, so that who asks looks at the records of the few hosts that come out.
#[derive(Debug, Default)]
pub(super) struct Places {
    numbers: HashMap<HostId, u32>,
    hosts: Vec<HostId>,
    shards: HashMap<(u32, u8), Vec<u64>>,
    guests: BTreeSet<(u64, u32, u8)>,
}

impl Places {
    /// The guests of a shard of a host as they are now.
    pub(super) fn put<'a>(&mut self, host: HostId, shard: u8, guests: impl Iterator<Item = &'a str>) {
        let next = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(host.clone()).or_insert(next);
        if number == next {
            self.hosts.push(host);
        }
        let after: Vec<u64> = guests.map(hash).collect();
        for guest in &after {
            self.guests.insert((*guest, number, shard));
        }
        let before = if after.is_empty() {
            self.shards.remove(&(number, shard))
        } else {
            self.shards.insert((number, shard), after.clone())
        };
        for guest in before.into_iter().flatten() {
            if !after.contains(&guest) {
                self.guests.remove(&(guest, number, shard));
            }
        }
    }

    /// Hosts that may have a guest.
    pub(super) fn of(&self, guest: &str) -> BTreeSet<HostId> {
        let guest = hash(guest);
        self.guests
            .range((guest, 0, 0)..=(guest, u32::MAX, u8::MAX))
            .filter_map(|(_, number, _)| self.hosts.get(*number as usize).cloned())
            .collect()
    }
}

fn hash(guest: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    guest.hash(&mut hasher);
    hasher.finish()
}
