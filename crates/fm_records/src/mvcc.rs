//! The records as a value: every version of every key, and what each operation does to them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Compare, Entry, GetResponse, LeaseId, MAX_SCAN_BYTES, MAX_SCAN_COUNT, Operation, Outcome, Revision, Scan,
    ScanPage, Transaction,
};
use crate::{Error, Result};

/// One version of a record: when it was written, and what it was; nothing: taken away.
#[derive(Debug, Clone)]
struct Version {
    modified: Revision,
    content: Option<(Revision, Vec<u8>)>,
}

/// Every version of every record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mvcc {
    revision: Revision,
    oldest: Revision,
    records: BTreeMap<String, Vec<Version>>,
    leases: BTreeMap<LeaseId, BTreeSet<String>>,
    last_lease: i64,
}

impl Mvcc {
    fn at(&self, key: &str, revision: Revision) -> Option<Entry> {
        let versions = self.records.get(key)?;
        let version = versions
            .iter()
            .rev()
            .find(|version| version.modified <= revision)?;
        let (created, value) = version.content.clone()?;
        Some(Entry {
            key: key.to_owned(),
            value,
            created,
            modified: version.modified,
        })
    }

    pub(crate) fn get(&self, key: &str) -> GetResponse {
        GetResponse {
            entry: self.at(key, self.revision),
            revision: self.revision,
        }
    }

    pub(crate) fn scan(&self, scan: &Scan) -> Result<ScanPage> {
        let revision = scan.at.unwrap_or(self.revision);
        if revision > self.revision {
            return Err(Error::Future {
                revision,
                newest: self.revision,
            });
        }
        if revision < self.oldest {
            return Err(Error::Compacted {
                revision,
                oldest: self.oldest,
            });
        }
        let after = scan.after.as_deref().unwrap_or("");
        let mut bytes = 0_usize;
        let mut entries = Vec::new();
        let from = if after > scan.prefix.as_str() {
            after
        } else {
            &scan.prefix
        };
        for key in self.records.range(from.to_owned()..).map(|(key, _)| key) {
            if !key.starts_with(&scan.prefix) {
                break;
            }
            if key.as_str() <= after {
                continue;
            }
            let Some(entry) = self.at(key, revision) else {
                continue;
            };
            let is_full = entries.len() >= scan.limit.clamp(1, MAX_SCAN_COUNT) || bytes >= MAX_SCAN_BYTES;
            if is_full {
                return Ok(ScanPage {
                    entries,
                    revision,
                    more: true,
                });
            }
            bytes = bytes.saturating_add(entry.value.len());
            entries.push(entry);
        }
        Ok(ScanPage {
            entries,
            revision,
            more: false,
        })
    }

    /// Does the transaction, and gives the keys that it changed.
    pub(crate) fn transact(&mut self, transaction: Transaction) -> Result<(Outcome, Vec<String>)> {
        transaction.check()?;
        let holds = transaction.compares.iter().all(|compare| match compare {
            Compare::Absent(key) => self.at(key, self.revision).is_none(),
            Compare::Modified(key, revision) => self
                .at(key, self.revision)
                .is_some_and(|entry| entry.modified == *revision),
            Compare::Created(key, revision) => self
                .at(key, self.revision)
                .is_some_and(|entry| entry.created == *revision),
        });
        if !holds {
            return Ok((Outcome::Conflict, Vec::new()));
        }
        for operation in &transaction.operations {
            if let Operation::Put {
                lease: Some(lease), ..
            } = operation
                && !self.leases.contains_key(lease)
            {
                return Err(Error::LeaseGone);
            }
        }
        let next = self.revision.saturating_add(1);
        let mut changed = Vec::new();
        for operation in transaction.operations {
            let (key, content, lease) = match operation {
                Operation::Put { key, value, lease } => {
                    let created = self.at(&key, self.revision).map_or(next, |entry| entry.created);
                    (key, Some((created, value)), lease)
                }
                Operation::Delete { key } => {
                    if self.at(&key, self.revision).is_none() {
                        continue;
                    }
                    (key, None, None)
                }
            };
            for keys in self.leases.values_mut() {
                keys.remove(&key);
            }
            if let Some(keys) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
                keys.insert(key.clone());
            }
            let versions = self.records.entry(key.clone()).or_default();
            versions.push(Version {
                modified: next,
                content,
            });
            changed.push(key);
        }
        if !changed.is_empty() {
            self.revision = next;
        }
        Ok((Outcome::Committed(self.revision), changed))
    }

    /// Forgets what was superseded before `oldest`.
    pub(crate) fn compact(&mut self, oldest: Revision) {
        self.oldest = oldest.clamp(self.oldest, self.revision);
        let oldest = self.oldest;
        for versions in self.records.values_mut() {
            let kept = versions.iter().rposition(|version| version.modified <= oldest);
            versions.drain(..kept.unwrap_or(0));
        }
        self.records.retain(|_, versions| {
            versions.len() > 1 || versions.iter().any(|version| version.content.is_some())
        });
    }

    pub(crate) fn lease(&mut self) -> LeaseId {
        self.last_lease = self.last_lease.saturating_add(1);
        let lease = LeaseId(self.last_lease);
        self.leases.insert(lease, BTreeSet::new());
        lease
    }

    pub(crate) fn has_lease(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    /// Ends a lease; gives the revision and the keys that went with it.
    pub(crate) fn revoke(&mut self, lease: LeaseId) -> (Revision, Vec<String>) {
        let Some(keys) = self.leases.remove(&lease) else {
            return (self.revision, Vec::new());
        };
        let keys: Vec<String> = keys.into_iter().collect();
        if !keys.is_empty() {
            self.revision = self.revision.saturating_add(1);
        }
        for key in &keys {
            let versions = self.records.entry(key.clone()).or_default();
            versions.push(Version {
                modified: self.revision,
                content: None,
            });
        }
        (self.revision, keys)
    }
}
