//! The memory of an internal snapshot in a qcow2 image, read in order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fm_stream::qcow2::{HEADER_BYTES, Image, MAX_SNAPSHOT_TABLE_BYTES, Place, Snapshot};

use crate::{Error, Result};

/// One snapshot's memory.
pub(super) struct VmState {
    file: File,
    image: Image,
    snapshot: Snapshot,
    position: u64,
}

/// The snapshots of a qcow2 image that hold memory.
pub(super) fn snapshots(file: &File, path: &Path) -> Result<(Image, Vec<Snapshot>)> {
    let unreadable = |source| Error::file("read", path, source);
    let mut header = [0u8; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(unreadable)?;
    let refused = |source| Error::Stream {
        path: path.into(),
        source,
    };
    let image = Image::parse(&header).map_err(refused)?;
    // The table's size is not in the header: read more until it ends within what was read.
    let mut len_bytes = 64u64 << 10;
    loop {
        let mut table = vec![0u8; usize::try_from(len_bytes).unwrap_or(0)];
        let read = read_up_to(file, &mut table, image.snapshots_offset).map_err(unreadable)?;
        match image.snapshots(&table[..read]) {
            Err(fm_formats::Error::Truncated { .. })
                if read as u64 == len_bytes && len_bytes < MAX_SNAPSHOT_TABLE_BYTES =>
            {
                len_bytes *= 2;
            }
            table => {
                let mut snapshots = table.map_err(refused)?;
                snapshots.retain(|snapshot| snapshot.vm_state_bytes > 0);
                return Ok((image, snapshots));
            }
        }
    }
}

fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl VmState {
    pub(super) fn new(file: File, image: Image, snapshot: Snapshot) -> Self {
        Self {
            file,
            image,
            snapshot,
            position: 0,
        }
    }

    /// As [`io::Read::read`]; one read stays within a cluster.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.snapshot.vm_state_bytes.saturating_sub(self.position);
        let cluster = self.image.cluster_bytes();
        let within = self.position % cluster;
        let len = left.min(cluster - within).min(buffer.len() as u64);
        let buffer = &mut buffer[..usize::try_from(len).unwrap_or(0)];
        if buffer.is_empty() {
            return Ok(0);
        }
        let bad = |error: fm_formats::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let l1_at = self
            .image
            .l1_entry_offset(&self.snapshot, self.position)
            .map_err(bad)?;
        let place = match self.image.l2_entry_offset(self.entry(l1_at)?, self.position) {
            None => Place::Zero,
            Some(l2_at) => self.image.place(self.entry(l2_at)?, l2_at).map_err(bad)?,
        };
        match place {
            Place::Zero => buffer.fill(0),
            Place::At(offset) => self.file.read_exact_at(buffer, offset.saturating_add(within))?,
        }
        self.position += len;
        Ok(buffer.len())
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.snapshot.vm_state_bytes
    }

    pub(super) fn skip(&mut self, bytes: u64) -> u64 {
        let done = bytes.min(self.snapshot.vm_state_bytes.saturating_sub(self.position));
        self.position += done;
        done
    }

    fn entry(&self, offset: u64) -> io::Result<u64> {
        let mut entry = [0u8; 8];
        self.file.read_exact_at(&mut entry, offset)?;
        Ok(u64::from_be_bytes(entry))
    }
}
