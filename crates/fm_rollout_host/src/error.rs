//! Why a guest could not be taken further.

use std::path::Path;

use fm_remedy::{Class, Failure, Remedy};

/// A failure of what a rollout wants done here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A guest could not be found or read.
    #[error(transparent)]
    Host(#[from] fm_host::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
    /// A file could not be read, replaced or kept.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
    /// A variable store cannot be read or changed.
    #[error(transparent)]
    Vars(#[from] fm_variables::Error),
    /// A change cannot be judged.
    #[error(transparent)]
    Check(#[from] fm_check::Error),
    /// A definition could not be changed.
    #[error(transparent)]
    Adopt(#[from] fm_adopt::Error),
    /// An update of a guest's firmware cannot be looked at or written down.
    #[error(transparent)]
    Update(#[from] fm_update::Error),
    /// What the fleet gave is not the build that was wanted.
    #[error("what the fleet gave is not the build that was wanted: {why}")]
    NotABuild {
        /// What is wrong with it.
        why: &'static str,
    },
    /// Whoever brings builds from the fleet could not bring one.
    #[error(transparent)]
    NotBrought(Box<dyn std::error::Error + Send + Sync>),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A build could not be brought from the fleet.
    #[must_use]
    pub fn not_brought(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::NotBrought(Box::new(error))
    }

    /// A file could not be `action`ed.
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }
}

impl From<fm_libvirt::VirshError> for Error {
    fn from(error: fm_libvirt::VirshError) -> Self {
        Self::Adopt(error.into())
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Host(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Check(error) => error.class(),
            Self::Adopt(error) => error.class(),
            Self::Update(error) => error.class(),
            Self::NotABuild { .. } | Self::NotBrought(_) => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Host(error) => error.remedy(),
            Self::Store(error) => error.remedy(),
            Self::Files(error) => error.remedy(),
            Self::Vars(error) => error.remedy(),
            Self::Check(error) => error.remedy(),
            Self::Adopt(error) => error.remedy(),
            Self::Update(error) => error.remedy(),
            Self::NotABuild { .. } => Some("see who wrote it into the fleet's store".into()),
            Self::NotBrought(_) => None,
        }
    }
}
