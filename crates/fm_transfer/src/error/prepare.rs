//! Why nothing was prepared.

use std::path::PathBuf;

use fm_remedy::{Action, Class, Failure, Input, Remedy};

/// Why nothing was prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The guest has a VARS flash and nobody said where it shall live.
    #[error("the guest has a VARS flash of {size_bytes} bytes, and where it shall live was not said")]
    NoVarsPath {
        /// Its length.
        size_bytes: u64,
    },
    /// The guest has no VARS flash, but a path for it was given.
    #[error("the guest has no VARS flash, so {} would never be used", path.display())]
    NoVars {
        /// The path.
        path: PathBuf,
    },
    /// A flash size that no machine has.
    #[error("the offer's {what} is {size_bytes} bytes, which no flash of QEMU is")]
    Size {
        /// `CODE` or `VARS`.
        what: &'static str,
        /// What it claims.
        size_bytes: u64,
    },
    /// The VARS path holds somebody's variables.
    #[error("{} has content; the arriving guest would overwrite it", path.display())]
    VarsInUse {
        /// The path.
        path: PathBuf,
    },
    /// A running program has the file that is at the VARS path open for writing.
    #[error("{} is open for writing in {holder}", path.display())]
    OpenForWriting {
        /// The path.
        path: PathBuf,
        /// Process and pid, or what is known of the lock's holder.
        holder: String,
    },
    /// The VARS path is not a plain file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NoVarsPath { .. } | Self::NoVars { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoVarsPath { .. } => Remedy::give("say where it is to be", [Input::VarsPath]),
            Self::NoVars { .. } => "leave the path of a variable store out".into(),
            Self::Size { .. } => Remedy::new(
                "make the offer again on the source",
                Action::MakeOffer { guest: None },
            ),
            Self::VarsInUse { .. } => Remedy::give(
                "give another path, or have the file set aside as a backup first",
                [Input::VarsPath, Input::Replace],
            ),
            Self::OpenForWriting { .. } => {
                "give another path; the guest that has this file would lose its variables".into()
            }
            Self::NotAFile { .. } => "give the path of a file, or of nothing yet".into(),
        })
    }
}
