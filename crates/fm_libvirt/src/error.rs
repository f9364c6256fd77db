//! Why a domain's XML cannot be read or changed.

use std::path::PathBuf;

use fm_remedy::Failure;

/// Why XML is no domain, or cannot be pointed elsewhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DomainXmlError {
    /// No XML.
    #[error("the domain's XML cannot be read")]
    Xml(#[from] roxmltree::Error),
    /// XML that no definition is like, and that would take long to read.
    #[error("the domain's XML has more than {limit} {what}, which no definition has")]
    Unreasonable {
        /// Of what there is so much.
        what: &'static str,
        /// How much of it is taken.
        limit: usize,
    },
    /// XML of something else.
    #[error("the XML is of a <{root}>, not of a <domain>")]
    NoDomain {
        /// Its outermost element.
        root: String,
    },
    /// A domain without CODE flash.
    #[error("the domain has no <loader> in its <os>: libvirt chose the firmware by itself, or it has none")]
    NoLoader,
    /// A path that XML cannot hold.
    #[error("the path {} is no text", path.display())]
    Path {
        /// Which.
        path: PathBuf,
    },
}

impl Failure for DomainXmlError {}
