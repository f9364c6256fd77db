//! libvirt: domain XML, read and edited so that every other byte stays, and `virsh`.

mod adopt;
mod domain;
mod edit;
mod saved;
pub mod virsh;
mod xml;

pub use adopt::{AdoptError, METADATA_URI, Stored, adopted, metadata, unadopted};
pub use domain::{Domain, Identity, Loader, Nvram};
pub use saved::{SavedDomain, SavedError, saved_domain, with_firmware};
pub use virsh::Virsh;
