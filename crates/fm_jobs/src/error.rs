//! Why a job could not judge or act, with what to do about it.

use std::path::PathBuf;

use fm_formats::Sha256;
use fm_remedy::{Action, Class, Failure, Input, Remedy};

/// A job's failure. The message says what failed, the source chain why, its remedy what to do.
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
    Saved(Box<crate::saved::Error>),
    /// A program that undoes a compression or a disk image's format cannot be run.
    #[error("cannot run `{program}` to unpack {}", path.display())]
    Program {
        /// Which program.
        program: String,
        /// For which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something between libvirt and us failed.
    #[error(transparent)]
    Libvirt(#[from] crate::libvirt::Error),
    /// The agent's records can't be used.
    #[error(transparent)]
    Records(#[from] crate::agent::RecordsError),
    /// A variable store could not be read or changed.
    #[error(transparent)]
    Vars(#[from] crate::vars::Error),
    /// A guest could not be found or read.
    #[error(transparent)]
    Host(#[from] fm_host::Error),
    /// An offer could not be made or read.
    #[error(transparent)]
    Offer(#[from] crate::offer::Error),
    /// Nothing was prepared.
    #[error(transparent)]
    Prepare(#[from] crate::prepare::Error),
    /// A migration was not begun or did not end well.
    #[error(transparent)]
    Migrate(#[from] crate::migrate::Error),
    /// Two sources contradict each other, so nothing can be judged.
    #[error("two sources say different things")]
    Contradiction(#[source] Box<fm_judge::Contradiction>),
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
    /// The demo showed that something does not hold, or could not run.
    #[error(transparent)]
    Demo(#[from] crate::demo::Error),
    /// The system refused a signal handler.
    #[error("cannot listen for Ctrl-C")]
    Signal {
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is no flash image.
    #[error("{} is no firmware: {why}", path.display())]
    NotFirmware {
        /// Which file.
        path: PathBuf,
        /// What it is instead, or what it lacks.
        why: String,
    },
    /// The file holds variables where firmware was asked for.
    #[error("{} is no firmware code but a variable store", path.display())]
    NoCode {
        /// The file.
        path: PathBuf,
    },
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
    Lab(#[source] fm_lab::Error),
    /// The request itself makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to ask for instead.
        remedy: Remedy,
    },
}

/// Two digests that should be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected sha256 {expected}, found {found}")]
pub struct Mismatch {
    /// What was announced.
    pub expected: Sha256,
    /// What the guest runs.
    pub found: Sha256,
}

impl From<crate::saved::Error> for Error {
    fn from(error: crate::saved::Error) -> Self {
        Self::Saved(Box::new(error))
    }
}

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
            Self::Store(error) => error.class(),
            Self::Saved(error) => error.class(),
            Self::Libvirt(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Host(error) => error.class(),
            Self::Offer(error) => error.class(),
            Self::Prepare(error) => error.class(),
            Self::Migrate(error) => error.class(),
            Self::Demo(error) => error.class(),
            Self::File { .. }
            | Self::NotFirmware { .. }
            | Self::NoCode { .. }
            | Self::NotStore { .. }
            | Self::Lab(_)
            | Self::Stream { .. }
            | Self::Program { .. }
            | Self::Records(_)
            | Self::DigestMismatch { .. }
            | Self::NotHarvested { .. }
            | Self::Signal { .. } => Class::Failed,
            Self::Contradiction(_) => Class::Unknown,
            Self::Usage { .. } => Class::Usage,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        let look = |path: &std::path::Path| Action::Inspect {
            path: path.to_str().map(ToOwned::to_owned),
        };
        Some(match self {
            Self::Store(error) => return error.remedy(),
            Self::Saved(error) => return error.remedy(),
            Self::Libvirt(error) => return error.remedy(),
            Self::Vars(error) => return error.remedy(),
            Self::Host(error) => return error.remedy(),
            Self::Offer(error) => return error.remedy(),
            Self::Prepare(error) => return error.remedy(),
            Self::Migrate(error) => return error.remedy(),
            Self::Demo(error) => return error.remedy(),
            Self::Usage { remedy, .. } => remedy.clone(),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "run it as a user who may, or as root".into()
            }
            Self::File { .. } | Self::Lab(_) | Self::Signal { .. } => return None,
            Self::NoCode { path } => Remedy::new("name a CODE file; see what this one is", look(path)),
            Self::NotStore { path, .. } => Remedy::new("name a VARS file; see what this one is", look(path)),
            Self::Contradiction(_) => "leave out what is wrong, or name the right file".into(),
            Self::Records(_) => "move the file away: the agent makes a new one from what runs".into(),
            Self::Stream {
                source: fm_formats::Error::Truncated { .. },
                ..
            } => "use a whole copy of the file".into(),
            Self::Stream { .. } => Remedy::new("see what can hold a saved guest", Action::SavedFormats),
            Self::Program { program, .. } if program == "qemu-img" => {
                "install qemu-img (Debian's package is qemu-utils), or convert the file to raw elsewhere"
                    .into()
            }
            Self::Program { program, .. } => Remedy::advice(format!(
                "install {program}; libvirt needs it to restore this image as well"
            )),
            Self::DigestMismatch { pid, .. } => Remedy::new(
                "look which firmware the source really ran, and name the digest of what is to be stored",
                Action::Harvest {
                    guest: Some(pid.to_string()),
                },
            )
            .then(Action::Give(Input::ExpectedDigest)),
            Self::NotHarvested { .. } => Remedy::new(
                "remove the cause, then store what the destination's guest brought along",
                Action::Harvest { guest: None },
            ),
            Self::NotFirmware { .. } => "name a flash image, raw or qcow2".into(),
        })
    }
}

impl From<fm_judge::Contradiction> for Error {
    fn from(contradiction: fm_judge::Contradiction) -> Self {
        Self::Contradiction(Box::new(contradiction))
    }
}
