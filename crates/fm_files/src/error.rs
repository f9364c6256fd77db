//! Why a file could not be read, replaced or kept.

use std::path::PathBuf;

use fm_remedy::{Class, Failure, Remedy};

/// A failure with a file; what stood there before is still whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The verb: `read`, `write`, `create` …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The request itself makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to say instead.
        remedy: Remedy,
    },
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A file could not be `action`ed.
    pub(crate) fn file(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Usage { .. } => Class::Usage,
            Self::File { .. } => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::File { source, .. } => io_remedy(source),
            Self::Usage { remedy, .. } => Some(remedy.clone()),
        }
    }
}

/// What to do about the system's refusal, where there is something.
#[must_use]
pub fn io_remedy(error: &std::io::Error) -> Option<Remedy> {
    (error.kind() == std::io::ErrorKind::PermissionDenied)
        .then(|| "run it as a user who may, or as root".into())
}
