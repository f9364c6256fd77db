//! Keyed text with one revision for all of it: what every engine of the records can do, and no more.

#[cfg(feature = "etcd")]
mod etcd;
mod key;
mod memory;
mod mvcc;
mod sqlite;
mod watch;

use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdOptions, EtcdTls};
pub use key::{check_key, end_of_prefix};
pub use memory::Memory;
pub use sqlite::{Sqlite, SqliteOptions};
pub use watch::{Notice, Watch};

use crate::{Error, Result};

/// Counts the transactions that changed something. Grows; the first change makes it 1 or more.
pub type Revision = u64;

/// The most operations of one transaction, compares and changes together.
pub const MAX_OPERATION_COUNT: usize = 128;
/// The most bytes of one transaction, keys and values together.
pub const MAX_TRANSACTION_BYTES: usize = 1 << 20;
/// The most bytes of a key.
pub const MAX_KEY_BYTES: usize = 512;
/// The most records of one page of a scan.
pub const MAX_SCAN_COUNT: usize = 1000;
/// After so many bytes of values a page of a scan ends, if it has one record at least.
pub const MAX_SCAN_BYTES: usize = 2 << 20;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// What it holds.
    pub value: Vec<u8>,
    /// The revision that made it.
    pub created: Revision,
    /// The revision that changed it last.
    pub modified: Revision,
}

/// A record at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The record, if there is one.
    pub entry: Option<Entry>,
    /// The revision of all records when it was read.
    pub revision: Revision,
}

/// Which part of the records to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// What the keys begin with.
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<String>,
    /// How many at most; the page may have fewer if they are large.
    pub limit: usize,
    /// At which revision; the newest if nothing is said.
    pub at: Option<Revision>,
}

/// One page of a scan, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPage {
    /// The records.
    pub entries: Vec<Entry>,
    /// The revision that they are of; further pages ask for the same.
    pub revision: Revision,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// What must hold for a transaction to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// There is no such record.
    Absent(String),
    /// The record was last changed at this revision.
    Modified(String, Revision),
    /// The record was made at this revision.
    Created(String, Revision),
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a record. With a lease it goes when the lease does.
    Put {
        /// Its key.
        key: String,
        /// What it holds.
        value: Vec<u8>,
        /// The lease that it lives as long as.
        lease: Option<LeaseId>,
    },
    /// Takes a record away, if it is there.
    Delete {
        /// Its key.
        key: String,
    },
}

/// Changes that are done together if everything that they rely on holds, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold.
    pub compares: Vec<Compare>,
    /// What is done. No key may come twice.
    pub operations: Vec<Operation>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the records are at this revision, which is a new one if anything changed.
    Committed(Revision),
    /// Something that it relied on does not hold; nothing was done.
    Conflict,
}

/// What keeps records alive: they go when it is not renewed in time. A hint, never a reason to delete anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

/// An engine of records.
///
/// Everything but leases and watches is linearizable: a read sees every transaction that ended before it began.
#[async_trait]
pub trait Records: Send + Sync {
    /// One record as it is now.
    async fn get(&self, key: &str) -> Result<Found>;

    /// Records whose keys begin alike, a page of them, at one revision.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the revision is no longer kept: the scan has to begin again.
    async fn scan(&self, scan: &Scan) -> Result<ScanPage>;

    /// Does all operations if every compare holds.
    ///
    /// # Errors
    /// [`Error::Records`] may mean that it was done all the same: read before trying again.
    async fn transact(&self, transaction: Transaction) -> Result<Outcome>;

    /// Tells which keys below a prefix change from now on. It may lose some, and says so where it knows.
    async fn watch(&self, prefix: &str) -> Result<Watch>;

    /// A lease that lasts for `ttl` unless it is renewed.
    async fn lease(&self, ttl: Duration) -> Result<LeaseId>;

    /// Renews a lease; `false` if it is gone already.
    async fn renew(&self, lease: LeaseId) -> Result<bool>;

    /// Ends a lease and the records that live by it.
    async fn revoke(&self, lease: LeaseId) -> Result<()>;
}

impl Transaction {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if there is no such record.
    #[must_use]
    pub fn if_absent(mut self, key: impl Into<String>) -> Self {
        self.compares.push(Compare::Absent(key.into()));
        self
    }

    /// Only if the record was last changed at `revision`, or, for nothing, is not there.
    #[must_use]
    pub fn if_unchanged(mut self, key: impl Into<String>, revision: Option<Revision>) -> Self {
        self.compares.push(match revision {
            Some(revision) => Compare::Modified(key.into(), revision),
            None => Compare::Absent(key.into()),
        });
        self
    }

    /// Only if the record is the one that was made at `revision`.
    #[must_use]
    pub fn if_created(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.compares.push(Compare::Created(key.into(), revision));
        self
    }

    /// Writes a record.
    #[must_use]
    pub fn put(self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.put_leased(key, value, None)
    }

    /// Writes a record that goes with a lease.
    #[must_use]
    pub fn put_leased(
        mut self,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
        lease: Option<LeaseId>,
    ) -> Self {
        self.operations.push(Operation::Put {
            key: key.into(),
            value: value.into(),
            lease,
        });
        self
    }

    /// Takes a record away.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.operations.push(Operation::Delete { key: key.into() });
        self
    }

    /// Whether every engine takes it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::Key`]; [`Error::Invalid`] if a key is written twice.
    pub fn check(&self) -> Result<()> {
        let count = self.compares.len().saturating_add(self.operations.len());
        check_size("a transaction (operations)", count, MAX_OPERATION_COUNT)?;
        let mut size = 0_usize;
        let mut written = std::collections::BTreeSet::new();
        for compare in &self.compares {
            let (Compare::Absent(key) | Compare::Modified(key, _) | Compare::Created(key, _)) = compare;
            check_key(key)?;
            if matches!(compare, Compare::Modified(_, 0) | Compare::Created(_, 0)) {
                return Err(Error::invalid(
                    "a transaction",
                    "no record was written at revision 0",
                ));
            }
            size = size.saturating_add(key.len());
        }
        for operation in &self.operations {
            let (key, value_len) = match operation {
                Operation::Put { key, value, .. } => (key, value.len()),
                Operation::Delete { key } => (key, 0),
            };
            check_key(key)?;
            size = size.saturating_add(key.len()).saturating_add(value_len);
            if !written.insert(key) {
                return Err(Error::invalid("a transaction", format!("it writes {key} twice")));
            }
        }
        check_size("a transaction (bytes)", size, MAX_TRANSACTION_BYTES)
    }
}

fn check_size(what: &str, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::TooLarge {
            what: what.into(),
            size: size as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}
