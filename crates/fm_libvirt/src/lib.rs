//! Domain XML edited format-preserving, and the hook protocol.

mod saved;

pub use saved::{SavedDomain, SavedError, saved_domain, with_firmware};
