//! PI firmware volumes: headers, files, sections, decompression.
//!
//! [`Tree::parse`] reads any flash image: what it does not know it keeps as padding or as a section of
//! unknown type, what is damaged it records with its offset and reads on behind it. Work and memory are
//! bounded by [`Limits`].

pub mod decode;
pub mod depex;
mod header;
mod kinds;
mod parse;
pub mod pe;
pub mod raw;
mod tree;

pub use header::{Block, VolumeHeader};
pub use kinds::{Encoding, FileKind, SectionKind};
pub use tree::{Damage, FileFacts, Limits, Node, NodeId, NodeKind, SectionFacts, Tree, VolumeFacts};
