//! Why an instance is not held to its build.

use fm_remedy::{Class, Failure, Remedy};

/// A failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Incus's program failed, or is not there.
    #[error("{program} failed: {said}")]
    Program {
        /// What it was asked.
        program: String,
        /// What it said, in one line.
        said: String,
    },
    /// What Incus answered is no instance.
    #[error("what Incus says of {instance} cannot be understood")]
    Answer {
        /// Which.
        instance: String,
        /// Why.
        source: serde_json::Error,
    },
    /// No instance is called so.
    #[error("{name:?} cannot be the name of an instance or a project")]
    Name {
        /// What was given.
        name: String,
    },
    /// A container has no firmware.
    #[error("{instance} is no virtual machine")]
    NoMachine {
        /// Which.
        instance: String,
    },
    /// Which build it boots is known while it runs only.
    #[error("{instance} does not run, and which firmware Incus would start it with is not known before")]
    NotRunning {
        /// Which.
        instance: String,
    },
    /// Somebody chose its firmware already.
    #[error("raw.qemu.conf of {instance} names firmware of its own: {file}")]
    OwnFirmware {
        /// Which.
        instance: String,
        /// The file.
        file: String,
    },
    /// Its settings are of a form that cannot be edited safely.
    #[error("raw.qemu.conf of {instance} has a drive in a form that is not understood")]
    Strange {
        /// Which.
        instance: String,
    },
    /// The guest has no build that could be stored.
    #[error("no CODE flash of {instance} was found")]
    NoFlash {
        /// Which.
        instance: String,
    },
    /// It could not be captured.
    #[error(transparent)]
    Adopt(#[from] fm_adopt::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Adopt(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::NoMachine { .. } | Self::Name { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(Remedy::advice(match self {
            Self::Adopt(error) => return error.remedy(),
            Self::Store(error) => return error.remedy(),
            Self::Program { .. } => {
                "see that Incus runs here and knows the instance, in the project that is meant"
            }
            Self::NotRunning { .. } => "start it first",
            Self::OwnFirmware { .. } => "leave it so, or take that out of raw.qemu.conf first",
            Self::Strange { .. } => {
                "write each section and each setting of raw.qemu.conf in a line of its own"
            }
            Self::Name { .. } | Self::Answer { .. } | Self::NoMachine { .. } | Self::NoFlash { .. } => {
                return None;
            }
        }))
    }
}
