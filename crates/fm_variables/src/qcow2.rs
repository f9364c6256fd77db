//! Stores in qcow2: unpacked and packed by `qemu-img`, which never sees but private copies.
//!
//! A guest that may write its flash owns every byte of a raw VARS file, so it can make it look like a qcow2
//! that names other files of the host. [`inspect::flash`] refuses those before any program opens them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;

use fm_images::inspect::{self, Flash};
use fm_stream::qcow2::Header;

use crate::Error;
use crate::error::ProgramFailure;

/// What of a qcow2 matters when it is written again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qcow2 {
    cluster_bits: u32,
    /// Nothing that a fresh file could keep.
    pub(super) has_snapshots: bool,
}

impl Default for Qcow2 {
    /// As `qemu-img` makes them.
    fn default() -> Self {
        Self {
            cluster_bits: 16,
            has_snapshots: false,
        }
    }
}

impl Qcow2 {
    /// From the first bytes of the file.
    pub(super) fn of(header: &[u8]) -> Self {
        Header::parse(header).map_or_else(
            |_| Self::default(),
            |header| Self {
                cluster_bits: header.cluster_bits.clamp(9, 21),
                has_snapshots: header.snapshot_count != 0,
            },
        )
    }

    /// The file that holds a raw image of `len_bytes`: `content`, then zeros.
    pub(super) fn pack(self, about: &Path, content: &[u8], len_bytes: u64) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::File {
            action: "write",
            path: about.to_path_buf(),
            source,
        };
        let mut plain = memory_file().map_err(failed)?;
        let mut packed = memory_file().map_err(failed)?;
        plain
            .write_all(content)
            .and_then(|()| plain.set_len(len_bytes))
            .map_err(failed)?;
        let cluster = format!("cluster_size={}", 1u64 << self.cluster_bits);
        let said = Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2", "-o", &cluster])
            .args([own_path(&plain), own_path(&packed)])
            .output()
            .map_err(|error| program_failed(about, ProgramFailure::NotStarted(error)))?;
        if !said.status.success() {
            let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
            return Err(program_failed(about, ProgramFailure::Said(why)));
        }
        let mut bytes = Vec::new();
        packed
            .seek(SeekFrom::Start(0))
            .and_then(|_| packed.read_to_end(&mut bytes))
            .map_err(failed)?;
        Ok(bytes)
    }
}

/// A qcow2 image of these bytes, as `qemu-img` makes them; `about` is what errors call it.
///
/// # Errors
/// If `qemu-img` is missing or fails.
pub fn pack_qcow2(about: &Path, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    Qcow2::default().pack(about, bytes, bytes.len() as u64)
}

/// The raw image inside a qcow2 that is open; it may be open in a guest as well.
pub(super) fn unpack(about: &Path, file: &File) -> Result<Flash, Error> {
    inspect::flash(Path::new(&own_path(file))).map_err(|error| match error {
        fm_images::Error::Files(fm_files::Error::Io { action, source, .. }) => Error::File {
            action,
            path: about.to_path_buf(),
            source,
        },
        fm_images::Error::Program { source, .. } => program_failed(about, ProgramFailure::NotStarted(source)),
        other => Error::Unfit {
            path: about.to_path_buf(),
            why: Box::new(other),
        },
    })
}

/// Bytes of the image from its start, as far as there are any.
pub(super) fn start_of(flash: &Flash, most_bytes: usize) -> Vec<u8> {
    let len = usize::try_from(flash.len_bytes).map_or(most_bytes, |len| len.min(most_bytes));
    let mut bytes = flash.content.clone();
    bytes.resize(len, flash.fill);
    bytes
}

fn program_failed(about: &Path, why: ProgramFailure) -> Error {
    Error::Program {
        program: "qemu-img",
        path: about.to_path_buf(),
        why,
    }
}

/// How another process opens a file that this one has open.
fn own_path(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

pub(super) fn memory_file() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("flashmoor", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}
