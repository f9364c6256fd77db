//! Why a guest could not be captured or adopted.

mod kubevirt;
mod libvirt;

use std::path::Path;

use fm_remedy::{Class, Failure, Misuse, Remedy};

pub use kubevirt::KubevirtError;
pub use libvirt::LibvirtError;

/// A failure of what binds guests to the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request itself makes no sense.
    #[error(transparent)]
    Usage(#[from] Misuse),
    /// A guest could not be found or read.
    #[error(transparent)]
    Host(#[from] fm_host::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
    /// A file could not be read, replaced or kept.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
    /// A firmware image cannot be read.
    #[error(transparent)]
    Image(#[from] fm_images::Error),
    /// A stream or a saved guest cannot be read.
    #[error(transparent)]
    Saved(Box<fm_saved::Error>),
    /// A variable store cannot be read or changed.
    #[error(transparent)]
    Vars(#[from] fm_variables::Error),
    /// A change cannot be judged.
    #[error(transparent)]
    Check(#[from] fm_check::Error),
    /// Something between libvirt and us failed.
    #[error(transparent)]
    Libvirt(#[from] LibvirtError),
    /// An instance of KubeVirt's does not get its build.
    #[error(transparent)]
    Kubevirt(#[from] KubevirtError),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<fm_saved::Error> for Error {
    fn from(error: fm_saved::Error) -> Self {
        Self::Saved(Box::new(error))
    }
}

impl From<fm_libvirt::VirshError> for Error {
    fn from(error: fm_libvirt::VirshError) -> Self {
        Self::Libvirt(error.into())
    }
}

impl Error {
    /// A file could not be `action`ed.
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Host(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Saved(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Check(error) => error.class(),
            Self::Libvirt(error) => error.class(),
            Self::Usage(_) => Class::Usage,
            Self::Kubevirt(_) => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Host(error) => error.remedy(),
            Self::Store(error) => error.remedy(),
            Self::Files(error) => error.remedy(),
            Self::Image(error) => error.remedy(),
            Self::Saved(error) => error.remedy(),
            Self::Vars(error) => error.remedy(),
            Self::Check(error) => error.remedy(),
            Self::Libvirt(error) => error.remedy(),
            Self::Kubevirt(KubevirtError::Definition(error)) => error.remedy(),
            Self::Kubevirt(_) => None,
            Self::Usage(error) => error.remedy(),
        }
    }
}
