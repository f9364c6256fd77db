//! Who refers to the store from outside: processes, guests' configurations, saved guests.
//!
//! Nothing here knows how any of these spell a firmware path; that a path into the store occurs in them is
//! enough to keep what it leads to. To keep too much is cheap, to collect what a guest needs is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_host::Process;
use fm_remedy::Foreign;
use fm_stream::save_image::{HEADER_BYTES, SaveImage};

use crate::{BUILDS, Error, GcRoot, LANDINGS, Result, Store, TMP, aside};

/// Where configurations and saved guests lie; `*` stands for any one name.
const PLACES: &[&str] = &[
    "/etc/libvirt/qemu/*.xml",
    "/run/libvirt/qemu/*.xml",
    "/var/lib/libvirt/qemu/save/*.save",
    "/var/lib/libvirt/qemu/snapshot/*/*.xml",
    "/etc/pve/qemu-server/*.conf",
    "/etc/pve/nodes/*/qemu-server/*.conf",
];
/// The same of a user's own libvirt, below the home folder.
const HOME_PLACES: &[&str] = &[".config/libvirt/qemu/*.xml", ".config/libvirt/qemu/save/*.save"];

/// The longest configuration that is read; what is longer is none of libvirt's, and ends the collection.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// A path in a configuration ends at the first of these.
const PATH_ENDS: &[u8] = b"\"'<>,\0\n\r\t ;";
/// The largest list of mappings that is read.
const MAX_MAPS_BYTES: u64 = 32 << 20;

/// What was found.
pub(crate) struct Uses {
    pub(crate) found: Vec<GcRoot>,
    pub(crate) unseen_processes: usize,
}

/// Looks at every process and every known place.
pub(crate) fn gather(store: &Store) -> Result<Uses> {
    let mut uses = Uses {
        found: Vec::new(),
        unseen_processes: 0,
    };
    if !store.path().exists() {
        return Ok(uses);
    }
    // The same folder may be known under two names, if one is reached through a link.
    let mut roots = BTreeSet::from([store.path().to_owned()]);
    roots.extend(store.path().canonicalize());
    let search = Search {
        store: store.path(),
        roots: &roots,
        files: files(store.path()),
    };
    search.processes(Path::new("/proc"), &mut uses);
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute());
    let places = PLACES.iter().map(PathBuf::from);
    let home_places = home
        .iter()
        .flat_map(|home| HOME_PLACES.iter().map(|place| home.join(place)));
    for place in places.chain(home_places) {
        for file in matching(&place) {
            search.file(&file, &mut uses)?;
        }
    }
    Ok(uses)
}

/// A file, whatever its path: device and inode.
type Identity = (u64, u64);

/// The files of builds and landings with the paths that they have, or had before they were set aside. A template may
/// be that of several builds.
fn files(store: &Path) -> BTreeMap<Identity, Vec<PathBuf>> {
    let mut files: BTreeMap<Identity, Vec<PathBuf>> = BTreeMap::new();
    let folders = [BUILDS, LANDINGS, TMP].map(|home| (home, fs::read_dir(store.join(home))));
    for (home, entries) in folders {
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let folder = match (home, name.to_str()) {
                (TMP, Some(name)) => match aside::home_of(name) {
                    Some((home, name)) => store.join(home).join(name),
                    None => continue,
                },
                _ => store.join(home).join(&name),
            };
            for file in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                if let Ok(status) = file.metadata() {
                    let paths = files.entry((status.dev(), status.ino())).or_default();
                    paths.push(folder.join(file.file_name()));
                }
            }
        }
    }
    files
}

struct Search<'a> {
    store: &'a Path,
    roots: &'a BTreeSet<PathBuf>,
    files: BTreeMap<Identity, Vec<PathBuf>>,
}

impl Search<'_> {
    /// Command lines, open files and mapped ones, of whatever program. A process that is gone meanwhile needs nothing.
    ///
    /// A process in a mount namespace of its own may have the store under another path, so that its files are known by
    /// what they are as well.
    fn processes(&self, proc_dir: &Path, uses: &mut Uses) {
        let Ok(entries) = fs::read_dir(proc_dir) else {
            return;
        };
        let own = std::process::id();
        for entry in entries.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            if pid == own {
                continue;
            }
            let dir = entry.path();
            let comm = fs::read_to_string(dir.join("comm")).unwrap_or_default();
            let by = format!("process {pid} ({})", Foreign(comm.trim()));
            let line = Process::open(proc_dir, pid).and_then(|process| process.command_line());
            let mut paths = self.paths_in(&line.unwrap_or_default());
            match fs::read_dir(dir.join("fd")) {
                Ok(fds) => {
                    for fd in fds.flatten() {
                        if let Ok(link) = fs::read_link(fd.path()) {
                            paths.extend(self.paths_in(link.as_os_str().as_bytes()));
                        }
                        paths.extend(self.of(&fd.path()));
                    }
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => uses.unseen_processes += 1,
                Err(_) => {}
            }
            paths.extend(self.mapped(&dir));
            self.add(&by, paths, uses);
        }
    }

    /// The store's names of the file that a path leads to.
    fn of(&self, path: &Path) -> Vec<PathBuf> {
        let status = fs::metadata(path).ok();
        let known = status.and_then(|status| self.files.get(&(status.dev(), status.ino())));
        known.cloned().unwrap_or_default()
    }

    /// The same of what a process has mapped, which it may have closed.
    fn mapped(&self, dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let text = File::open(dir.join("maps")).and_then(|file| {
            let mut text = Vec::new();
            file.take(MAX_MAPS_BYTES).read_to_end(&mut text).map(|_| text)
        });
        for line in String::from_utf8_lossy(&text.unwrap_or_default()).lines() {
            // START-END PERMISSIONS OFFSET DEVICE INODE PATH; the device is not always the one that a file has.
            let mut words = line.split_ascii_whitespace();
            let (range, inode) = (words.next().unwrap_or_default(), words.nth(3).unwrap_or_default());
            let Ok(inode @ 1..) = inode.parse::<u64>() else {
                continue;
            };
            let same = self.files.iter().filter(|((_, known), _)| *known == inode);
            let mut same = same.flat_map(|(_, paths)| paths.iter().cloned()).peekable();
            if same.peek().is_none() {
                continue;
            }
            let range = range
                .split('-')
                .map(|end| end.trim_start_matches('0'))
                .collect::<Vec<_>>();
            let file = dir.join("map_files").join(range.join("-"));
            match file.metadata() {
                Ok(_) => found.extend(self.of(&file)),
                // Who may not look there believes the number.
                Err(_) => found.extend(same),
            }
        }
        found
    }

    fn file(&self, file: &Path, uses: &mut Uses) -> Result<()> {
        let text = text(file)?;
        let mut paths = self.paths_in(&text);
        for text in [&text, &normal(&text)] {
            paths.extend(self.paths_in(text));
            paths.extend(self.words_in(text));
        }
        self.add(&file.display().to_string(), paths, uses);
        Ok(())
    }

    /// Builds and landings that a configuration names in other words: through a link, by a way around, or below a
    /// store that is mounted elsewhere.
    fn words_in(&self, text: &[u8]) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        for word in text.split(|byte| PATH_ENDS.contains(byte)) {
            if !word.starts_with(b"/") || word.len() > 4096 {
                continue;
            }
            let path = PathBuf::from(std::ffi::OsString::from_vec(word.to_vec()));
            // Disks may lie on a server that does not answer; firmware is called like this.
            if path.extension().is_some_and(|end| end == "fd" || end == "bin") {
                paths.extend(self.of(&path));
            }
            for known in self.files.values().flatten() {
                let (Some(name), Some(folder)) = (known.file_name(), known.parent()) else {
                    continue;
                };
                let tail = folder.components().rev().take(2).collect::<Vec<_>>();
                let tail: PathBuf = tail.into_iter().rev().collect();
                if path.ends_with(tail.join(name)) {
                    paths.insert(known.clone());
                }
            }
        }
        paths
    }

    fn add(&self, by: &str, paths: BTreeSet<PathBuf>, uses: &mut Uses) {
        for path in paths {
            uses.found.push(GcRoot {
                by: by.to_owned(),
                build: None,
                path: Some(path),
            });
        }
    }

    /// Every path into the store that occurs in `text`, as the store itself would spell it.
    fn paths_in(&self, text: &[u8]) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        for root in self.roots {
            let needle = [root.as_os_str().as_bytes(), b"/"].concat();
            for (at, _) in text
                .windows(needle.len())
                .enumerate()
                .filter(|(_, window)| *window == needle)
            {
                let rest = &text[at + needle.len()..];
                let end = rest
                    .iter()
                    .position(|byte| PATH_ENDS.contains(byte))
                    .unwrap_or(rest.len());
                let inside = std::ffi::OsString::from_vec(rest[..end].to_vec());
                paths.insert(self.store.join(inside));
            }
        }
        paths
    }
}

/// A configuration, or what of a saved guest is one. What cannot be read refers to nothing that we could tell;
/// `unseen_processes` says so where it matters.
fn text(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(HEADER_BYTES).unwrap_or(0)];
    let Ok(mut file) = fm_files::open_regular(path) else {
        return Ok(Vec::new());
    };
    let read = file.read(&mut bytes).unwrap_or(0);
    bytes.truncate(read);
    let len_bytes = match SaveImage::parse(&bytes) {
        Ok(image) => image.stream_offset(),
        Err(_) => u64::MAX,
    };
    let rest = len_bytes.min(MAX_TEXT_BYTES + 1).saturating_sub(read as u64);
    let _ = file.take(rest).read_to_end(&mut bytes);
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(Error::TooLarge {
            what: path.display().to_string(),
            size_bytes: bytes.len() as u64,
            limit_bytes: MAX_TEXT_BYTES,
        });
    }
    Ok(bytes)
}

/// A text without what XML writes for single letters, and without steps on the spot in its paths.
fn normal(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let decoded = (*byte == b'&').then(|| entity(after)).flatten();
        let (letter, len) = decoded.unwrap_or((*byte, 0));
        rest = &after[len..];
        plain.push(letter);
        if plain.ends_with(b"//") || plain.ends_with(b"/./") {
            while plain.ends_with(b"//") || plain.ends_with(b"/./") {
                plain.pop();
                if plain.ends_with(b".") {
                    plain.pop();
                }
            }
        }
    }
    plain
}

/// What stands for a letter behind an `&`, and its length: `amp;`, `#38;`, `#x26;`. Letters beyond ASCII are left.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let end = text.iter().take(10).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&text[..end]).ok()?;
    let letter = match name {
        "amp" => b'&',
        "lt" => b'<',
        "gt" => b'>',
        "quot" => b'"',
        "apos" => b'\'',
        name => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            u8::try_from(number).ok().filter(u8::is_ascii)?
        }
    };
    Some((letter, end + 1))
}

/// The files that a pattern stands for.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let Some((before, after)) = part.as_os_str().to_str().and_then(|part| part.split_once('*')) else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let fits = |name: &str| {
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        };
        found = found
            .iter()
            .filter_map(|dir| fs::read_dir(dir).ok())
            .flat_map(|entries| entries.flatten())
            .filter(|entry| entry.file_name().to_str().is_some_and(fits))
            .map(|entry| entry.path())
            .collect();
    }
    found.retain(|path| path.is_file());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> (Store, PathBuf) {
        let store = Store::open(folder.join("a&b")).unwrap();
        let done = store.import(&crate::Import {
            code: b"code",
            ..crate::Import::default()
        });
        (store, done.unwrap().path)
    }

    fn named_in(store: &Store, text: &[u8]) -> Vec<PathBuf> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.xml");
        fs::write(&file, text).unwrap();
        let roots = BTreeSet::from([store.path().to_owned()]);
        let search = Search {
            store: store.path(),
            roots: &roots,
            files: files(store.path()),
        };
        let mut uses = Uses {
            found: Vec::new(),
            unseen_processes: 0,
        };
        search.file(&file, &mut uses).unwrap();
        uses.found.into_iter().filter_map(|user| user.path).collect()
    }

    #[test]
    fn a_path_is_found_in_whatever_way_a_configuration_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, code) = store(folder.path());
        let path = code.to_str().unwrap();
        let link = folder.path().join("link.fd");
        std::os::unix::fs::symlink(&code, &link).unwrap();
        let xml = path.replace('&', "&amp;");
        for written in [
            path.to_owned(),
            xml.clone(),
            path.replace('&', "&#x26;"),
            xml.replace("/builds/", "//builds/./"),
            xml.replace("/builds/", "/./././/builds//"),
            link.to_str().unwrap().to_owned(),
            format!(
                "/elsewhere/{}",
                code.strip_prefix(store.path()).unwrap().display()
            ),
        ] {
            for before in [0, 3 << 20] {
                let text = format!("<os>{}<loader>{written}</loader></os>", " ".repeat(before));
                let found = named_in(&store, text.as_bytes());
                assert!(found.contains(&code), "{written}: {found:?}");
            }
        }
        assert!(named_in(&store, b"<loader>/usr/share/OVMF/OVMF_CODE.fd</loader>").is_empty());
    }

    #[test]
    fn a_saved_guests_definition_is_read_whole_and_its_memory_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (store, code) = store(folder.path());
        let path = code.to_str().unwrap().replace('&', "&amp;");
        let data = format!("{}<loader>{path}</loader>\0", " ".repeat(2 << 20));
        let mut image = b"LibvirtQemudSave\x02\0\0\0".to_vec();
        image.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        image.resize(92, 0);
        image.extend(data.as_bytes());
        assert!(named_in(&store, &image).contains(&code));
        let mut memory = b"LibvirtQemudSave\x02\0\0\0\x04\0\0\0".to_vec();
        memory.resize(96, 0);
        memory.extend(code.to_str().unwrap().as_bytes());
        assert!(named_in(&store, &memory).is_empty());
    }

    #[test]
    fn open_and_mapped_files_are_known_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (store, code) = store(folder.path());
        let elsewhere = folder.path().join("elsewhere.fd");
        fs::hard_link(&code, &elsewhere).unwrap();
        let mut guest = std::process::Command::new("sleep")
            .arg("60")
            .stdin(File::open(&elsewhere).unwrap())
            .spawn()
            .unwrap();
        let found = gather(&store).unwrap().found;
        guest.kill().unwrap();
        guest.wait().unwrap();
        let by = format!("process {} (sleep)", guest.id());
        let mut users = found.iter();
        assert!(
            users.any(|user| user.by == by && user.path.as_ref() == Some(&code)),
            "{found:?}"
        );
    }
}
