//! Reads migration streams wherever they lie: files, pipes, libvirt save images, qcow2 snapshots.

mod channels;
mod contents;
mod document;
mod feed;
mod find;
mod gather;
mod input;
mod program;
mod vmstate;

pub use document::{document, kind, streamed};
pub use find::offset as find_offset;
pub(crate) use gather::gather_into;
pub use gather::{Gathered, gather};
pub use input::{Container, Request, is_stream};
pub use program::for_magic as compressed_by;

pub use crate::error::Stopped;
