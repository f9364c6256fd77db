//! Reads migration streams wherever they lie: files, pipes, libvirt save images, qcow2 snapshots.

mod devices;
mod document;
mod feed;
mod gather;
mod input;
mod program;
mod vmstate;

pub use document::{
    SavedDomainDocument, StreamBlock, StreamChannel, StreamDevice, StreamDocument, StreamNote,
    StreamSnapshot, StreamStop, Streamed,
};
pub use gather::{Gathered, gather};
pub use input::{Container, Request, is_stream};
