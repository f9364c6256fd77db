//! What all requests share: typed reading and writing of records, and what is remembered of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fm_api::v1::fleet::{Digest, Event, HostId};

use super::options::FleetOptions;
use super::record::{HeadRecord, Record};
use crate::{Error, Result};
use fm_blobs::Blobs;
use fm_records::Clock;
use fm_records::{LeaseId, MAX_SCAN_COUNT, Outcome, Records, Revision, Scan, Transaction};

/// A build that only the grace period keeps: the revision that condemned it, and when that was found.
pub(super) type Grace = BTreeMap<Digest, (Revision, Duration)>;

pub(super) struct Inner {
    pub(super) records: Arc<dyn Records>,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: FleetOptions,
    /// Where the history stands, as far as is known; one writes at a time.
    pub(super) history: tokio::sync::Mutex<History>,
    /// Events that wait for whoever has the turn to write them.
    pub(super) unwritten: Mutex<Vec<Event>>,
    pub(super) note_turn: tokio::sync::Mutex<()>,
    /// Leases of hosts that gave a sign of life to this server.
    pub(super) alive: Mutex<BTreeMap<HostId, LeaseId>>,
    /// What this server's planner waits for, and how long a grace is.
    pub(super) grace: Mutex<(Grace, Duration)>,
}

/// The history as this server last saw it.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) head: Option<Stored<HeadRecord>>,
}

/// A record and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Stored<T> {
    pub(super) value: T,
    pub(super) modified: Revision,
}

/// How often a change is tried that others interfere with.
pub(super) const MAX_ATTEMPT_COUNT: usize = 32;

impl Inner {
    pub(super) fn new(
        records: Arc<dyn Records>,
        blobs: Arc<dyn Blobs>,
        clock: Arc<dyn Clock>,
        options: FleetOptions,
    ) -> Self {
        Self {
            records,
            blobs,
            clock,
            options,
            history: tokio::sync::Mutex::default(),
            unwritten: Mutex::default(),
            note_turn: tokio::sync::Mutex::default(),
            alive: Mutex::default(),
            grace: Mutex::default(),
        }
    }

    pub(super) async fn get<T: Record>(&self, key: &str) -> Result<Option<Stored<T>>> {
        self.get_at(key).await.map(|(stored, _)| stored)
    }

    /// A record, and the revision of all of them.
    pub(super) async fn get_at<T: Record>(&self, key: &str) -> Result<(Option<Stored<T>>, Revision)> {
        let found = self.records.get(key).await?;
        let stored = match found.entry {
            None => None,
            Some(entry) => Some(Stored {
                value: read(key, &entry.value)?,
                modified: entry.modified,
            }),
        };
        Ok((stored, found.revision))
    }

    /// Gives every record below a prefix, all of one revision, to `take`; tells that revision.
    pub(super) async fn scan<T: Record>(
        &self,
        prefix: &str,
        at: Option<Revision>,
        mut take: impl FnMut(&str, Stored<T>) + Send,
    ) -> Result<Revision> {
        let page_after = |at, after| {
            let records = Arc::clone(&self.records);
            let scan = Scan {
                prefix: prefix.into(),
                after,
                limit: MAX_SCAN_COUNT,
                at,
            };
            tokio::spawn(async move { records.scan(&scan).await })
        };
        let mut coming = page_after(at, None);
        loop {
            let page = coming.await.map_err(|_| Error::BrokenOff)??;
            // The next page comes while this one is read: reading takes as long as fetching.
            let after = page.entries.last().map(|entry| entry.key.clone());
            let next = page.more.then(|| page_after(Some(page.revision), after));
            for entry in page.entries {
                let stored = Stored {
                    value: read(&entry.key, &entry.value)?,
                    modified: entry.modified,
                };
                take(&entry.key, stored);
            }
            match next {
                Some(next) => coming = next,
                None => return Ok(page.revision),
            }
        }
    }

    /// Which keys there are below a prefix.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut scan = Scan {
            prefix: prefix.into(),
            after: None,
            limit: MAX_SCAN_COUNT,
            at: None,
        };
        loop {
            let page = self.records.scan(&scan).await?;
            scan.at = Some(page.revision);
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
            scan.after = keys.last().cloned();
            if !page.more {
                return Ok(keys);
            }
        }
    }

    /// Whether the transaction was done, and at which revision.
    pub(super) async fn transact(&self, transaction: Transaction) -> Result<Option<Revision>> {
        match self.records.transact(transaction).await? {
            Outcome::Committed(revision) => Ok(Some(revision)),
            Outcome::Conflict => Ok(None),
        }
    }
}

/// Reads a record.
pub(super) fn read<T: Record>(key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value).map_err(|source| Error::Record {
        key: key.into(),
        source,
    })
}

/// A record as it is written, unless it is of a newer version: that one is read only.
pub(super) fn write<T: Record>(key: &str, record: &T) -> Result<Vec<u8>> {
    if record.schema() > T::SCHEMA {
        return Err(Error::NewerSchema {
            key: key.into(),
            found: record.schema(),
            known: T::SCHEMA,
        });
    }
    serde_json::to_vec(record).map_err(|source| Error::Record {
        key: key.into(),
        source,
    })
}

/// A name that nobody else makes up: 128 bits from the system.
pub(super) fn random_name() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The lock, whatever became of who held it before: what it guards are hints.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
