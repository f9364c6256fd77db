//! What was found in images seen before, by the digest of their bytes, so that it need not be found again.
//!
//! A cache is a convenience: whatever is wrong with it, an entry or its folder, is the same as not having seen
//! the image. Entries appear whole (written aside, then renamed) and carry the digest of their own text, so
//! any number of processes may read, write and clear out at once.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use fm_files::{NewFile, Place};
use fm_formats::Sha256;
use rustix::fs::OFlags;

use super::contents::ImageReport;

/// Changes when an entry is laid out otherwise, or when the same bytes are to be described otherwise.
const FORMAT: u32 = 4;
/// The oldest entries go when there are more, or when together they are larger than [`MAX_BYTES`].
const MAX_ENTRY_COUNT: usize = 1024;
const MAX_BYTES: u64 = 64 << 20;
/// No image has so much to say; a larger entry is not read.
const MAX_ENTRY_BYTES: u64 = 8 << 20;
/// An entry that is used counts as new again, but not on every use.
const FRESH: Duration = Duration::from_secs(3600);

/// A folder of entries.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in the folder of a store that exists; without a store `/var/cache/flashmoor` for root, else what
    /// `XDG_CACHE_HOME` says. Nothing if there is no place for it.
    #[must_use]
    pub fn open(store: Option<&Path>) -> Option<Self> {
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let own = || {
            if rustix::process::geteuid().is_root() {
                return Some("/var/cache/flashmoor".into());
            }
            absolute("XDG_CACHE_HOME")
                .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
                .map(|cache| cache.join("flashmoor"))
        };
        let folder = match store {
            // A store's folder is for the store to make.
            Some(store) if !store.is_dir() => return None,
            Some(store) => store.join("cache"),
            None => own()?,
        };
        Some(Self {
            folder: folder.join("inspect"),
        })
    }

    /// What is known of the image with this key, if it is.
    pub(super) fn get(&self, key: &str) -> Option<ImageReport> {
        let path = self.folder.join(key);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).ok()?);
        let metadata = file.metadata().ok()?;
        // What another user wrote here may say anything.
        if !metadata.is_file() || !is_ours(&metadata) || metadata.len() > MAX_ENTRY_BYTES {
            return None;
        }
        let mut text = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
        (&file).take(MAX_ENTRY_BYTES).read_to_end(&mut text).ok()?;
        let line = text.iter().position(|byte| *byte == b'\n')?;
        let body = text.get(line + 1..)?;
        if text.get(..line)? != head(body)?.as_bytes() {
            return None;
        }
        let found = serde_json::from_slice(body).ok()?;
        let now = SystemTime::now();
        let used = metadata.modified().ok()?;
        if now.duration_since(used).is_ok_and(|age| age > FRESH) {
            // Only which entries go first depends on it.
            let _ = file.set_modified(now);
        }
        Some(found)
    }

    /// By which key large files were found, as long as they stay the same.
    pub(super) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Keeps what was found, if it can be kept.
    pub(super) fn put(&self, key: &str, found: &ImageReport) {
        // Without an entry the next look takes longer, and that is all.
        let _ = self.write(key, found);
    }

    fn write(&self, key: &str, found: &ImageReport) -> Option<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .ok()?;
        if !is_ours(&self.folder.metadata().ok()?) {
            return None;
        }
        let body = serde_json::to_vec(found).ok()?;
        let entry = NewFile::create(&Place::at(&self.folder.join(key)).ok()?).ok()?;
        entry.write_all(head(&body)?.as_bytes()).ok()?;
        entry.write_all(b"\n").ok()?;
        entry.write_all(&body).ok()?;
        entry.place_in_cache().ok()?;
        self.clear_out(MAX_ENTRY_COUNT, MAX_BYTES)
    }

    /// Removes the oldest entries, a quarter more than necessary so that it is rarely necessary.
    fn clear_out(&self, most_entries: usize, most_bytes: u64) -> Option<()> {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(&self.folder)
            .ok()?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        let mut bytes: u64 = entries.iter().map(|(_, len, _)| len).sum();
        if entries.len() <= most_entries && bytes <= most_bytes {
            return Some(());
        }
        entries.sort();
        let mut left = entries.len();
        for (_, len, path) in entries {
            if left <= most_entries / 4 * 3 && bytes <= most_bytes / 4 * 3 {
                break;
            }
            // Another process may have been faster.
            let _ = fs::remove_file(path);
            left -= 1;
            bytes -= len;
        }
        Some(())
    }
}

fn is_ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// The first line of an entry: which program wrote it, and the digest of what follows. A program that was
/// built anew may know more, so it takes nothing from the one before it.
fn head(body: &[u8]) -> Option<String> {
    static PROGRAM: OnceLock<Option<String>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let metadata = fs::metadata("/proc/self/exe").ok()?;
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        Some(format!("{}-{seconds}.{nanoseconds:09}", metadata.len()))
    });
    let program = program.as_deref()?;
    let version = env!("CARGO_PKG_VERSION");
    Some(format!(
        "flashmoor-inspect {FORMAT} {version} {program} {}",
        Sha256::of(body)
    ))
}

#[cfg(test)]
mod tests {
    use fm_api::v1::inspect::InspectDocument;

    use super::super::{Catalogue, Inspected, Request, inspect, inspect_with};
    use super::*;

    fn store() -> (tempfile::TempDir, Cache) {
        let store = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(store.path())).unwrap();
        (store, cache)
    }

    fn entries(cache: &Cache) -> Vec<PathBuf> {
        let Ok(folder) = fs::read_dir(&cache.folder) else {
            return Vec::new();
        };
        folder.map(|entry| entry.unwrap().path()).collect()
    }

    fn request(path: &Path, tree: bool, cache: &Cache) -> Request {
        Request {
            path: path.to_owned(),
            tree,
            cache: Some(cache.clone()),
            ..Request::default()
        }
    }

    fn document(found: Inspected) -> serde_json::Value {
        serde_json::to_value(InspectDocument::from(found)).unwrap()
    }

    fn json(request: &Request) -> serde_json::Value {
        document(inspect(request).unwrap())
    }

    #[test]
    fn what_is_kept_of_an_image_is_the_same_document_as_a_fresh_look() {
        let (_store, cache) = store();
        for name in [
            "trixie/OVMF_CODE_4M.fd",
            "trixie/OVMF_VARS_4M.ms.fd",
            "trixie/OVMF.fd",
            "bookworm/AAVMF_VARS.fd",
            "trixie/shellx64.efi",
        ] {
            let path = fm_fixtures::path(name);
            for tree in [false, true] {
                let fresh = json(&Request {
                    cache: None,
                    ..request(&path, tree, &cache)
                });
                let before = entries(&cache).len();
                assert_eq!(json(&request(&path, tree, &cache)), fresh, "{name}");
                assert_eq!(entries(&cache).len(), before + 1, "{name}: one entry more");
                assert_eq!(json(&request(&path, tree, &cache)), fresh, "{name}, kept");
                assert_eq!(
                    entries(&cache).len(),
                    before + 1,
                    "{name}: and none the second time"
                );
            }
        }
    }

    #[test]
    fn an_entry_is_used_and_one_that_is_damaged_foreign_or_outdated_is_not() {
        let (_store, cache) = store();
        let path = fm_fixtures::path("bookworm/OVMF_VARS_4M.fd");
        let truth = json(&request(&path, false, &cache));
        let entry = entries(&cache).remove(0);
        let text = fs::read_to_string(&entry).unwrap();
        // An entry with a sound head is believed: that is what shows that it is read at all.
        let (_, body) = text.split_once('\n').unwrap();
        let marked = body.replacen("\"Vars\"", "\"Code\"", 1);
        assert_ne!(marked, body);
        let write = |text: &[u8]| fs::write(&entry, text).unwrap();
        write(format!("{}\n{marked}", head(marked.as_bytes()).unwrap()).as_bytes());
        assert_eq!(json(&request(&path, false, &cache))["kind"], "code");

        let outdated = text.replacen(
            &format!("flashmoor-inspect {FORMAT} "),
            &format!("flashmoor-inspect {} ", FORMAT - 1),
            1,
        );
        let foreign = text.replacen(&format!(" {} ", env!("CARGO_PKG_VERSION")), " 99.0.0 ", 1);
        let (headless, flipped) = (body.to_owned(), text.replacen("\"Vars\"", "\"Code\"", 1));
        for wrong in [outdated, foreign, headless, flipped] {
            assert_ne!(wrong, text);
            write(wrong.as_bytes());
            assert_eq!(json(&request(&path, false, &cache)), truth);
            assert_eq!(fs::read_to_string(&entry).unwrap(), text, "it is written anew");
        }
        for len in 0..text.len() {
            write(&text.as_bytes()[..len]);
            assert!(
                cache.get(entry.file_name().unwrap().to_str().unwrap()).is_none(),
                "cut at {len}"
            );
        }
        fs::remove_file(&entry).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &entry).unwrap();
        assert_eq!(json(&request(&path, false, &cache)), truth);
    }

    #[test]
    fn a_cache_that_cannot_be_written_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Cache::open(Some(&folder.path().join("no store"))).is_none());
        let cache = Cache::open(Some(folder.path())).unwrap();
        fs::write(folder.path().join("cache"), "a file, not a folder").unwrap();
        let path = fm_fixtures::path("bookworm/OVMF_VARS_4M.fd");
        let fresh = json(&Request {
            path: path.clone(),
            ..Request::default()
        });
        assert_eq!(json(&request(&path, false, &cache)), fresh);
    }

    #[test]
    fn the_oldest_entries_go_first_and_not_before_there_are_too_many() {
        let (_store, cache) = store();
        fs::create_dir_all(&cache.folder).unwrap();
        for age in 0..8u64 {
            let file = File::create(cache.folder.join(age.to_string())).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age))
                .unwrap();
        }
        let names = || {
            let mut names: Vec<String> = entries(&cache)
                .iter()
                .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
                .collect();
            names.sort();
            names.concat()
        };
        cache.clear_out(8, 800).unwrap();
        assert_eq!(names(), "01234567");
        cache.clear_out(8, 799).unwrap();
        assert_eq!(names(), "01234");
        cache.clear_out(4, 800).unwrap();
        assert_eq!(names(), "012");
    }

    #[test]
    fn many_at_once_read_write_and_clear_out_and_all_see_the_truth() {
        let (_store, cache) = store();
        let path = fm_fixtures::path("bookworm/OVMF_VARS_4M.fd");
        let truth = json(&Request {
            path: path.clone(),
            ..Request::default()
        });
        let catalogue = Catalogue::open(None).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..6 {
                let (cache, path, truth, catalogue) = (&cache, &path, &truth, &catalogue);
                scope.spawn(move || {
                    for _ in 0..40 {
                        let found = inspect_with(&request(path, false, cache), catalogue).unwrap();
                        assert_eq!(document(found), *truth);
                        if worker == 0 {
                            cache.clear_out(0, 0);
                        }
                    }
                });
            }
        });
        assert!(entries(&cache).len() <= 1, "nothing half-written is left");
    }
}
