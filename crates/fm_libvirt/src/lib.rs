//! Libvirt's domain XML: read, and edited so that every other byte stays.

mod adopt;
mod domain;
mod edit;
mod error;
mod saved;
mod xml;

pub use adopt::{AdoptError, Stored, adopted, metadata, unadopted};
pub use domain::{Domain, Identity, Loader, METADATA_URI, Nvram};
pub use error::SavedError;
pub use saved::{SavedDomain, saved_domain, with_firmware};
