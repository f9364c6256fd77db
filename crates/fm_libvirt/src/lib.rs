//! Libvirt's domain XML: read, and edited so that every other byte stays.

mod saved;

pub use saved::{SavedDomain, SavedError, saved_domain, with_firmware};
