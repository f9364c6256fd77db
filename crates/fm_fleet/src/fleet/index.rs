//! What lists are made from: which host needs which builds, how builds stand, where a guest is. A copy of the records
//! in memory, small enough for ten thousand hosts and a million guests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use fm_api::v1::fleet::{Digest, HostId};

use super::inner::Stored;
use super::record::{BuildRecord, UseRecord};

/// The copy.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) builds: BTreeMap<Digest, Stored<BuildRecord>>,
    pub(super) uses: BTreeMap<HostId, Vec<Digest>>,
    pub(super) alive: BTreeSet<HostId>,
    users: HashMap<Digest, u64>,
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
        let after = record.map(|record| record.builds.into_keys().collect::<Vec<_>>());
        for build in after.iter().flatten() {
            *self.users.entry(build.clone()).or_default() += 1;
        }
        let before = match after {
            Some(after) => self.uses.insert(host, after),
            None => self.uses.remove(&host),
        };
        for build in before.into_iter().flatten() {
            if let Some(count) = self.users.get_mut(&build) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.users.remove(&build);
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

    /// Whether a host needs a build.
    pub(super) fn needs(&self, host: &HostId, build: &Digest) -> bool {
        self.uses
            .get(host)
            .is_some_and(|builds| builds.binary_search(build).is_ok())
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
