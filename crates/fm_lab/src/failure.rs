//! What can go wrong with a guest of the lab.

use std::path::PathBuf;

use crate::PATIENCE;

/// What can go wrong with a guest of the lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// QEMU cannot be started at all.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// QEMU ended although it should run.
    #[error("QEMU ended with {status}; it said: {stderr}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its standard error.
        stderr: String,
    },
    /// Something that the guest should have done did not happen.
    #[error("waited {} s for {what}; the serial line's end: {seen:?}", PATIENCE.as_secs())]
    Waited {
        /// What was expected.
        what: String,
        /// The last of what came.
        seen: String,
    },
    /// The boot ended in the boot manager.
    #[error("the firmware does not start its shell")]
    NoShell,
    /// A file of the lab cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The monitor failed.
    #[error("the guest's monitor failed")]
    Monitor(#[from] fm_host::qmp::Error),
}

/// What a guest of the lab returns.
pub type GuestResult<T> = std::result::Result<T, GuestError>;
