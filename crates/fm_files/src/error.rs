//! Why a file was not read or not replaced.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use fm_remedy::{Class, Failure, Remedy};

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
    /// A symbolic link of somebody else, who would lead us to what is not his.
    #[error("{} is a symbolic link of user {owner_uid}, and what it leads to is of user {target_uid}", path.display())]
    ForeignLink {
        /// The link.
        path: PathBuf,
        /// Whose it is.
        owner_uid: u32,
        /// Whose it leads to.
        target_uid: u32,
    },
    /// An output is what is read.
    #[error("{} is what is read, and would be overwritten", path.display())]
    IsInput {
        /// Which file.
        path: PathBuf,
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
                let why = format!(
                    "it belongs to user {owner_uid}, and it should to user {expected_uid}: give it to that user"
                );
                // Not a refusal of the system's: root is told the same.
                other("use", &path, ErrorKind::Other, &why)
            }
            Self::ForeignLink {
                path,
                owner_uid,
                target_uid,
            } => {
                let why = format!(
                    "it is a symbolic link of user {owner_uid}, and what it leads to is of user {target_uid}: name what \
                     it leads to, or make the link your own"
                );
                other("follow", &path, ErrorKind::Other, &why)
            }
            Self::IsInput { path } => other("write", &path, ErrorKind::InvalidInput, "it is what is read"),
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
            Self::NotRegular { .. } | Self::IsInput { .. } => ErrorKind::InvalidInput,
            Self::TooLarge { .. } => ErrorKind::FileTooLarge,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Foreign { .. } | Self::ForeignLink { .. } => ErrorKind::PermissionDenied,
            Self::Changed { .. } | Self::Busy { .. } | Self::InUse { .. } => ErrorKind::ResourceBusy,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::IsInput { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Io { source, .. } => return io_remedy(source),
            Self::NotRegular { .. } => "name a regular file".into(),
            Self::TooLarge { .. } => "check that it is the file you meant".into(),
            Self::Exists { .. } => "name another file, or move that one away first".into(),
            Self::IsInput { .. } => "name another file for the output".into(),
            Self::Changed { .. } => "look at what is there now, and run it again".into(),
            Self::Foreign { .. } => {
                "give it to the owner of the file that it belongs to, if it is sound".into()
            }
            Self::ForeignLink { .. } => "name what it leads to, or make the link your own".into(),
            Self::Busy { .. } => "try again when it is done".into(),
            Self::InUse { .. } => "shut the guest down first".into(),
        })
    }
}

/// What to do about the system's refusal, where there is something.
#[must_use]
pub fn io_remedy(error: &io::Error) -> Option<Remedy> {
    let what = match error.kind() {
        ErrorKind::PermissionDenied => "run it as a user who may, or as root",
        ErrorKind::NotFound => "look at the path: the file, or the folder that it is to be in, is not there",
        ErrorKind::IsADirectory => "name a file: this is a folder",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room on that file system, then run it again"
        }
        ErrorKind::ReadOnlyFilesystem => "choose a place that can be written",
        _ => return None,
    };
    Some(what.into())
}
