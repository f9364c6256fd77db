//! The VARS template for a guest whose own is not here.
//!
//! libvirt wants a template before it starts QEMU, although the variables arrive with the stream. An empty
//! store is a template that firmware also boots with, should the guest's own file ever be lost.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_files::{NewFile, Place};
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

/// What [`template`] holds; nothing if no guest has so many bytes of variables.
pub(crate) fn bytes(vars_bytes: u64) -> Option<Vec<u8>> {
    let zeros = || vec![0; usize::try_from(vars_bytes).unwrap_or(0)];
    (vars_bytes <= fm_store::IMAGE_LIMIT_BYTES).then(|| empty_store(vars_bytes).unwrap_or_else(zeros))
}

/// A file of `vars_bytes` for libvirt to copy.
pub(crate) fn template(store: &Store, vars_bytes: u64) -> Result<PathBuf> {
    let folder = store.path().join(FOLDER);
    let path = folder.join(format!("blank-{vars_bytes}.fd"));
    let bytes = empty_store(vars_bytes);
    if is_blank(&path, vars_bytes, bytes.as_deref()) {
        return Ok(path);
    }
    let failed = |source| crate::Error::file("write", &path, source);
    fs::create_dir_all(&folder).map_err(failed)?;
    let new = NewFile::create(&Place::at(&path)?)?;
    match bytes {
        Some(bytes) => new.write_all(&bytes)?,
        None => new.file().set_len(vars_bytes).map_err(failed)?,
    }
    new.set_mode(0o644)?;
    new.place_over()?;
    Ok(path)
}

/// Whether a file is what [`template`] makes. One of zeros has no blocks at all.
fn is_blank(path: &Path, vars_bytes: u64, bytes: Option<&[u8]>) -> bool {
    let Ok(file) = path.symlink_metadata() else {
        return false;
    };
    file.is_file()
        && file.len() == vars_bytes
        && match bytes {
            Some(bytes) => fs::read(path).is_ok_and(|found| found == bytes),
            None => file.blocks() == 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_is_not_what_it_was_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for vars_bytes in [0x2_0000, 0x8_4000, 64 << 20] {
            let path = template(&store, vars_bytes).unwrap();
            let made = path.metadata().unwrap();
            assert_eq!(made.len(), vars_bytes);
            assert_eq!(template(&store, vars_bytes).unwrap(), path);
            assert_eq!(path.metadata().unwrap().ino(), made.ino(), "made twice");
            let before = fs::read(&path).unwrap();
            fs::write(&path, vec![7; before.len()]).unwrap();
            template(&store, vars_bytes).unwrap();
            assert!(fs::read(&path).unwrap() == before, "{vars_bytes}");
        }
    }

    #[test]
    fn zeros_take_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let path = template(&store, 64 << 20).unwrap();
        assert_eq!(path.metadata().unwrap().blocks(), 0);
    }
}
