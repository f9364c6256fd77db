//! What was found in a large file, remembered as long as the file stays the same, so that it need not be read again.
//!
//! Firmware has megabytes, for ARM 64 of them, and somebody waits while they are read: libvirt for the hook, an
//! administrator for a check. What was found is kept with all that the kernel changes when somebody writes to the file;
//! whoever could forge that could also write to what is judged.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Identity, Place};

/// Below that, reading costs less than remembering.
const LARGE_BYTES: u64 = 1 << 20;
/// A host has some builds; the oldest lines go first.
const MAX_LINES: usize = 64;
/// A line has two words, of which none is long.
const MAX_BYTES: u64 = 64 << 10;
/// A file that was just written may be written again in the same tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

/// What `look` finds in the file at `path`, which is kept as one word; as the cache at `cache` has it, if the file is the
/// one that was looked at then.
pub fn of_file<T: FromStr + Display>(
    cache: &Path,
    path: &Path,
    look: impl FnOnce() -> Option<T>,
) -> Option<T> {
    let known = Known::of(path);
    if let Some(known) = &known
        && let Some(found) = known.read(cache).and_then(|word| word.parse().ok())
    {
        return Some(found);
    }
    let found = look()?;
    if let Some(known) = known.filter(|known| known.is_settled && Known::of(path).as_ref() == Some(known)) {
        known.write(cache, &found.to_string());
    }
    Some(found)
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

    fn read(&self, cache: &Path) -> Option<String> {
        let text = text(cache)?;
        text.lines().find_map(|line| {
            let (key, found) = line.split_once(' ')?;
            (key == self.key).then(|| found.to_owned())
        })
    }

    /// Without it the next look takes longer, and that is all. A folder is not made for it.
    fn write(&self, cache: &Path, found: &str) {
        let before = text(cache).unwrap_or_default();
        let skipped = (before.lines().count() + 1).saturating_sub(MAX_LINES);
        let mut text = String::new();
        for line in before.lines().skip(skipped) {
            text += &format!("{line}\n");
        }
        text += &format!("{} {found}\n", self.key);
        let _ = Place::at(cache).and_then(|place| place.write(text.as_bytes(), 0o600));
    }
}

/// What a cache says; one that another user wrote may say anything, and is none.
fn text(cache: &Path) -> Option<String> {
    let place = Place::at(cache).ok()?;
    let identity = Identity::of(&place.open().ok()??).ok()?;
    let bytes = place.folder().read(place.name(), MAX_BYTES).ok()??;
    let is_ours =
        identity.owner_uid == rustix::process::geteuid().as_raw() && place.identity().ok()? == Some(identity);
    is_ours.then(|| String::from_utf8(bytes).ok())?
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_large_file_is_looked_at_once_and_again_when_it_was_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = (folder.path().join("cache"), folder.path().join("CODE.fd"));
        fs::write(&path, vec![3; 9 << 20]).unwrap();
        let known = Known::of(&path).unwrap();
        assert!(!known.is_settled, "it was written just now");
        let look = |word: &str| of_file::<String>(&cache, &path, || Some(word.to_owned())).unwrap();
        assert_eq!(look("one"), "one");
        assert!(!cache.exists());

        // What is written down is believed: the file itself is not read.
        known.write(&cache, "told");
        assert_eq!(look("two"), "told");
        // What is no value of the kind that is asked for was kept by nobody.
        assert_eq!(of_file(&cache, &path, || Some(7u32)), Some(7));
        fs::write(&path, vec![3; 9 << 20]).unwrap();
        assert_eq!(look("three"), "three");
    }

    #[test]
    fn a_small_file_and_the_cache_of_another_are_not_relied_on() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = (folder.path().join("cache"), folder.path().join("VARS.fd"));
        fs::write(&path, "small").unwrap();
        assert_eq!(Known::of(&path), None);
        fs::write(&path, vec![3; 2 << 20]).unwrap();
        let known = Known::of(&path).unwrap();
        known.write(&cache, "told");
        assert_eq!(known.read(&cache).as_deref(), Some("told"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&cache, &link).unwrap();
        assert_eq!(known.read(&link), None);
        if std::os::unix::fs::chown(&cache, Some(65_534), None).is_ok() {
            assert_eq!(known.read(&cache), None);
        }
    }

    #[test]
    fn the_cache_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        for number in 0..MAX_LINES + 9 {
            let known = Known {
                key: number.to_string(),
                is_settled: true,
            };
            known.write(&cache, "x");
        }
        assert_eq!(fs::read_to_string(&cache).unwrap().lines().count(), MAX_LINES);
    }
}
