//! PI firmware volumes: headers, files, sections, decompression.

mod header;
pub mod raw;

pub use header::{Block, VolumeHeader};
