//! Libvirt: its domain XML, read and edited so that every other byte stays; how it calls its hook; and `virsh`.

mod adopt;
mod domain;
mod edit;
mod error;
mod hook;
mod own_element;
mod saved;
mod virsh;
mod xml;

pub use adopt::{AdoptError, Chosen, Stored, adopted, metadata, unadopted, with_vars};
pub use domain::{Booted, Domain, FileFormat, Identity, Loader, Nvram};
pub use error::DomainXmlError;
pub use hook::{Operation, SubOperation};
pub use own_element::{METADATA_URI, OWNER_URI, Owner, is_address};
pub use saved::{SavedDomain, saved_domain, with_firmware};
pub use virsh::{DomainInfo, Virsh, VirshError, managed_save};
