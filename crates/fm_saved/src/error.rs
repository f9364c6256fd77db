//! Why a saved guest's firmware cannot be had or put in place.

mod stopped;

use std::path::{Path, PathBuf};

use fm_remedy::{Action, Class, Failure, Input, Misuse, Remedy};

pub use stopped::Stopped;

/// A failure of the `saved` verbs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
    /// A file holds no migration stream, or nothing of it can be read.
    #[error("cannot read a migration stream from {}", path.display())]
    Stream {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the offset.
        source: fm_formats::Error,
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
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
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
    /// The domain's VARS are gone; they were qcow2, and the store's templates are raw.
    #[error("the saved domain of {} has its variables in a qcow2 file, which is gone with its template", path.display())]
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
        source: fm_libvirt::DomainXmlError,
    },
    /// The stream's place is fixed, and the new XML needs more room than there is before it.
    #[error("the XML of {} has no room to grow, and its stream cannot be moved", path.display())]
    NoRoom {
        /// Which file.
        path: PathBuf,
    },
    /// Another image stands at the path by now, or none.
    #[error("{} was restored or saved again meanwhile; nothing was changed", path.display())]
    Changed {
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
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Files(fm_files::Error::io(action, path, source))
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NoBlock { .. }
            | Self::Exists { .. }
            | Self::OtherVars { .. }
            | Self::NoSaveImage { .. }
            | Self::Usage(_)
            | Self::NoVarsPath
            | Self::NoSecondRead => Class::Usage,
            Self::Store(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Stream { .. }
            | Self::Program { .. }
            | Self::Vars { .. }
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

    fn remedy(&self) -> Option<Remedy> {
        let extract = |part| Action::ExtractSaved { file: None, part };
        Some(match self {
            Self::NoBlock { have, .. } if have.is_empty() => Remedy::new(
                "see how far the stream can be read",
                Action::Inspect { path: None },
            ),
            Self::NoBlock { have, .. } => Remedy::advice(format!("it holds: {}", have.join(", "))),
            Self::Incomplete { source, .. } => source
                .as_ref()
                .map_or_else(|| "use a whole copy of the file".into(), Stopped::remedy),
            Self::TooMuch { .. } => Remedy::new(
                "if it is what you want, memory can be written as it comes",
                extract(Some("block")),
            ),
            Self::NoSecondRead => "write the stream to a file and name that".into(),
            Self::Postcopy { .. } => Remedy::new(
                "the firmware can be taken out; the guest itself is lost with its source",
                extract(None),
            ),
            Self::Combined { .. } => Remedy::new(
                "take it out, and restore the guest with it as its flash unit 0, writable: no build of the store \
                 belongs there",
                extract(Some("code")),
            ),
            Self::Qcow2 { .. } => Remedy::new(
                "take VARS out, and put them where the XML says with `qemu-img convert -f raw -O qcow2`; \
                 `virsh save-image-dumpxml` shows the XML",
                extract(Some("vars")),
            ),
            Self::Vars { .. } => Remedy::new("take it out as it is", extract(Some("vars"))),
            Self::Unrestorable { source, .. } => {
                let mut remedy = source.remedy();
                remedy
                    .advice
                    .to_mut()
                    .push_str("; firmware that is whole can still be taken out");
                remedy.then(extract(None))
            }
            Self::NoVarsPath => Remedy::give("say where it is to be", [Input::VarsPath]),
            Self::Exists { .. } | Self::OtherVars { .. } => "name another file, or move it away first".into(),
            Self::NoSaveImage { .. } => Remedy::new(
                "of other streams take the files out, and start QEMU with them",
                extract(None),
            ),
            Self::Domain { .. } => "`virsh save-image-edit` shows the XML".into(),
            Self::NoRoom { .. } => Remedy::give("use a store with a shorter path", [Input::StoreFolder]),
            Self::Store(error) => return error.remedy(),
            Self::Files(error) => return error.remedy(),
            Self::Stream { source, .. } => match source {
                fm_formats::Error::Truncated { .. } => "use a whole copy of the file".into(),
                _ => Remedy::new("name a file that can hold a saved guest", Action::SavedFormats),
            },
            Self::Program { program, .. } if program == "qemu-img" => {
                "install qemu-img (Debian's package is qemu-utils), or convert the file to raw elsewhere"
                    .into()
            }
            Self::Program { program, .. } => Remedy::advice(format!(
                "install {program}; libvirt needs it to restore this image as well"
            )),
            Self::Usage(error) => return error.remedy(),
            Self::Changed { .. } => "if the guest is still saved, adopt the image that is there now".into(),
            Self::ReadBack { .. } => return None,
        })
    }
}
