//! Changes that are done together or not at all, and the bounds that every engine keeps to.

use super::key::check_key;
use super::{LeaseId, MAX_OPERATION_COUNT, MAX_TRANSACTION_BYTES, Revision};
use crate::{Error, Result};

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
    /// [`Error::TooLarge`] or [`Error::Key`]; [`Error::WrittenTwice`] or
    /// [`Error::RevisionZero`].
    pub fn check(&self) -> Result<()> {
        let count = self.compares.len().saturating_add(self.operations.len());
        check_size("a transaction (operations)", count, MAX_OPERATION_COUNT)?;
        let mut size = 0_usize;
        let mut written = std::collections::BTreeSet::new();
        for compare in &self.compares {
            let (Compare::Absent(key) | Compare::Modified(key, _) | Compare::Created(key, _)) = compare;
            check_key(key)?;
            if matches!(compare, Compare::Modified(_, 0) | Compare::Created(_, 0)) {
                return Err(Error::RevisionZero { key: key.clone() });
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
                return Err(Error::WrittenTwice { key: key.clone() });
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
