//! Whether a file holds what it should, by its digest.

use std::path::Path;

use fm_formats::Sha256;

use super::FOLDER;
use crate::on_disk::digest_at;
use fm_files::digest_cache;

/// Whether the file at `path` holds the bytes of that digest.
pub(super) fn holds(store: &Path, path: &Path, wanted: &Sha256) -> bool {
    let look = || digest_at(path).map(|(found, _)| found.to_string());
    let found = digest_cache::of_file(&store.join(FOLDER).join("digests"), path, look);
    found.and_then(|found| found.parse().ok()) == Some(*wanted)
}
