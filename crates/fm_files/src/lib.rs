//! Files without loss: what was found in a large file is remembered, what is written is whole, and words are quoted.

#![forbid(unsafe_code)]

pub mod digest_cache;
mod error;
pub mod output;
mod quote;

pub use error::{Error, Result, io_remedy};
pub use quote::quote;
