//! Backups: the old file under a name with the time in it, how they are found again, how many are kept.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::replace::{copy_sparse, keep_owner_and_labels};

/// What stands between a file's name and the time of its backup.
const MARK: &str = ".flashmoor-backup-";
/// How many of the newest are kept, besides the oldest: what was there before anything was changed.
const NEWEST_KEPT: usize = 9;

/// The old file under a second name; the content is copied only where links are not possible.
pub(super) fn back_up(path: &Path, old: &File) -> io::Result<PathBuf> {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
    for attempt in 0..100 {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(MARK);
        name.push(&now);
        if attempt > 0 {
            name.push(format!("-{attempt}"));
        }
        let backup = path.with_file_name(name);
        match fs::hard_link(path, &backup) {
            Ok(()) => return Ok(backup),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => {
                let mut copy = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&backup)?;
                keep_owner_and_labels(old, &copy)?;
                let mut from = File::open(path)?;
                copy_sparse(&mut from, &mut copy, 0)?;
                copy.sync_all()?;
                return Ok(backup);
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// The backups of a file, oldest first.
pub(super) fn backups(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File {
        action: "look for backups of",
        path: path.to_path_buf(),
        source,
    };
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut prefix = path.file_name().unwrap_or_default().to_os_string();
    prefix.push(MARK);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            found.push(entry.path());
        }
    }
    // The time in the name sorts as text.
    found.sort();
    Ok(found)
}

/// Removes all backups but the oldest and the newest. A backup too many does no harm: failures are passed over.
pub(super) fn prune(path: &Path) {
    let found = backups(path).unwrap_or_default();
    let between = 1..found.len().saturating_sub(NEWEST_KEPT).max(1);
    for backup in found.get(between).unwrap_or_default() {
        let _ = fs::remove_file(backup);
    }
}
