//! Why a guest, or something of it, could not be found or read.

use std::io;
use std::path::PathBuf;

use fm_remedy::{Action, Failure, Remedy};

/// A failure of this crate. The message says what failed, the source chain why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No QEMU process answers to the selector.
    #[error("no guest {selector:?} runs on this host")]
    NoGuest {
        /// What was asked for.
        selector: String,
    },
    /// More than one QEMU process answers to the selector.
    #[error("{selector:?} could be any of {}", candidates.join(", "))]
    Several {
        /// What was asked for.
        selector: String,
        /// Each candidate, as `pid N (name)`.
        candidates: Vec<String>,
    },
    /// The process exists and is no QEMU system emulator.
    #[error("process {pid} is not QEMU: {why}")]
    NotQemu {
        /// Which process.
        pid: u32,
        /// What gave it away.
        why: String,
    },
    /// The process ended while it was looked at.
    #[error("process {pid} has ended")]
    Gone {
        /// Which process.
        pid: u32,
    },
    /// The guest runs firmware that lies in no flash device.
    #[error("{guest} has no firmware flash: it runs {firmware}")]
    NoFlash {
        /// `pid N (name)`.
        guest: String,
        /// What it runs instead.
        firmware: String,
    },
    /// QEMU's machines have two flash units; this command line names others.
    #[error("{guest} names flash unit {unit}, but firmware lies in units 0 (CODE) and 1 (VARS) only")]
    TooManyFlashUnits {
        /// `pid N (name)`.
        guest: String,
        /// The unit that does not belong.
        unit: u32,
    },
    /// The guest has no flash of this unit.
    #[error("{guest} has no flash unit {unit}")]
    NoSuchFlash {
        /// `pid N (name)`.
        guest: String,
        /// The unit that is missing.
        unit: u32,
    },
    /// The kernel does not let us look.
    #[error("no permission to read {what} of process {pid}")]
    Denied {
        /// Which process.
        pid: u32,
        /// What was to be read, such as `the memory`.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The guest is at the destination of a postcopy migration, and this part of it is still at the source.
    #[error(
        "a part of the memory of process {pid} has not arrived yet: the guest is in a postcopy migration"
    )]
    Arriving {
        /// Which process.
        pid: u32,
    },
    /// Something under /proc could not be read for another reason than permission or the process's end.
    #[error("cannot read {what} of process {pid}")]
    Proc {
        /// Which process.
        pid: u32,
        /// What was to be read.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The flash is not where it should be in the process's memory.
    #[error("flash unit {unit} was not found in the memory of {guest}: {why}")]
    FlashNotFound {
        /// `pid N (name)`.
        guest: String,
        /// Which unit.
        unit: u32,
        /// What was seen instead.
        why: String,
    },
    /// The guest wrote to its flash faster than it could be read whole.
    #[error("flash unit {unit} of {guest} did not hold still in {readings} readings")]
    Unsettled {
        /// `pid N (name)`.
        guest: String,
        /// Which unit.
        unit: u32,
        /// How often it was read.
        readings: u32,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file or an entry of /proc does not say what it should.
    #[error("{what} of process {pid} makes no sense: {why}")]
    Malformed {
        /// Which process.
        pid: u32,
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Failure for Error {
    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoGuest { .. } => Remedy::new(
                "name a guest of this host by its pid, name, uuid or QMP socket",
                Action::ListGuests,
            ),
            Self::Several { .. } => "name the guest by its pid or uuid".into(),
            Self::NotQemu { .. } => "name a QEMU process".into(),
            Self::NoFlash { .. } => {
                "start the guest with `-drive if=pflash`: only firmware in flash can travel and be kept"
                    .into()
            }
            Self::TooManyFlashUnits { .. } => {
                "start the guest with CODE in unit 0 and VARS in unit 1 only".into()
            }
            Self::Denied { .. } => "run it as root, or as the user that QEMU runs as".into(),
            Self::FlashNotFound { .. } => {
                "a guest that is starting or ending does not have it in memory: look again".into()
            }
            Self::Arriving { .. } => {
                "try again when the migration has completed (`query-migrate` at the source's monitor)".into()
            }
            Self::Unsettled { .. } => "try again when the guest writes fewer variables".into(),
            _ => return None,
        })
    }
}

impl Error {
    /// An error met while reading `what` of process `pid`: a process that is gone, a permission that
    /// is missing, or what the kernel said.
    pub(crate) fn proc(pid: u32, what: &'static str, source: io::Error) -> Self {
        let gone = source.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
        match source.kind() {
            io::ErrorKind::NotFound => Self::Gone { pid },
            _ if gone => Self::Gone { pid },
            io::ErrorKind::PermissionDenied => Self::Denied { pid, what, source },
            _ => Self::Proc { pid, what, source },
        }
    }
}
