//! Why an update could not be done, and what the guest holds then.

use std::path::{Path, PathBuf};

use fm_remedy::{Action, Class, Failure, Input, Remedy};

use crate::decide::Refusal;

/// A failure to update. A refusal is none: it is what the document says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no build.
    #[error("{} is no CODE that a guest could be given: {why}", path.display())]
    NotABuild {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// A record of the journal cannot be understood.
    #[error("the record {} cannot be understood: {why}", path.display())]
    Record {
        /// Which record.
        path: PathBuf,
        /// Why not.
        why: RecordProblem,
    },
    /// Somebody works on this guest already.
    #[error("another process updates this guest ({id})")]
    Busy {
        /// The guest's record.
        id: String,
    },
    /// The socket is another QEMU's.
    #[error("at {} another QEMU answers than that of the guest (pid {pid})", socket.display())]
    OtherGuest {
        /// The socket.
        socket: PathBuf,
        /// The guest's process.
        pid: u32,
    },
    /// There is nothing to take back.
    #[error("no update of {guest} is known here")]
    NoUpdate {
        /// The guest.
        guest: String,
    },
    /// Its flash holds neither what it held before nor what it was given.
    #[error("the flash of {guest} holds bytes that are not of this update: sha256 {found}")]
    Overtaken {
        /// The guest.
        guest: String,
        /// What it holds.
        found: String,
    },
    /// Something turned up when the guest was to stand still, or did.
    #[error("{guest} holds what it held before: {why}")]
    LookedAgain {
        /// The guest.
        guest: String,
        /// What turned up.
        why: TurnedUp,
    },
    /// What was written could not be made certain.
    #[error("what was written to {guest} is not certain; {}", held(*old_in_place))]
    Doubt {
        /// The guest.
        guest: String,
        /// Whether the old bytes are in place again.
        old_in_place: bool,
        /// What gave rise to it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took longer than it may.
    #[error("{guest} stood still for {took_us} µs, more than the {bound_us} that it may; {}", held(*old_in_place))]
    TooLong {
        /// The guest.
        guest: String,
        /// How long it took until then.
        took_us: u64,
        /// How long it may take.
        bound_us: u64,
        /// Whether the old bytes are in place again.
        old_in_place: bool,
    },
    /// It stands still and could not be told to go on.
    #[error("{guest} stands still and could not be told to go on")]
    NotResumed {
        /// The guest.
        guest: String,
        /// Why.
        source: Box<Error>,
    },
    /// A guest could not be found or read.
    #[error(transparent)]
    Host(#[from] fm_host::Error),
    /// Its monitor failed.
    #[error(transparent)]
    Monitor(#[from] fm_host::qmp::Error),
    /// libvirt failed.
    #[error(transparent)]
    Virsh(#[from] fm_libvirt::VirshError),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
    /// A file could not be read, replaced or kept.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
    /// It could not be judged.
    #[error(transparent)]
    Check(#[from] Box<fm_check::Error>),
}

/// Why a record cannot be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProblem {
    /// It is no record, or cannot be written as one.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A later version wrote it.
    #[error("its version is {found}, not {known}")]
    Version {
        /// Its version.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// It is another guest's.
    #[error("it is of {id}")]
    OtherGuest {
        /// The name that its content gives it.
        id: String,
    },
}

/// What speaks against an update once the guest stands still.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnedUp {
    /// Memory is being sent or saved.
    #[error("{0}")]
    Migration(String),
    /// Memory began to be sent or saved while it was written.
    #[error(
        "{0}, which began while its flash was written: what arrives may be a part of both builds, so cancel it, or \
         compare what the guest holds there"
    )]
    MigrationSince(String),
    /// Where its processors are.
    #[error("{0}")]
    Processors(Refusal),
    /// Somebody else let it go on, or stopped it.
    #[error("it is in state `{0}`, in which somebody else put it meanwhile")]
    RunState(String),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

const fn held(old_in_place: bool) -> &'static str {
    match old_in_place {
        true => "it holds the old bytes again, and goes on",
        false => "it stands still, and what its flash holds has to be put right before it resets",
    }
}

impl Error {
    /// A file could not be `action`ed.
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }
}

impl From<fm_check::Error> for Error {
    fn from(error: fm_check::Error) -> Self {
        Self::Check(Box::new(error))
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Host(error) => error.class(),
            Self::Monitor(error) => error.class(),
            Self::Virsh(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Check(error) => error.class(),
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Host(error) => return error.remedy(),
            Self::Monitor(error) => return error.remedy(),
            Self::Virsh(error) => return error.remedy(),
            Self::Store(error) => return error.remedy(),
            Self::Files(error) => return error.remedy(),
            Self::Check(error) => return error.remedy(),
            Self::NotABuild { .. } => Remedy::new(
                "name a raw CODE file, or a stored build",
                Action::ListBuilds,
            ),
            Self::Record { .. } => "move the record aside, after a look at what the guest's flash holds".into(),
            Self::Busy { .. } => "wait until it is done".into(),
            Self::OtherGuest { .. } => {
                Remedy::give("name a QMP socket of this very guest", [Input::Monitor])
            }
            Self::NoUpdate { .. } | Self::Overtaken { .. } => Remedy::new(
                "see which updates are known",
                Action::UpdateStatus,
            ),
            Self::LookedAgain { .. } => "do it again when that is over".into(),
            Self::TooLong { .. } => "do it again when the host has less to do".into(),
            Self::Doubt { old_in_place: true, .. } => {
                "look into the kernel's log of the host: memory that reads otherwise than it was written is no good sign"
                    .into()
            }
            Self::Doubt { .. } => Remedy::new(
                "the next look at updates puts it right, or says why it cannot",
                Action::UpdateStatus,
            ),
            Self::NotResumed { .. } => "tell its monitor to go on (`cont`, or `virsh resume`)".into(),
        })
    }
}
