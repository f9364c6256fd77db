//! Why a file was not read or not replaced.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A failure of an operation on a file. Whatever it says, the file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The verb: `open`, `write`, `sync` …
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something else than a file lies there: a link, a FIFO, a device, a folder.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// What lies there.
        path: PathBuf,
    },
    /// A file is larger than what it could be.
    #[error("{} has {size_bytes} bytes, and the limit is {limit_bytes}", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// How large it is.
        size_bytes: u64,
        /// How large it may be.
        limit_bytes: u64,
    },
    /// A file that was to be made is there already.
    #[error("{} exists", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The file is not the one that was read: somebody put another in its place.
    #[error("{} was replaced by somebody else meanwhile", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// A file that should belong to the same user as another does not.
    #[error("{} belongs to user {owner_uid}, and it should to {expected_uid}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner_uid: u32,
        /// Whose it should be.
        expected_uid: u32,
    },
    /// Another flashmoor works on it.
    #[error("{} is being changed by another flashmoor", path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// A running program has the file open for writing.
    #[error("{} is open for writing in {holder}", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
        /// Process and pid, or what is known of the lock's holder.
        holder: String,
    },
}

impl Error {
    /// An operation that the system refused.
    #[must_use]
    pub fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// What could not be done, to which file, and why: for rooms whose own errors say it in these three.
    #[must_use]
    pub fn into_parts(self) -> (&'static str, PathBuf, io::Error) {
        let other = |action, path: &Path, kind, why: &str| {
            (action, path.to_owned(), io::Error::new(kind, why.to_owned()))
        };
        match self {
            Self::Io { action, path, source } => (action, path, source),
            Self::NotRegular { path } => {
                other("open", &path, ErrorKind::InvalidInput, "it is not a regular file")
            }
            Self::TooLarge {
                path,
                size_bytes,
                limit_bytes,
            } => {
                let why = format!("it has {size_bytes} bytes, and the limit is {limit_bytes}");
                other("read", &path, ErrorKind::FileTooLarge, &why)
            }
            Self::Exists { path } => other("create", &path, ErrorKind::AlreadyExists, "it exists"),
            Self::Changed { path } => other(
                "replace",
                &path,
                ErrorKind::ResourceBusy,
                "it was replaced by somebody else meanwhile",
            ),
            Self::Foreign {
                path,
                owner_uid,
                expected_uid,
            } => {
                let why = format!("it belongs to user {owner_uid}, and it should to {expected_uid}");
                other("use", &path, ErrorKind::PermissionDenied, &why)
            }
            Self::Busy { path } => {
                let why = "it is being changed by another flashmoor";
                other("replace", &path, ErrorKind::ResourceBusy, why)
            }
            Self::InUse { path, holder } => {
                let why = format!("it is open for writing in {holder}");
                other("replace", &path, ErrorKind::ResourceBusy, &why)
            }
        }
    }

    /// The kind of the system's reason, or what comes closest.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => source.kind(),
            Self::NotRegular { .. } => ErrorKind::InvalidInput,
            Self::TooLarge { .. } => ErrorKind::FileTooLarge,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Foreign { .. } => ErrorKind::PermissionDenied,
            Self::Changed { .. } | Self::Busy { .. } | Self::InUse { .. } => ErrorKind::ResourceBusy,
        }
    }
}
