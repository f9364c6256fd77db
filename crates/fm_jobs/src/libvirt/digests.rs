//! Whether a file holds what it should: its digest, remembered for large files as long as the file stays the same.
//!
//! Firmware has megabytes, for ARM 64 of them, and libvirt waits while the hook reads them. What was found is kept with all that
//! the kernel changes when somebody writes to the file; whoever could forge that could also replace the hook.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fm_formats::Sha256;

use super::FOLDER;
use crate::on_disk::digest_at;

const NAME: &str = "digests";
/// Below that, reading costs less than remembering.
const LARGE_BYTES: u64 = 1 << 20;
/// A host has some builds; the oldest lines go first.
const MOST_LINES: usize = 64;
/// A file that was just written may be written again in the same tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

/// Whether the file at `path` holds the bytes of that digest.
pub(super) fn holds(store: &Path, path: &Path, wanted: &Sha256) -> bool {
    let known = Known::of(path);
    let book = store.join(FOLDER).join(NAME);
    if let Some(known) = &known
        && let Some(found) = known.read(&book)
    {
        return found == *wanted;
    }
    let Some((found, _)) = digest_at(path) else {
        return false;
    };
    if let Some(known) = known.filter(|known| known.is_settled && Known::of(path).as_ref() == Some(known)) {
        known.write(&book, &found);
    }
    found == *wanted
}

/// What a large file is known by.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    key: String,
    is_settled: bool,
}

impl Known {
    fn of(path: &Path) -> Option<Self> {
        let file = path.metadata().ok()?;
        let large = file.is_file() && file.len() >= LARGE_BYTES;
        let changed = Duration::new(
            u64::try_from(file.ctime()).ok()?,
            u32::try_from(file.ctime_nsec()).ok()?,
        );
        let age = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()?
            .checked_sub(changed);
        large.then(|| Self {
            key: format!(
                "{}:{}:{}:{}.{}:{}.{}",
                file.dev(),
                file.ino(),
                file.len(),
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec()
            ),
            is_settled: age.is_some_and(|age| age > SETTLED),
        })
    }

    fn read(&self, book: &Path) -> Option<Sha256> {
        let text = fs::read_to_string(book).ok()?;
        text.lines().find_map(|line| {
            let (key, digest) = line.split_once(' ')?;
            (key == self.key).then(|| digest.parse().ok())?
        })
    }

    /// Without it the next look takes longer, and that is all. A folder is not made for it.
    fn write(&self, book: &Path, found: &Sha256) {
        let before = fs::read_to_string(book).unwrap_or_default();
        let skipped = (before.lines().count() + 1).saturating_sub(MOST_LINES);
        let mut text = String::new();
        for line in before.lines().skip(skipped) {
            text += &format!("{line}\n");
        }
        text += &format!("{} {found}\n", self.key);
        let folder = book.parent().unwrap_or(book);
        if let Ok(fresh) = tempfile::Builder::new()
            .prefix(super::blank::UNFINISHED)
            .tempfile_in(folder)
            && fs::write(fresh.path(), text).is_ok()
        {
            let _ = fresh.persist(book);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_read_once_and_again_when_it_was_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        fs::create_dir_all(store.join(FOLDER)).unwrap();
        let path = folder.path().join("CODE.fd");
        let bytes = vec![3; 9 << 20];
        fs::write(&path, &bytes).unwrap();
        let known = Known::of(&path).unwrap();
        assert!(!known.is_settled, "it was written just now");
        assert!(holds(&store, &path, &Sha256::of(&bytes)));
        assert!(!store.join(FOLDER).join(NAME).exists());

        // What is written down is believed: the file itself is not read.
        known.write(&store.join(FOLDER).join(NAME), &Sha256::of(b"told"));
        assert!(holds(&store, &path, &Sha256::of(b"told")));
        fs::write(&path, &bytes[1..]).unwrap();
        assert!(!holds(&store, &path, &Sha256::of(b"told")));
        assert!(holds(&store, &path, &Sha256::of(&bytes[1..])));
    }

    #[test]
    fn the_book_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let book = folder.path().join(NAME);
        for number in 0..MOST_LINES + 9 {
            let known = Known {
                key: number.to_string(),
                is_settled: true,
            };
            known.write(&book, &Sha256::of(b"x"));
        }
        assert_eq!(fs::read_to_string(&book).unwrap().lines().count(), MOST_LINES);
    }
}
