//! A flash file that a definition names: its flash's length, digest and bytes, unpacked where it is a qcow2 image.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use fm_check::next_boot_code::{digest_at, digest_of};
use fm_formats::Sha256;
use fm_images::inspect;
use fm_libvirt::FileFormat;

use crate::Result;

/// Whether a file is a qcow2 image. libvirt 9.0 drops `format='qcow2'` from what it is given, so that a definition
/// may call such a file raw.
pub(super) fn is_qcow2(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| fm_host::qcow2_size_bytes(&file).is_some())
}

/// The length of the flash that QEMU would make of it.
pub(super) fn len_bytes(path: &Path, format: FileFormat) -> Option<u64> {
    match format {
        FileFormat::Qcow2 => fm_host::qcow2_size_bytes(&fm_files::open_regular(path).ok()?),
        FileFormat::Raw | FileFormat::Other => path.metadata().ok().map(|file| file.len()),
    }
}

/// The digest of its flash, if it is no larger than a build may be.
pub(super) fn digest(path: &Path, format: FileFormat) -> Option<Sha256> {
    let (digest, _) = match format {
        FileFormat::Qcow2 => digest_of(&unpacked(path).ok()?).ok()?,
        FileFormat::Raw | FileFormat::Other => digest_at(path)?,
    };
    Some(digest)
}

/// Its flash.
pub(super) fn read(path: &Path, format: FileFormat) -> Result<Vec<u8>> {
    let failed = |source| crate::Error::file("read", path, source);
    let file = match format {
        FileFormat::Qcow2 => unpacked(path)?,
        FileFormat::Raw | FileFormat::Other => fm_files::open_regular(path).map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(fm_store::MAX_FLASH_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > fm_store::MAX_FLASH_BYTES {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

fn unpacked(path: &Path) -> Result<File> {
    let file = fm_files::open_regular(path).map_err(|source| crate::Error::file("read", path, source))?;
    Ok(inspect::unpack_qcow2(&file, path)?)
}
