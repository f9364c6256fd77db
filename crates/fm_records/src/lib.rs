//! Keyed text with one revision for all of it: what every engine of the records can do, and no more.

#![forbid(unsafe_code)]

mod clock;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod key;
mod memory;
mod mvcc;
mod sqlite;
mod transaction;
mod watch;

use std::time::Duration;

use async_trait::async_trait;

pub use clock::{Clock, SystemClock, TestClock};
pub use error::{Error, Result};
#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdOptions, EtcdTls};
pub use key::{check_key, end_of_prefix};
pub use memory::Memory;
pub use sqlite::{Sqlite, SqliteOptions};
pub use transaction::{Compare, Operation, Outcome, Transaction};
pub use watch::{Notice, Watch};

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
pub struct GetResponse {
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

/// What keeps records alive: they go when it is not renewed in time. A hint, never a reason to delete anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

/// An engine of records.
///
/// Everything but leases and watches is linearizable: a read sees every transaction that ended before it began.
#[async_trait]
pub trait Records: Send + Sync {
    /// One record as it is now.
    async fn get(&self, key: &str) -> Result<GetResponse>;

    /// Records whose keys begin alike, a page of them, at one revision.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the revision is no longer kept: the scan has to begin again.
    async fn scan(&self, scan: &Scan) -> Result<ScanPage>;

    /// Does all operations if every compare holds.
    ///
    /// # Errors
    /// [`Error::Engine`] may mean that it was done all the same: read before trying again.
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
