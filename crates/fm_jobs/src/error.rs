//! Why a job could not judge or act, with what to do about it.

use std::path::PathBuf;

/// A job's failure. The message says what failed, the source chain why, [`Error::remedy`] what to do.
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
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
    /// A file holds no migration stream, or nothing of it can be read.
    #[error("cannot read a migration stream from {}", path.display())]
    Stream {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the offset.
        source: fm_formats::Error,
    },
    /// A saved guest's firmware cannot be had or put in place.
    #[error(transparent)]
    Saved(#[from] crate::saved::Error),
    /// A program that undoes a compression cannot be run.
    #[error("cannot run `{program}` to decompress {}", path.display())]
    Program {
        /// Which program.
        program: String,
        /// For which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A variable store could not be read or changed.
    #[error(transparent)]
    Vars(#[from] crate::vars::Error),
    /// The request itself makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to write instead.
        remedy: String,
    },
}

/// How a failure ends the process; the exit statuses are in `docs/exit-status.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Could not be done: status 1.
    Failed,
    /// The command's words are off: status 2.
    Usage,
    /// Judged, and it would not work: status 10.
    Incompatible,
    /// Could not be judged for lack of facts: status 11.
    Unknown,
    /// A fault of ours: status 70.
    Bug,
}

impl Error {
    /// How the process ends on it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Store(error) => store_class(error),
            Self::File { .. } | Self::Stream { .. } | Self::Program { .. } => Class::Failed,
            Self::Saved(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Usage { .. } => Class::Usage,
        }
    }

    /// What to do about it, if there is something the user can do.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("run it as a user who may, or as root".into())
            }
            Self::File { .. } => None,
            Self::Store(error) => error.remedy(),
            Self::Saved(error) => error.remedy(),
            Self::Stream { .. } => Some("`flashmoor inspect FILE` shows what it is".into()),
            Self::Program { program, .. } => Some(format!(
                "install {program}; libvirt needs it to restore this image as well"
            )),
            Self::Vars(error) => error.remedy(),
            Self::Usage { remedy, .. } => Some(remedy.clone()),
        }
    }
}

/// A word that names nothing stored, or several things, is the command's fault; the rest is the store's.
fn store_class(error: &fm_store::Error) -> Class {
    use fm_store::Error as E;
    match error {
        E::UnknownBuild { .. }
        | E::AmbiguousBuild { .. }
        | E::NoSuchTag { .. }
        | E::UnknownLanding { .. } => Class::Usage,
        _ => Class::Failed,
    }
}
