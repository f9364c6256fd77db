//! The VARS template for a guest whose own is not here.
//!
//! libvirt wants a template before it starts QEMU, although the variables arrive with the stream. An empty
//! store is a template that firmware also boots with, should the guest's own file ever be lost.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_files::{NewFile, Place};
use fm_formats::Sha256;
use fm_formats::image::Layout;
use fm_images::inspect;
use fm_libvirt::Identity;
use fm_store::Store;
use fm_varstore::Writer;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

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
    (vars_bytes <= fm_store::MAX_FLASH_BYTES).then(|| empty_store(vars_bytes).unwrap_or_else(zeros))
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
    fm_files::create_folders(&folder)?;
    let new = NewFile::create(&Place::at(&path)?)?;
    match bytes {
        Some(bytes) => new.write_all(&bytes)?,
        None => new.file().set_len(vars_bytes).map_err(failed)?,
    }
    new.set_mode(0o644)?;
    new.place_over()?;
    Ok(path)
}

/// Whether `vars` is what libvirt makes from [`template`], where the domain's own template is another one: what an
/// arrival leaves that never came. It is no variable store of the domain's.
pub(super) fn is_leftover(vars: &Path, identity: &Identity) -> bool {
    let (Some(vars_bytes), Some(own)) = (identity.vars_bytes, &identity.vars_template) else {
        return false;
    };
    vars_bytes <= fm_store::MAX_FLASH_BYTES
        && holds_blank(vars, vars_bytes)
        && bytes(vars_bytes).is_some_and(|blank| Sha256::of(&blank) != *own)
}

/// Whether a regular file, not a link to one, holds an empty store of that length, read only as far as it does.
pub(super) fn holds_blank(path: &Path, vars_bytes: u64) -> bool {
    open_in(CWD, path).is_some_and(|file| is_blank_flash(&file, path, vars_bytes))
}

/// Whether a regular file holds an empty store of any length.
pub(super) fn is_any_blank(path: &Path) -> bool {
    open_in(CWD, path).is_some_and(|file| {
        let len_bytes = file.metadata().map_or(0, |file| file.len());
        let vars_bytes = fm_host::qcow2_size_bytes(&file).unwrap_or(len_bytes);
        vars_bytes > 0 && is_blank_flash(&file, path, vars_bytes)
    })
}

/// libvirt packs what it makes for VARS in qcow2.
fn is_blank_flash(file: &File, path: &Path, vars_bytes: u64) -> bool {
    match fm_host::qcow2_size_bytes(file) {
        Some(_) => inspect::unpack_qcow2(file, path).is_ok_and(|plain| is_blank_file(&plain, vars_bytes)),
        None => is_blank_file(file, vars_bytes),
    }
}

fn is_blank_file(mut file: &File, vars_bytes: u64) -> bool {
    if !file
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.len() == vars_bytes)
    {
        return false;
    }
    let expected = empty_store(vars_bytes);
    let mut chunk = vec![0; 64 << 10];
    let mut at = 0_usize;
    loop {
        let Ok(read) = file.read(&mut chunk) else {
            return false;
        };
        let found = &chunk[..read];
        let is_same = match &expected {
            Some(expected) => expected.get(at..at.saturating_add(read)) == Some(found),
            None => found.iter().all(|byte| *byte == 0),
        };
        at = at.saturating_add(read);
        if !is_same || read == 0 {
            return is_same && at as u64 == vars_bytes;
        }
    }
}

/// Removes `vars` if it still is an empty store of that length.
pub(super) fn remove(vars: &Path, vars_bytes: u64) -> Result<()> {
    let failed = |source: std::io::Error| crate::Error::file("remove", vars, source);
    let (Some(folder), Some(name)) = (vars.parent(), vars.file_name()) else {
        return Ok(());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let Some(file) = open_in(&folder, name) else {
        return Ok(());
    };
    if !is_blank_flash(&file, vars, vars_bytes) {
        return Ok(());
    }
    // What stands there by now must be what was read.
    let read = file.metadata().map_err(failed)?;
    let now = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
    match now.is_ok_and(|now| now.st_ino == read.ino() && now.st_dev == read.dev()) {
        true => rustix::fs::unlinkat(&folder, name, AtFlags::empty()).map_err(|errno| failed(errno.into())),
        false => Ok(()),
    }
}

fn open_in(folder: impl AsFd, name: impl AsRef<Path>) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name.as_ref(), flags, Mode::empty());
    file.ok().map(File::from)
}

/// Whether a file is what [`template`] makes. One of zeros has no blocks at all.
fn is_blank(path: &Path, vars_bytes: u64, bytes: Option<&[u8]>) -> bool {
    let Ok(file) = path.symlink_metadata() else {
        return false;
    };
    file.is_file()
        && file.len() == vars_bytes
        && match bytes {
            Some(bytes) => {
                fm_files::read_bounded(path, vars_bytes).is_ok_and(|found| found.as_deref() == Some(bytes))
            }
            None => file.blocks() == 0,
        }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
