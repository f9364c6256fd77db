//! Why a command failed: the errors of the rooms below, and those of the command line itself.

use fm_remedy::{Class, Failure, Misuse, Remedy};

/// A command's failure. The message says what failed, the source chain why, [`Failure::remedy`] what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command's words make no sense.
    #[error(transparent)]
    Usage(#[from] Misuse),
    /// The system refused a signal handler.
    #[error("cannot listen for Ctrl-C")]
    Signal {
        /// The system's reason.
        source: std::io::Error,
    },
    /// A failure of `fm_adopt`.
    #[error(transparent)]
    Adopt(#[from] Box<fm_adopt::Error>),
    /// A failure of `fm_agent`.
    #[error(transparent)]
    Agent(#[from] Box<fm_agent::Error>),
    /// A failure of `fm_check`.
    #[error(transparent)]
    Check(#[from] Box<fm_check::Error>),
    /// A failure of `fm_client`.
    #[error(transparent)]
    Client(#[from] Box<fm_client::Error>),
    /// A failure of `fm_files`.
    #[error(transparent)]
    Files(#[from] Box<fm_files::Error>),
    /// A failure of `fm_host`.
    #[error(transparent)]
    Host(#[from] Box<fm_host::Error>),
    /// A failure of `fm_images`.
    #[error(transparent)]
    Images(#[from] Box<fm_images::Error>),
    /// A failure of `fm_incus`.
    #[error(transparent)]
    Incus(#[from] Box<fm_incus::Error>),
    /// A failure of `fm_lab`.
    #[error(transparent)]
    Lab(#[from] Box<fm_lab::Error>),
    /// A failure of `fm_pve`.
    #[error(transparent)]
    Pve(#[from] Box<fm_pve::Error>),
    /// A failure of `fm_saved`.
    #[error(transparent)]
    Saved(#[from] Box<fm_saved::Error>),
    /// A failure of `fm_server`.
    #[error(transparent)]
    Server(#[from] Box<fm_server::Error>),
    /// A failure of `fm_store`.
    #[error(transparent)]
    Store(#[from] Box<fm_store::Error>),
    /// A failure of `fm_transfer`.
    #[error(transparent)]
    Transfer(#[from] Box<fm_transfer::Error>),
    /// A failure of `fm_update`.
    #[error(transparent)]
    Update(#[from] Box<fm_update::Error>),
    /// A failure of `fm_variables`.
    #[error(transparent)]
    Vars(#[from] Box<fm_variables::Error>),
}

macro_rules! from_rooms {
    ($($room:ty),* $(,)?) => {
        $(impl From<$room> for Error {
            fn from(error: $room) -> Self {
                Box::new(error).into()
            }
        })*
    };
}

from_rooms!(
    fm_adopt::Error,
    fm_agent::Error,
    fm_check::Error,
    fm_client::Error,
    fm_files::Error,
    fm_host::Error,
    fm_images::Error,
    fm_incus::Error,
    fm_lab::Error,
    fm_pve::Error,
    fm_saved::Error,
    fm_server::Error,
    fm_store::Error,
    fm_transfer::Error,
    fm_update::Error,
    fm_variables::Error,
);

impl Error {
    pub(crate) fn file(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        fm_files::Error::io(action, path, source).into()
    }

    /// What failed in the room that it comes from, or the command line's own failure.
    fn failure(&self) -> Option<&dyn Failure> {
        match self {
            Self::Usage(error) => Some(error),
            Self::Signal { .. } => None,
            Self::Adopt(error) => Some(&**error),
            Self::Agent(error) => Some(&**error),
            Self::Check(error) => Some(&**error),
            Self::Client(error) => Some(&**error),
            Self::Files(error) => Some(&**error),
            Self::Host(error) => Some(&**error),
            Self::Images(error) => Some(&**error),
            Self::Incus(error) => Some(&**error),
            Self::Lab(error) => Some(&**error),
            Self::Pve(error) => Some(&**error),
            Self::Saved(error) => Some(&**error),
            Self::Server(error) => Some(&**error),
            Self::Store(error) => Some(&**error),
            Self::Transfer(error) => Some(&**error),
            Self::Update(error) => Some(&**error),
            Self::Vars(error) => Some(&**error),
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match (self, self.failure()) {
            (_, Some(below)) => below.class(),
            (_, None) => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match (self, self.failure()) {
            (_, Some(below)) => below.remedy(),
            (_, None) => None,
        }
    }
}
