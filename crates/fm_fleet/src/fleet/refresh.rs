//! Keeps the copy in memory as fresh as the watches are: what they name is read again, and everything if they lost
//! some.

use std::collections::BTreeSet;

use fm_api::v1::fleet::{Digest, HostId};

use super::index::{Index, Places};
use super::inner::{Inner, Stored};
use super::keys;
use super::record::{BuildRecord, GuestsRecord, UseRecord};
use crate::Result;
use fm_records::{Notice, Records, Watch};

/// What lists are made from, for all requests of this server.
#[derive(Default)]
pub(super) struct Views {
    pub(super) lists: tokio::sync::Mutex<Fresh>,
    pub(super) places: tokio::sync::Mutex<FreshPlaces>,
}

/// A prefix that is followed; without a watch, everything is to be read.
pub(super) struct Followed {
    prefix: &'static str,
    watch: Option<Watch>,
}

/// What happened below a prefix since the last time.
pub(super) enum News {
    /// These keys changed.
    Some(BTreeSet<String>),
    /// Nobody knows: everything is to be read.
    All,
}

impl Followed {
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, watch: None }
    }

    pub(super) async fn news(&mut self, records: &dyn Records) -> Result<News> {
        if let Some(watch) = &mut self.watch {
            let mut changed = BTreeSet::new();
            loop {
                match watch.try_next() {
                    Some(Notice::Changed { key, .. }) => drop(changed.insert(key)),
                    Some(Notice::Lost) => break,
                    None => return Ok(News::Some(changed)),
                }
            }
        }
        self.watch = None;
        // First the watch, then the reading: nothing falls between the two.
        let watch = records.watch(self.prefix).await?;
        self.watch = Some(watch);
        Ok(News::All)
    }

    /// What was read is not to be relied on.
    fn forget(&mut self) {
        self.watch = None;
    }
}

/// The index and what keeps it fresh.
pub(super) struct Fresh {
    pub(super) index: Index,
    builds: Followed,
    uses: Followed,
    alive: Followed,
}

impl Default for Fresh {
    fn default() -> Self {
        Self {
            index: Index::default(),
            builds: Followed::new(keys::BUILDS),
            uses: Followed::new(keys::USES),
            alive: Followed::new(keys::ALIVE),
        }
    }
}

impl Fresh {
    /// Reads what changed.
    pub(super) async fn refresh(&mut self, inner: &Inner) -> Result<()> {
        let done = self.read(inner).await;
        if done.is_err() {
            // Notices were taken that nothing came of.
            self.builds.forget();
            self.uses.forget();
            self.alive.forget();
        }
        done
    }

    async fn read(&mut self, inner: &Inner) -> Result<()> {
        let records = &*inner.records;
        match self.builds.news(records).await? {
            News::Some(changed) => {
                for key in changed {
                    if let Some(build) = keys::behind::<Digest>(&key, keys::BUILDS) {
                        self.index.put_build(build, inner.get::<BuildRecord>(&key).await?);
                    }
                }
            }
            News::All => {
                let mut found = std::collections::BTreeMap::new();
                let take = |key: &str, record: Stored<BuildRecord>| {
                    if let Some(build) = keys::behind(key, keys::BUILDS) {
                        found.insert(build, record);
                    }
                };
                inner.scan(keys::BUILDS, None, take).await?;
                self.index.builds = found;
            }
        }
        match self.uses.news(records).await? {
            News::Some(changed) => {
                for key in changed {
                    if let Some(host) = keys::behind::<HostId>(&key, keys::USES) {
                        let record = inner.get::<UseRecord>(&key).await?;
                        self.index.put_uses(host, record.map(|record| record.value));
                    }
                }
            }
            News::All => {
                let mut found = BTreeSet::new();
                let index = &mut self.index;
                let take = |key: &str, record: Stored<UseRecord>| {
                    if let Some(host) = keys::behind::<HostId>(key, keys::USES) {
                        found.insert(host.clone());
                        index.put_uses(host, Some(record.value));
                    }
                };
                inner.scan(keys::USES, None, take).await?;
                let gone: Vec<HostId> = self
                    .index
                    .uses
                    .keys()
                    .filter(|host| !found.contains(*host))
                    .cloned()
                    .collect();
                for host in gone {
                    self.index.put_uses(host, None);
                }
            }
        }
        match self.alive.news(records).await? {
            News::Some(changed) => {
                for key in changed {
                    if let Some(host) = keys::behind::<HostId>(&key, keys::ALIVE) {
                        match records.get(&key).await?.entry {
                            Some(_) => self.index.alive.insert(host),
                            None => self.index.alive.remove(&host),
                        };
                    }
                }
            }
            News::All => {
                let found = inner.keys(keys::ALIVE).await?;
                self.index.alive = found
                    .iter()
                    .filter_map(|key| keys::behind(key, keys::ALIVE))
                    .collect();
            }
        }
        Ok(())
    }
}

/// Where guests are, and what keeps that fresh. Read when it is first asked for: it takes seconds for a million.
pub(super) struct FreshPlaces {
    pub(super) places: Places,
    guests: Followed,
}

impl Default for FreshPlaces {
    fn default() -> Self {
        Self {
            places: Places::default(),
            guests: Followed::new(keys::GUESTS),
        }
    }
}

impl FreshPlaces {
    /// Reads what changed.
    pub(super) async fn refresh(&mut self, inner: &Inner) -> Result<()> {
        let done = self.read(inner).await;
        if done.is_err() {
            self.guests.forget();
        }
        done
    }

    async fn read(&mut self, inner: &Inner) -> Result<()> {
        match self.guests.news(&*inner.records).await? {
            News::Some(changed) => {
                for key in changed {
                    let record = inner.get::<GuestsRecord>(&key).await?;
                    let guests = record.map(|record| record.value.guests).unwrap_or_default();
                    if let Some((host, shard)) = place(&key) {
                        self.places
                            .put(host, shard, guests.iter().map(|guest| guest.uuid.as_str()));
                    }
                }
            }
            News::All => {
                let mut places = Places::default();
                let take = |key: &str, record: Stored<GuestsRecord>| {
                    if let Some((host, shard)) = place(key) {
                        places.put(
                            host,
                            shard,
                            record.value.guests.iter().map(|guest| guest.uuid.as_str()),
                        );
                    }
                };
                inner.scan(keys::GUESTS, None, take).await?;
                self.places = places;
            }
        }
        Ok(())
    }
}

fn place(key: &str) -> Option<(HostId, u8)> {
    let (host, shard) = key.strip_prefix(keys::GUESTS)?.split_once('/')?;
    Some((host.parse().ok()?, shard.parse().ok()?))
}
