//! Templates in qcow2, for domains whose VARS are: libvirt makes VARS from a template of their own format only.

use std::path::{Path, PathBuf};

use fm_files::{NewFile, Place};
use fm_formats::Sha256;
use fm_libvirt::FileFormat;
use fm_store::Store;

use super::{FOLDER, flash_file};
use crate::Result;

/// The file that holds what the raw template at `raw` does, under the digest of that.
pub(super) fn of(store: &Store, raw: &Path) -> Result<PathBuf> {
    let folder = store.path().join(FOLDER);
    let bytes = flash_file::read(raw, FileFormat::Raw)?;
    let path = folder.join(format!("template-sha256-{}.qcow2", Sha256::of(&bytes)));
    if flash_file::read(&path, FileFormat::Qcow2).is_ok_and(|packed| packed == bytes) {
        return Ok(path);
    }
    fm_files::create_folders(&folder)?;
    let new = NewFile::create(&Place::at(&path)?)?;
    new.write_all(&fm_variables::pack_qcow2(&path, &bytes)?)?;
    new.set_mode(0o644)?;
    new.place_over()?;
    Ok(path)
}
