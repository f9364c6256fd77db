//! Why records cannot be read or changed.

use std::path::PathBuf;

use fm_remedy::{Class, Failure, Remedy};

/// A failure of the records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine does not answer, or refuses.
    #[error("the fleet's records cannot be reached while trying to {action}")]
    Engine {
        /// What was tried.
        action: &'static str,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine works, and another process has it.
    #[error("the records in {} are in use by another server", .path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// A later version wrote them.
    #[error("the records are of version {wanted}, and this program writes version {known}")]
    TooOld {
        /// Their version.
        wanted: u32,
        /// The last one that this program knows.
        known: u32,
    },
    /// A transaction or a record is larger than every engine takes.
    #[error("{what} has {size}, and at most {limit} are allowed")]
    TooLarge {
        /// What.
        what: String,
        /// How large it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A text that cannot be a key.
    #[error("{key:?} cannot be the key of a record")]
    Key {
        /// The text.
        key: String,
    },
    /// A transaction writes one key more than once.
    #[error("a transaction writes {key} twice")]
    WrittenTwice {
        /// Which.
        key: String,
    },
    /// A transaction compares with revision 0, at which no record was written.
    #[error("a transaction compares {key} with revision 0, at which nothing was written")]
    RevisionZero {
        /// Which.
        key: String,
    },
    /// The lease of a transaction has run out.
    #[error("the lease of a transaction is gone")]
    LeaseGone,
    /// A revision that the engine does not have any more.
    #[error("revision {revision} of the records is no longer kept; the oldest is {oldest}")]
    Compacted {
        /// The revision.
        revision: u64,
        /// The oldest that can be read.
        oldest: u64,
    },
    /// A revision that the engine has not reached.
    #[error("revision {revision} of the records does not exist yet; the newest is {newest}")]
    Future {
        /// The revision.
        revision: u64,
        /// The newest.
        newest: u64,
    },
}

/// What every operation on records returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Something went wrong in the engine.
    pub(crate) fn engine(
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Engine {
            action,
            source: source.into(),
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Key { .. } | Self::WrittenTwice { .. } | Self::RevisionZero { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        let advice = match self {
            Self::Engine { .. } => {
                "look whether the engine of the records runs and has a quorum; hosts go on without it"
            }
            Self::InUse { .. } => "stop the other server, or give this one records of its own",
            Self::TooOld { .. } => "upgrade this program",
            Self::Compacted { .. } => "begin the list again from its first page",
            _ => return None,
        };
        Some(Remedy::advice(advice))
    }
}
