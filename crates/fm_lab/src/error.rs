//! Why a guest of the lab, the atlas or the demo failed.

mod demo;

use std::path::{Path, PathBuf};

use fm_remedy::{Action, Class, Failure, Misuse, Remedy};

use crate::{FlashWritesError, GuestError};

pub use demo::DemoError;

/// A failure of the lab, the atlas or the demo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request itself makes no sense.
    #[error(transparent)]
    Usage(#[from] Misuse),
    /// The file is no variable store and never was one.
    #[error("{} is no variable store", path.display())]
    NotStore {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: fm_formats::Error,
    },
    /// A guest of the lab did not do what it should.
    #[error("a guest that we started failed")]
    Guest(#[from] GuestError),
    /// What a guest wrote to its flash cannot be read, or is not what its file holds.
    #[error("what a guest wrote to its flash is not known")]
    FlashWrites(#[from] FlashWritesError),
    /// What was recorded was recorded on another file.
    #[error("the recorded flash writes were made to another file")]
    OtherRecording,
    /// A build does in one write what a power cut is to part.
    #[error("the recorded flash writes have no such moment")]
    NoSuchMoment,
    /// The demo showed that something does not hold, or could not run.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A guest could not be found or read.
    #[error(transparent)]
    Host(#[from] fm_host::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
    /// A file could not be read, replaced or kept.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
    /// An image cannot be read.
    #[error(transparent)]
    Images(#[from] fm_images::Error),
    /// A variable store cannot be read or changed.
    #[error(transparent)]
    Vars(#[from] fm_variables::Error),
    /// A guest cannot be moved.
    #[error(transparent)]
    Transfer(#[from] fm_transfer::Error),
    /// A change cannot be judged.
    #[error(transparent)]
    Check(#[from] fm_check::Error),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A file could not be `action`ed.
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }
}

impl From<fm_transfer::migrate::Error> for Error {
    fn from(error: fm_transfer::migrate::Error) -> Self {
        Self::Transfer(error.into())
    }
}

impl From<fm_judge::Contradiction> for Error {
    fn from(contradiction: fm_judge::Contradiction) -> Self {
        Self::Check(contradiction.into())
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Host(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Images(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Transfer(error) => error.class(),
            Self::Check(error) => error.class(),
            Self::Usage(_) => Class::Usage,
            Self::Guest(_)
            | Self::FlashWrites(_)
            | Self::OtherRecording
            | Self::NoSuchMoment
            | Self::Demo(_)
            | Self::NotStore { .. } => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Host(error) => error.remedy(),
            Self::Store(error) => error.remedy(),
            Self::Files(error) => error.remedy(),
            Self::Images(error) => error.remedy(),
            Self::Vars(error) => error.remedy(),
            Self::Transfer(error) => error.remedy(),
            Self::Check(error) => error.remedy(),
            Self::Guest(_) | Self::FlashWrites(_) | Self::OtherRecording | Self::NoSuchMoment => None,
            Self::Demo(error) => error.remedy(),
            Self::Usage(error) => error.remedy(),
            Self::NotStore { .. } => Some(Remedy::new(
                "name a VARS file; a look into a file shows what it is",
                Action::Inspect { path: None },
            )),
        }
    }
}
