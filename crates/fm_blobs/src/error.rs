//! What can go wrong with blobs, each with its class and what to do.

use std::path::PathBuf;

use fm_api::v1::fleet::Digest;
use fm_remedy::{Class, Failure, Remedy};

/// Why a blob or manifest could not be read, stored or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the folder of the builds.
    #[error("the builds in {} are in use by another server", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A manifest or a blob is larger than may be.
    #[error("{what} has {size}, and at most {limit} are allowed")]
    TooLarge {
        /// What.
        what: String,
        /// How large it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A document from outside that is not what it should be.
    #[error("{what} is not acceptable: {why}")]
    Invalid {
        /// Which document.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// The store of blobs does not answer, or refuses.
    #[error("the fleet's builds cannot be reached while trying to {action}")]
    Unreachable {
        /// What was tried.
        action: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A manifest was refused because something that it names is not there.
    #[error("the manifest {digest} was refused: {why}")]
    ManifestRefused {
        /// Its digest.
        digest: Digest,
        /// What was said.
        why: String,
    },
    /// Bytes that are not what their digest says.
    #[error("what should be {expected} is {found}")]
    Corrupt {
        /// The digest that was named.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
}

/// What every operation on blobs returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The store of blobs does not answer, or refuses.
    pub(crate) fn unreachable(
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreachable {
            action,
            source: source.into(),
        }
    }

    /// A document from outside that is not what it should be.
    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            why: why.into(),
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Invalid { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        let advice = match self {
            Self::InUse { .. } => "stop the other server, or give this one a folder of its own",
            Self::Unreachable { .. } => "look whether the store of builds answers, takes writes and has room",
            _ => return None,
        };
        Some(Remedy::advice(advice))
    }
}
