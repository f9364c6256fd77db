//! Whether a file holds what it should, by its digest.

use std::path::Path;

use fm_formats::Sha256;

use super::FOLDER;
use crate::book;
use crate::on_disk::digest_at;

/// Whether the file at `path` holds the bytes of that digest.
pub(super) fn holds(store: &Path, path: &Path, wanted: &Sha256) -> bool {
    let look = || digest_at(path).map(|(found, _)| found.to_string());
    let found = book::of_file(&store.join(FOLDER).join("digests"), path, look);
    found.and_then(|found| found.parse().ok()) == Some(*wanted)
}
