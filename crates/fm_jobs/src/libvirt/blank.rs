//! The VARS template for a guest whose own is not here.
//!
//! libvirt wants a template before it starts QEMU, although the variables arrive with the stream. An empty
//! store is a template that firmware also boots with, should the guest's own file ever be lost.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use fm_formats::image::Layout;
use fm_formats::varstore::Writer;
use fm_store::Store;

use super::FOLDER;
use crate::Result;

/// The layout whose VARS file has this length, if only one has.
pub(crate) fn layout_of(vars_bytes: u64) -> Option<Layout> {
    match vars_bytes {
        0x2_0000 => Some(Layout::X86Size2M),
        0x8_4000 => Some(Layout::X86Size4M),
        _ => None,
    }
}

/// The bytes of an empty store; nothing where all zeros are as good (ARM and RISC-V make their own then).
pub(crate) fn empty_store(vars_bytes: u64) -> Option<Vec<u8>> {
    let bytes = Writer::new(layout_of(vars_bytes)?).emit(&[]).ok()?;
    (bytes.len() as u64 == vars_bytes).then_some(bytes)
}

/// A file of `vars_bytes` for libvirt to copy.
pub(crate) fn template(store: &Store, vars_bytes: u64) -> Result<PathBuf> {
    let folder = store.path().join(FOLDER);
    let path = folder.join(format!("blank-{vars_bytes}.fd"));
    if path.metadata().is_ok_and(|file| file.len() == vars_bytes) {
        return Ok(path);
    }
    let failed = |source| crate::Error::file("write", &path, source);
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut fresh = tempfile::Builder::new()
        .prefix(".blank-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(&folder)
        .map_err(failed)?;
    match empty_store(vars_bytes) {
        Some(bytes) => fresh.write_all(&bytes),
        None => io::copy(&mut io::repeat(0).take(vars_bytes), &mut fresh).map(drop),
    }
    .and_then(|()| fresh.as_file().sync_all())
    .map_err(failed)?;
    fresh.persist(&path).map_err(|error| failed(error.error))?;
    Ok(path)
}
