//! libvirt: domain XML, read and edited so that every other byte stays, and `virsh`.

mod adopt;
mod domain;
mod edit;
mod error;
mod saved;
pub mod virsh;
mod xml;

pub use adopt::{AdoptError, Stored, adopted, metadata, unadopted};
pub use domain::{Domain, Identity, Loader, METADATA_URI, Nvram};
pub use error::SavedError;
pub use virsh::Virsh;
pub use saved::{SavedDomain, saved_domain, with_firmware};
