//! Why a job could not judge or act, with what to do about it.

use std::path::PathBuf;

use fm_formats::Sha256;

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
        /// What to write instead.
        remedy: String,
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

impl From<fm_files::Error> for Error {
    fn from(error: fm_files::Error) -> Self {
        let (action, path, source) = error.into_parts();
        Self::File { action, path, source }
    }
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

    /// How the process ends on it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Store(error) => store_class(error),
            Self::Saved(error) => error.class(),
            Self::Libvirt(error) => error.class(),
            Self::Records(_) => Class::Failed,
            Self::Vars(error) => error.class(),
            Self::File { .. }
            | Self::NotFirmware { .. }
            | Self::NoCode { .. }
            | Self::NotStore { .. }
            | Self::Lab(_)
            | Self::Stream { .. }
            | Self::Program { .. }
            | Self::Host(_)
            | Self::Offer(_)
            | Self::DigestMismatch { .. }
            | Self::NotHarvested { .. }
            | Self::Demo(_)
            | Self::Signal { .. } => Class::Failed,
            Self::Contradiction(_) => Class::Unknown,
            Self::Prepare(error) => error.class(),
            Self::Migrate(error) => error.class(),
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
            Self::File { .. } | Self::Lab(_) => None,
            Self::NoCode { .. } => {
                Some("name a CODE file; flashmoor inspect FILE shows what a file is".into())
            }
            Self::NotStore { .. } => {
                Some("name a VARS file; flashmoor inspect FILE shows what a file is".into())
            }
            Self::Contradiction(_) => {
                Some("leave out the option that is wrong, or name the right file".into())
            }
            Self::Store(error) => error.remedy(),
            Self::Saved(error) => error.remedy(),
            Self::Libvirt(error) => error.remedy(),
            Self::Records(_) => Some("move the file away: the agent makes a new one from what runs".into()),
            Self::Stream { source, .. } => Some(match source {
                fm_formats::Error::Truncated { .. } => "use a whole copy of the file".into(),
                _ => "`flashmoor saved --help` lists what can hold a saved guest".into(),
            }),
            Self::Program { program, .. } if program == "qemu-img" => {
                Some("install qemu-img (Debian's package is qemu-utils), or convert the file to raw elsewhere".into())
            }
            Self::Program { program, .. } => Some(format!(
                "install {program}; libvirt needs it to restore this image as well"
            )),
            Self::Vars(error) => error.remedy(),
            Self::Host(error) => error.remedy(),
            Self::Offer(error) => error.remedy(),
            Self::Prepare(error) => error.remedy(),
            Self::Migrate(error) => error.remedy(),
            Self::DigestMismatch { .. } => Some(
                "look which firmware the source really ran; `flashmoor harvest --expect SHA256` stores what you name".into(),
            ),
            Self::NotHarvested { .. } => {
                Some("remove the cause and run `flashmoor harvest` with the destination's guest".into())
            }
            Self::Demo(error) => error.remedy(),
            Self::Signal { .. } => None,
            Self::NotFirmware { .. } => Some("name a flash image, raw or qcow2".into()),
            Self::Usage { remedy, .. } => Some(remedy.clone()),
        }
    }
}

impl From<fm_judge::Contradiction> for Error {
    fn from(contradiction: fm_judge::Contradiction) -> Self {
        Self::Contradiction(Box::new(contradiction))
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
