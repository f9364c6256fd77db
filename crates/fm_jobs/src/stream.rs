//! Reads migration streams wherever they lie: files, pipes, libvirt save images, qcow2 snapshots.

mod devices;
mod document;
mod feed;
mod gather;
mod input;
mod program;
mod vmstate;

pub use document::{
    StreamBlock, StreamChannel, StreamDevice, StreamDocument, StreamNote, StreamSnapshot, StreamStop,
    Streamed,
};
pub use gather::{Gathered, gather};
pub use input::{Container, Request, is_stream};

use crate::Result;

/// What `flashmoor inspect` says of anything that holds a stream.
///
/// # Errors
/// [`crate::Error`] if the input cannot be read or holds no stream.
pub fn inspect(request: &Request) -> Result<Streamed> {
    let gathered = gather(request)?;
    Ok(Streamed::new(&gathered))
}
