//! Why a guest could not be moved with its firmware.

pub(crate) mod migrate;
pub(crate) mod offer;
pub(crate) mod prepare;
pub(crate) mod refusal;
pub(crate) mod relay;
pub(crate) mod unfit;

use std::path::Path;

use fm_remedy::{Action, Class, Failure, Input, Remedy};

/// A failure to offer, prepare, migrate or harvest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A guest runs other firmware than was announced.
    #[error("the guest (pid {pid}) runs other firmware than was announced; nothing was stored")]
    DigestMismatch {
        /// The guest's process.
        pid: u32,
        /// The two digests.
        source: Mismatch,
    },
    /// The guest has moved, but its firmware was not stored or not verified.
    #[error("the guest has moved and runs, but its firmware is not verified")]
    NotHarvested {
        /// Why.
        source: Box<Error>,
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
    /// Two sources contradict each other, so nothing can be judged.
    #[error("two sources say different things")]
    Contradiction(#[from] fm_judge::Contradiction),
    /// An offer could not be made or read.
    #[error(transparent)]
    Offer(#[from] offer::Error),
    /// Nothing was prepared.
    #[error(transparent)]
    Prepare(#[from] prepare::Error),
    /// A migration was not begun or did not end well.
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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
            Self::Contradiction(_) => Class::Unknown,
            Self::Offer(_) => Class::Failed,
            Self::Prepare(error) => error.class(),
            Self::Migrate(error) => error.class(),
            Self::DigestMismatch { .. } | Self::NotHarvested { .. } => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Host(error) => error.remedy(),
            Self::Store(error) => error.remedy(),
            Self::Files(error) => error.remedy(),
            Self::Contradiction(_) => {
                Some("name the right guests: their monitors contradict what is known".into())
            }
            Self::Offer(error) => error.remedy(),
            Self::Prepare(error) => error.remedy(),
            Self::Migrate(error) => error.remedy(),
            Self::DigestMismatch { .. } => Some(Remedy::give(
                "look which firmware the source really ran; with its digest given, what the guest runs is stored",
                [Input::ExpectedDigest],
            )),
            Self::NotHarvested { .. } => Some(Remedy::new(
                "remove the cause and store what the destination's guest runs",
                Action::Harvest { guest: None },
            )),
        }
    }
}

/// Two digests that should be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected sha256 {expected}, found {found}")]
pub struct Mismatch {
    /// What was announced.
    pub expected: fm_formats::Sha256,
    /// What the guest runs.
    pub found: fm_formats::Sha256,
}
