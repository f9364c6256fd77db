//! Puts CODE at the path that a guest's `args` name: the stored build, or room for what a migration brings.

use std::path::Path;

use fm_files::{NewFile, Place, create_folders};
use fm_store::Build;

use crate::{Cluster, Result};

/// CODE of `build` for guest `id`: the very file of the store where that is possible, else a copy.
pub(crate) fn build(cluster: &Cluster, id: u32, build: &Build) -> Result<()> {
    let place = place(cluster, id)?;
    let bytes = std::fs::read(&build.code.path)
        .map_err(|error| fm_files::Error::io("read", &build.code.path, error))?;
    if place.folder().matches_bytes(place.name(), &bytes) {
        return Ok(());
    }
    Ok(place.write(&bytes, 0o644)?)
}

/// Zeros of the right length: the migration brings the bytes, and the agent stores them.
pub(crate) fn landing(cluster: &Cluster, id: u32, size_bytes: u64) -> Result<()> {
    let place = place(cluster, id)?;
    let new = NewFile::create(&place)?;
    let sized = new.file().set_len(size_bytes);
    sized.map_err(|error| fm_files::Error::io("write", &place.path(), error))?;
    new.set_mode(0o644)?;
    Ok(new.place_over()?)
}

/// Removes it.
pub(crate) fn clear(cluster: &Cluster, id: u32) {
    let path = cluster.code(id);
    let _ = std::fs::remove_file(&path);
    let _ = path.parent().map(std::fs::remove_dir);
}

fn place(cluster: &Cluster, id: u32) -> Result<Place> {
    let path = cluster.code(id);
    create_folders(path.parent().unwrap_or(Path::new("/")))?;
    Ok(Place::at(&path)?)
}
