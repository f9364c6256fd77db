//! Why a saved guest's firmware cannot be had or put in place.

use std::path::PathBuf;

use crate::Class;
use crate::stream::Stopped;

/// A failure of the `saved` verbs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream has no such block.
    #[error("{} holds no {wanted}", path.display())]
    NoBlock {
        /// Which file.
        path: PathBuf,
        /// The block's name, or what it should hold.
        wanted: String,
        /// The blocks it does hold.
        have: Vec<String>,
    },
    /// Not all of the block is there.
    #[error("{} does not hold all of {block}", path.display())]
    Incomplete {
        /// Which file.
        path: PathBuf,
        /// The block.
        block: String,
        /// Where and why reading stopped.
        source: Option<Stopped>,
    },
    /// The block has more data than is kept in memory.
    #[error("{block} in {} holds more data than any firmware", path.display())]
    TooMuch {
        /// Which file.
        path: PathBuf,
        /// The block.
        block: String,
    },
    /// The stream comes out of a pipe, so no step can name it.
    #[error("standard input is gone once it was read")]
    NoSecondRead,
    /// A postcopy stream needs its source.
    #[error("{} was captured in postcopy, and only the QEMU that it came from could complete it", path.display())]
    Postcopy {
        /// Which file.
        path: PathBuf,
    },
    /// The guest's flash is one writable image of CODE and variables: nobody else can run it.
    #[error("the saved guest in {} has its variables and its CODE in one flash", path.display())]
    Combined {
        /// Which file.
        path: PathBuf,
    },
    /// The domain's flash files are qcow2, those of the store are raw.
    #[error("the saved domain of {} has flash files in qcow2 format, and the store's are raw", path.display())]
    Qcow2 {
        /// Which file.
        path: PathBuf,
    },
    /// An output exists already.
    #[error("{} exists", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The image was restored, or saved again, since it was read.
    #[error("{} was restored or saved again meanwhile", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// An output exists already, with variables that are not the guest's.
    #[error("{} exists and does not hold the saved guest's variables", path.display())]
    OtherVars {
        /// Which file.
        path: PathBuf,
    },
    /// The VARS flash is no variable store.
    #[error("the VARS flash in {} cannot be read", path.display())]
    Vars {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: fm_formats::Error,
    },
    /// The stream is not whole, so QEMU would not load it.
    #[error("{} is not whole and cannot be restored", path.display())]
    Unrestorable {
        /// Which file.
        path: PathBuf,
        /// Where and why reading stopped.
        source: Stopped,
    },
    /// Nobody said where the variables go.
    #[error("the saved guest has a VARS flash, and where it shall live was not said")]
    NoVarsPath,
    /// A job for libvirt save images alone.
    #[error("{} is no libvirt save image", path.display())]
    NoSaveImage {
        /// Which file.
        path: PathBuf,
    },
    /// The saved domain's XML cannot be used.
    #[error("cannot point the saved domain of {} elsewhere", path.display())]
    Domain {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: fm_libvirt::SavedError,
    },
    /// The stream's place is fixed, and the new XML needs more room than there is before it.
    #[error("the XML of {} has no room to grow, and its stream cannot be moved", path.display())]
    NoRoom {
        /// Which file.
        path: PathBuf,
    },
    /// What was written does not read back as meant.
    #[error("the rewritten image does not read back as meant; {} is as it was", path.display())]
    ReadBack {
        /// Which file.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::NoBlock { .. }
            | Self::Exists { .. }
            | Self::OtherVars { .. }
            | Self::NoSaveImage { .. }
            | Self::NoVarsPath
            | Self::NoSecondRead => Class::Usage,
            Self::Vars { .. }
            | Self::TooMuch { .. }
            | Self::Postcopy { .. }
            | Self::Combined { .. }
            | Self::Qcow2 { .. }
            | Self::Unrestorable { .. }
            | Self::Incomplete { .. }
            | Self::Domain { .. }
            | Self::Changed { .. }
            | Self::NoRoom { .. } => Class::Failed,
            Self::ReadBack { .. } => Class::Bug,
        }
    }

    pub(crate) fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NoBlock { have, .. } if have.is_empty() => {
                "`flashmoor inspect FILE` shows how far the stream can be read".into()
            }
            Self::NoBlock { have, .. } => format!("it holds: {}", have.join(", ")),
            Self::Incomplete { source, .. } => source
                .as_ref()
                .map_or_else(|| "use a whole copy of the file".into(), Stopped::remedy),
            Self::TooMuch { .. } => {
                "if it is what you want, `flashmoor saved extract FILE --block NAME=OUT` writes memory as it comes"
                    .into()
            }
            Self::NoSecondRead => "write the stream to a file and name that".into(),
            Self::Postcopy { .. } => {
                "`flashmoor saved extract` takes out the firmware; the guest itself is lost with its source".into()
            }
            Self::Combined { .. } => {
                "take it out with `flashmoor saved extract FILE --code OUT`, and restore the guest with OUT as its flash \
                 unit 0, writable: no build of the store belongs there"
                    .into()
            }
            Self::Qcow2 { .. } => {
                "take CODE out with `flashmoor saved extract FILE --code OUT`, and put it where the XML says with \
                 `qemu-img convert -f raw -O qcow2`; `virsh save-image-dumpxml` shows the XML"
                    .into()
            }
            Self::Vars { .. } => "`flashmoor saved extract --vars OUT` takes it out as it is".into(),
            Self::Unrestorable { source, .. } => format!(
                "{}; `flashmoor saved extract` still takes out the firmware, where that is whole",
                source.remedy()
            ),
            Self::NoVarsPath => "say it with `--vars PATH`".into(),
            Self::Exists { .. } | Self::OtherVars { .. } => "name another file, or move it away first".into(),
            Self::Changed { .. } => {
                "the image that is there was left alone; run it again if the guest is still saved".into()
            }
            Self::NoSaveImage { .. } => {
                "for other streams, `flashmoor saved extract` and start QEMU with the files".into()
            }
            Self::Domain { .. } => "`virsh save-image-edit` shows the XML".into(),
            Self::NoRoom { .. } => "use a store with a shorter path (--store)".into(),
            Self::ReadBack { .. } => return None,
        })
    }
}
