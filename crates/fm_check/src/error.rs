//! Why a change could not be judged.

use std::path::PathBuf;

use fm_remedy::{Action, Class, Failure, Misuse, Remedy};

/// A failure to gather or to judge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
    /// The request itself makes no sense.
    #[error(transparent)]
    Usage(#[from] Misuse),
    /// Two sources contradict each other, so nothing can be judged.
    #[error("two sources say different things")]
    Contradiction(#[from] fm_judge::Contradiction),
    /// The file holds variables where firmware was asked for.
    #[error("{} is no firmware code but a variable store", path.display())]
    NoCode {
        /// The file.
        path: PathBuf,
    },
    /// A file is no flash image.
    #[error("{} is no firmware: {why}", path.display())]
    NotFirmware {
        /// Which file.
        path: PathBuf,
        /// What it is instead, or what it lacks.
        why: fm_images::NotFirmwareReason,
    },
    /// The file is no variable store and never was one.
    #[error("{} is no variable store", path.display())]
    NotStore {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: fm_formats::Error,
    },
    /// A guest could not be found or read.
    #[error(transparent)]
    Host(#[from] fm_host::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
    /// An image cannot be read.
    #[error(transparent)]
    Images(#[from] fm_images::Error),
    /// A variable store cannot be read or changed.
    #[error(transparent)]
    Vars(#[from] fm_variables::Error),
    /// A guest cannot be moved.
    #[error(transparent)]
    Transfer(#[from] fm_transfer::Error),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A file could not be `action`ed.
    pub(crate) fn file(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }
}

impl From<fm_transfer::offer::Error> for Error {
    fn from(error: fm_transfer::offer::Error) -> Self {
        Self::Transfer(error.into())
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Host(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Images(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Transfer(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Usage(_) => Class::Usage,
            Self::Contradiction(_) => Class::Unknown,
            Self::NoCode { .. } | Self::NotFirmware { .. } | Self::NotStore { .. } => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Host(error) => error.remedy(),
            Self::Store(error) => error.remedy(),
            Self::Images(error) => error.remedy(),
            Self::Vars(error) => error.remedy(),
            Self::Transfer(error) => error.remedy(),
            Self::Files(error) => error.remedy(),
            Self::Usage(error) => error.remedy(),
            Self::Contradiction(_) => {
                Some("leave out the option that is wrong, or name the right file".into())
            }
            Self::NoCode { .. } => Some(Remedy::new(
                "name a CODE file; a look into a file shows what it is",
                Action::Inspect { path: None },
            )),
            Self::NotFirmware { .. } => Some("name a flash image, raw or qcow2".into()),
            Self::NotStore { .. } => Some(Remedy::new(
                "name a VARS file; a look into a file shows what it is",
                Action::Inspect { path: None },
            )),
        }
    }
}
