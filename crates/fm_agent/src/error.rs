//! Why a guest could not be watched, captured or adopted.

mod records;

use std::path::Path;

use fm_remedy::{Action, Class, Failure, Misuse, Remedy};

pub use records::RecordsError;

/// A failure of what watches over this host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request itself makes no sense.
    #[error(transparent)]
    Usage(#[from] Misuse),
    /// A user's guests have as many builds in the store as they may have.
    #[error(
        "the build of {guest} is not stored: guests of user {uid} have {count} builds here, and their share is full"
    )]
    ShareFull {
        /// Whose build it is.
        guest: String,
        /// The user.
        uid: u32,
        /// How many builds his guests have.
        count: u64,
    },
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
    /// The fleet cannot be reached, or refuses.
    #[error(transparent)]
    Fleet(#[from] fm_client::Error),
    /// The name of this host is none that a fleet takes.
    #[error("the name of this host is none that a fleet takes")]
    NotReported,
    /// What the fleet gave is not the build that was wanted.
    #[error("what the fleet gave is not the build that was wanted: {why}")]
    NotABuild {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The agent's records can't be used.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A guest could not be captured or adopted.
    #[error(transparent)]
    Adopt(#[from] fm_adopt::Error),
    /// An update of a guest's firmware cannot be looked at or written down.
    #[error(transparent)]
    Update(#[from] fm_update::Error),
    /// What a rollout wants of a guest cannot be done.
    #[error(transparent)]
    Rollout(#[from] fm_rollout_host::Error),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
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
            Self::Images(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Transfer(error) => error.class(),
            Self::Check(error) => error.class(),
            Self::Adopt(error) => error.class(),
            Self::Update(error) => error.class(),
            Self::Rollout(error) => error.class(),
            Self::Fleet(error) => error.class(),
            Self::Usage(_) => Class::Usage,
            Self::Records(_) | Self::NotReported | Self::NotABuild { .. } | Self::ShareFull { .. } => {
                Class::Failed
            }
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
            Self::Adopt(error) => error.remedy(),
            Self::Update(error) => error.remedy(),
            Self::Rollout(error) => error.remedy(),
            Self::Fleet(error) => error.remedy(),
            Self::NotABuild { .. } => Some("see who wrote it into the fleet's store".into()),
            Self::NotReported => Some("let it join under another name".into()),
            Self::Records(_) => Some("move the file away: the agent makes a new one from what runs".into()),
            Self::ShareFull { .. } => Some(Remedy::new(
                "capture it by hand if it is to be kept",
                Action::Capture { guest: None },
            )),
            Self::Usage(error) => error.remedy(),
        }
    }
}
