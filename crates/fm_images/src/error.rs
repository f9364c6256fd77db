//! Why an image could not be looked at.

use std::path::PathBuf;

use fm_remedy::{Class, Failure, Misuse, Remedy};

use crate::json_store::JsonStoreError;

/// A failure with an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is no flash image.
    #[error("{} is no firmware: {why}", path.display())]
    NotFirmware {
        /// Which file.
        path: PathBuf,
        /// What it is instead, or what it lacks.
        why: NotFirmwareReason,
    },
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
    /// The request itself makes no sense.
    #[error(transparent)]
    Usage(#[from] Misuse),
    /// A stream or a saved guest cannot be read.
    #[error(transparent)]
    Saved(Box<fm_saved::Error>),
    /// A file could not be read, replaced or kept.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
}

/// Why a file is no firmware.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotFirmwareReason {
    /// Its bytes are no flash image.
    #[error(transparent)]
    Image(#[from] fm_formats::image::NotFirmware),
    /// It is JSON, and no variable store.
    #[error(transparent)]
    JsonStore(#[from] JsonStoreError),
    /// It is something else, in the words that its document has as well.
    #[error("{0}")]
    Other(String),
}

impl From<String> for NotFirmwareReason {
    fn from(words: String) -> Self {
        Self::Other(words)
    }
}

impl From<&str> for NotFirmwareReason {
    fn from(words: &str) -> Self {
        Self::Other(words.to_owned())
    }
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<fm_saved::Error> for Error {
    fn from(error: fm_saved::Error) -> Self {
        Self::Saved(Box::new(error))
    }
}

impl Error {
    /// A file could not be `action`ed.
    pub(crate) fn file(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Saved(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Usage(_) => Class::Usage,
            Self::NotFirmware { .. } | Self::Program { .. } => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Saved(error) => error.remedy(),
            Self::Files(error) => error.remedy(),
            Self::NotFirmware { .. } => Some("name a flash image, raw or qcow2".into()),
            Self::Program { program, .. } if program == "qemu-img" => Some(
                "install qemu-img (Debian's package is qemu-utils), or convert the file to raw elsewhere"
                    .into(),
            ),
            Self::Program { program, .. } => Some(Remedy::advice(format!(
                "install {program}; libvirt needs it to restore this image as well"
            ))),
            Self::Usage(error) => error.remedy(),
        }
    }
}
