//! Why something could not be done for a guest of Proxmox's.

use std::path::PathBuf;

use fm_remedy::{Action, Failure, Remedy};

/// A failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no Proxmox VE here.
    #[error("cannot read {}, where a node of Proxmox VE has its cluster", path.display())]
    NoProxmox {
        /// What is not there.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No such guest.
    #[error("there is no guest {id}")]
    NoGuest {
        /// Its number.
        id: u32,
    },
    /// The guest is on another node.
    #[error("guest {id} is on node {node}")]
    OtherNode {
        /// Its number.
        id: u32,
        /// Its node.
        node: String,
    },
    /// The guest has no UEFI firmware that could be adopted.
    #[error("guest {id} has no UEFI firmware in flash: {why}")]
    NoFlash {
        /// Its number.
        id: u32,
        /// What it has.
        why: &'static str,
    },
    /// Proxmox gives the guest flash in a way that clashes with another.
    #[error(
        "guest {id} has a machine type below 10.0, for which Proxmox gives flash as drives, and QEMU takes no other beside those"
    )]
    OldMachine {
        /// Its number.
        id: u32,
    },
    /// What is in `args` cannot be read as words.
    #[error("the args of guest {id} cannot be read: a quote is not closed")]
    Args {
        /// Its number.
        id: u32,
    },
    /// A program of Proxmox's failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Which, with what it was asked.
        program: String,
        /// What it said, in one line.
        said: String,
    },
    /// A volume that no file or device of this node is.
    #[error("volume {volume} is no file or block device of this node, but {path:?}")]
    NotLocal {
        /// Which.
        volume: String,
        /// What Proxmox calls it for QEMU.
        path: String,
    },
    /// The build is nowhere.
    #[error("build {build} of guest {id} is not on this node")]
    NoBuild {
        /// Its number.
        id: u32,
        /// The first digits of the build.
        build: String,
        /// Why the node that it comes from did not give it, if it was asked.
        source: Option<Box<Error>>,
    },
    /// A hookscript that was there before failed.
    #[error("the hookscript {volume} of guest {id} failed")]
    Hookscript {
        /// Its number.
        id: u32,
        /// Which.
        volume: String,
    },
    /// A record of ours cannot be read or written.
    #[error("{} is no record of an adopted guest", path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A record that another version of Flashmoor wrote.
    #[error("{} is of version {version}, which is not known here", path.display())]
    RecordVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A failure of files.
    #[error(transparent)]
    Files(#[from] fm_files::Error),
    /// A failure of the store.
    #[error(transparent)]
    Store(#[from] fm_store::Error),
    /// A failure of variables.
    #[error(transparent)]
    Vars(#[from] fm_variables::Error),
    /// A guest that runs cannot be read.
    #[error(transparent)]
    Adopt(#[from] fm_adopt::Error),
}

impl Failure for Error {
    fn class(&self) -> fm_remedy::Class {
        match self {
            Self::Files(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Vars(error) => error.class(),
            Self::Adopt(error) => error.class(),
            _ => fm_remedy::Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoProxmox { .. } => "run it on a node of the cluster".into(),
            Self::NoGuest { .. } => "see `qm list`".into(),
            Self::OtherNode { .. } => "run it on that node".into(),
            Self::NoFlash { .. } => return None,
            Self::OldMachine { id } => Remedy::advice(format!(
                "leave it as it is, or give it a later machine type at a time when it is off: `qm set {id}` with `q35` as the machine \
                 takes the newest; what that changes for Windows is in Proxmox's documentation"
            )),
            Self::Args { id } => Remedy::advice(format!("see `qm config {id}`, and set them anew")),
            Self::Program { .. } => return None,
            Self::NotLocal { .. } => {
                "let the storage be mapped by the kernel (krbd for Ceph): QEMU alone reaches it now".into()
            }
            Self::NoBuild { .. } => Remedy::new("bring it from the node that has it", Action::ExportBuild),
            Self::Hookscript { .. } => "see what it printed before this".into(),
            Self::RecordVersion { .. } => "use the same version of flashmoor on every node".into(),
            Self::Record { .. } => "remove it, and adopt the guest again".into(),
            Self::Files(error) => return error.remedy(),
            Self::Store(error) => return error.remedy(),
            Self::Vars(error) => return error.remedy(),
            Self::Adopt(error) => return error.remedy(),
        })
    }
}
