//! What the owner of a host says of it, such as its rack: one file beside its identity.

use std::collections::BTreeMap;
use std::path::Path;

use fm_files::{Folder, Place};

use crate::{Error, Result};

const NAME: &str = "labels.json";
const MAX_BYTES: u64 = 64 << 10;

/// The labels of this host; none if nobody has said any.
///
/// # Errors
/// If the file cannot be read.
pub fn labels(folder: &Path) -> Result<BTreeMap<String, String>> {
    let Some(open) = Folder::open(folder)? else {
        return Ok(BTreeMap::new());
    };
    match open.read(NAME, MAX_BYTES)? {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Error::file("read", &folder.join(NAME), error.into())),
        None => Ok(BTreeMap::new()),
    }
}

/// Says what this host's labels are from now on.
///
/// # Errors
/// If the disk refuses.
pub fn set_labels(folder: &Path, labels: &BTreeMap<String, String>) -> Result<()> {
    let path = folder.join(NAME);
    let open = Folder::open(folder)?
        .ok_or_else(|| Error::file("open", folder, std::io::ErrorKind::NotFound.into()))?;
    let bytes = serde_json::to_vec(labels).map_err(|error| Error::file("write", &path, error.into()))?;
    Ok(Place::in_folder(&open, NAME).write(&bytes, 0o600)?)
}
