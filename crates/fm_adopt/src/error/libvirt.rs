//! Why a domain is not adopted, or a hook not in place.

use std::path::PathBuf;

use fm_libvirt::{AdoptError, DomainXmlError, VirshError};
use fm_remedy::{Action, Failure, Input, Remedy};

/// What can fail between libvirt and us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibvirtError {
    /// `virsh` cannot be run, or libvirt refused.
    #[error(transparent)]
    Virsh(#[from] VirshError),
    /// A definition cannot be edited.
    #[error("the definition of domain {domain} cannot be changed")]
    Definition {
        /// Whose.
        domain: String,
        /// Why.
        source: AdoptError,
    },
    /// XML of libvirt's cannot be read.
    #[error("the definition of domain {domain} cannot be read")]
    Xml {
        /// Whose.
        domain: String,
        /// Why.
        source: DomainXmlError,
    },
    /// The domain has no firmware of its own to keep.
    #[error("domain {domain} has no CODE flash: it starts with {firmware}")]
    NoFlash {
        /// Which.
        domain: String,
        /// What it has instead.
        firmware: String,
    },
    /// The flash is in a file whose format the definition does not name, or one that is neither raw nor qcow2.
    #[error(
        "domain {domain} has its {what} in a file that is neither raw nor a qcow2 image that its definition calls so"
    )]
    NotRaw {
        /// Which.
        domain: String,
        /// `CODE` or `VARS`.
        what: &'static str,
    },
    /// The firmware file of a domain that is off is gone.
    #[error("domain {domain} is off and its firmware {} is gone", path.display())]
    FirmwareGone {
        /// Which.
        domain: String,
        /// Its CODE.
        path: PathBuf,
    },
    /// A file of the store was made anew and is not what it should be.
    #[error("{} was made anew and still is not what it should be", path.display())]
    NotPutBack {
        /// Which.
        path: PathBuf,
    },
    /// The definition as it was names what this host does not have.
    #[error("domain {domain} could not start with its definition as it was: {} is not on this host", path.display())]
    NothingToGoBackTo {
        /// Which.
        domain: String,
        /// What is missing.
        path: PathBuf,
    },
}

impl Failure for LibvirtError {
    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::Virsh(error) => return error.remedy(),
            Self::Definition {
                source: AdoptError::NotChosen,
                ..
            } => "start the domain, and adopt it while it runs".into(),
            Self::Definition { .. } | Self::Xml { .. } | Self::NotPutBack { .. } => return None,
            Self::NoFlash { .. } => "nothing: there is no flash firmware to keep".into(),
            Self::NotRaw { .. } => {
                "convert the file with `qemu-img convert -O raw` and change the definition while the domain is off".into()
            }
            Self::FirmwareGone { .. } => Remedy::new(
                "bring the build, and name its path in the definition",
                Action::ImportBuild {
                    code: None,
                    with_template: false,
                },
            ),
            Self::NothingToGoBackTo { .. } => Remedy::give(
                "leave it adopted, or install the package that has the file; the definition can be given back all the \
                 same, and the build stays pinned",
                [Input::Force],
            ),
        })
    }
}
