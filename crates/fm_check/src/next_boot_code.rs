//! What a guest's CODE file holds now, as its next start would read it: through the guest's own root, unpacked.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fm_formats::Sha256;
use fm_host::{FlashFormat, FlashUnit, Guest};
use fm_images::inspect;
use fm_remedy::one_line;
use fm_store::MAX_FLASH_BYTES;
use sha2::Digest as _;

const CHUNK_BYTES: usize = 256 << 10;

/// Why it is not known what a guest's next start would read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NextBootUnknown {
    /// The path leads nowhere: a start would fail.
    #[error("the file is gone")]
    Gone,
    /// It is in no file, but behind a protocol or a program.
    #[error("flash unit {unit} lies in {location}, which is not compared")]
    NoFile {
        /// The flash unit.
        unit: u32,
        /// Where it lies, as the command line has it.
        location: String,
    },
    /// It cannot be read.
    #[error("cannot read {location}: {why}")]
    Unreadable {
        /// Where it lies, as the command line has it.
        location: String,
        /// The system's reason.
        why: std::io::Error,
    },
    /// It is larger than flash can be.
    #[error("cannot read {location}: it is larger than flash can be ({} MiB)", MAX_FLASH_BYTES >> 20)]
    TooLarge {
        /// Where it lies, as the command line has it.
        location: String,
    },
    /// It cannot be unpacked.
    #[error("{}", one_line(.0))]
    Packed(Box<fm_images::Error>),
    /// It is in a format that is not unpacked here.
    #[error("flash unit {unit} is in a {format} file, whose content is not compared")]
    Format {
        /// The flash unit.
        unit: u32,
        /// QEMU's name of the format.
        format: String,
    },
}

/// Opens the file that the path of `unit` leads to.
///
/// # Errors
/// If it leads to no file, or to one that cannot be read or is larger than flash can be.
pub fn open(guest: &Guest, unit: &FlashUnit) -> Result<File, NextBootUnknown> {
    let file = guest.open_now(unit).map_err(|error| match error.kind() {
        ErrorKind::NotFound if guest.is_alive() => NextBootUnknown::Gone,
        ErrorKind::Unsupported => NextBootUnknown::NoFile {
            unit: unit.unit,
            location: unit.location.clone(),
        },
        _ => unreadable(unit, error),
    })?;
    let status = file.metadata().map_err(|error| unreadable(unit, error))?;
    if status.len() > MAX_FLASH_BYTES {
        return Err(NextBootUnknown::TooLarge {
            location: unit.location.clone(),
        });
    }
    Ok(file)
}

/// The flash in a file that was opened: the file itself, or what it unpacks to.
///
/// # Errors
/// If its format is not unpacked here, or it cannot be.
pub fn unpacked(file: File, unit: &FlashUnit) -> Result<File, NextBootUnknown> {
    match &unit.format {
        FlashFormat::Raw => Ok(file),
        FlashFormat::Qcow2 => inspect::unpack_qcow2(&file, unit.location.as_ref())
            .map_err(|error| NextBootUnknown::Packed(Box::new(error))),
        FlashFormat::Other(format) => Err(NextBootUnknown::Format {
            unit: unit.unit,
            format: format.clone(),
        }),
    }
}

/// Digest and size of the flash that a start would get.
///
/// # Errors
/// As [`open`] and [`unpacked`].
pub fn digest(guest: &Guest, unit: &FlashUnit) -> Result<(Sha256, u64), NextBootUnknown> {
    let file = unpacked(open(guest, unit)?, unit)?;
    digest_of(&file).map_err(|error| unreadable(unit, error))
}

/// The flash that a start would get.
///
/// # Errors
/// As [`open`] and [`unpacked`].
pub fn bytes(guest: &Guest, unit: &FlashUnit) -> Result<Vec<u8>, NextBootUnknown> {
    let file = unpacked(open(guest, unit)?, unit)?;
    let mut bytes = Vec::new();
    walk(&file, |chunk| bytes.extend_from_slice(chunk)).map_err(|error| unreadable(unit, error))?;
    Ok(bytes)
}

/// What is told of a file that the system does not let us read.
#[must_use]
pub fn unreadable(unit: &FlashUnit, why: std::io::Error) -> NextBootUnknown {
    NextBootUnknown::Unreadable {
        location: unit.location.clone(),
        why,
    }
}

/// Digest and size of the file at `path`, if it is a regular one that is no larger than a build may be.
pub fn digest_at(path: &Path) -> Option<(Sha256, u64)> {
    digest_of(&fm_files::open_regular(path).ok()?).ok()
}

/// Digest and size of all of `file`.
pub fn digest_of(file: &File) -> std::io::Result<(Sha256, u64)> {
    let mut hasher = sha2::Sha256::new();
    let size_bytes = walk(file, |chunk| hasher.update(chunk))?;
    Ok((Sha256::from_bytes(hasher.finalize().into()), size_bytes))
}

/// Reads a file from its start, however it was read before; one that grows without end has an end here.
fn walk(file: &File, mut each: impl FnMut(&[u8])) -> std::io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let read = match file.read_at(&mut chunk, offset) {
            Ok(0) => return Ok(offset),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        each(&chunk[..read]);
        offset += read as u64;
        if offset > MAX_FLASH_BYTES {
            return Err(std::io::Error::other("it grows while it is read"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_is_read_whole_from_its_start_again_and_again() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..600_000u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        for _ in 0..2 {
            assert_eq!(digest_of(&file).unwrap(), (Sha256::of(&bytes), 600_000));
        }
    }
}
