//! A guest moves with its firmware: offer, prepare, migrate, harvest.

mod document;
mod error;
pub mod harvest;
pub mod migrate;
pub mod offer;
pub mod prepare;

pub use document::outcome;
pub use error::{Error, Mismatch, Result};
