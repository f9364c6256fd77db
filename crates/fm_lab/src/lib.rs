//! Real QEMU guests for the demo, the atlas and the tests: started from a few words, driven over their
//! serial line and a monitor of their own, gone when the value is dropped.
//!
//! Every guest runs under TCG: `/dev/kvm` may exist and not work, and none of what is shown needs it.

mod guest;
mod machine;
mod serial;

pub use guest::Guest;
pub use machine::{Arch, Emulator, Machine};
pub use serial::Serial;

use std::path::PathBuf;
use std::time::Duration;

/// How long one step of a guest may take before it counts as failed. Generous: it bounds a hang,
/// it does not measure, and emulation on a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What can go wrong with a guest of the lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// Boot after boot found nothing to start.
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

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
