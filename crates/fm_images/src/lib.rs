//! Firmware images: what a file is, what differs, what is in it, what builds are called, what descriptors say.

mod build_list;
pub mod catalogue;
pub mod descriptors;
pub mod diff;
mod error;
pub mod extract;
pub mod inspect;
pub mod json_store;
pub mod words;

pub use error::{Error, NotFirmwareReason, Result};
