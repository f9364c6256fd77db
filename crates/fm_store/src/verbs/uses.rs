//! Who refers to the store from outside: processes, guests' configurations, saved guests.
//!
//! Nothing here knows how any of these spell a firmware path; that a path into the store occurs in them is
//! enough to keep what it leads to. To keep too much is cheap, to collect what a guest needs is not.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use fm_host::Process;

use crate::{GcRoot, Result, Store};

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

/// A saved guest starts with its configuration; the memory that follows is of no interest.
const HEAD_BYTES: u64 = 1 << 20;
/// A path in a configuration ends at the first of these.
const PATH_ENDS: &[u8] = b"\"'<>,\0\n\r\t ;";

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
            search.file(&file, &mut uses);
        }
    }
    Ok(uses)
}

struct Search<'a> {
    store: &'a Path,
    roots: &'a BTreeSet<PathBuf>,
}

impl Search<'_> {
    /// Command lines and open files, of whatever program. A process that is gone meanwhile needs nothing.
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
            let by = format!("process {pid} ({})", comm.trim());
            let line = Process::open(proc_dir, pid).and_then(|process| process.command_line());
            let mut paths = self.paths_in(&line.unwrap_or_default());
            match fs::read_dir(dir.join("fd")) {
                Ok(fds) => {
                    let links = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
                    paths.extend(links.flat_map(|link| self.paths_in(link.as_os_str().as_bytes())));
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => uses.unseen_processes += 1,
                Err(_) => {}
            }
            self.add(&by, paths, uses);
        }
    }

    fn file(&self, file: &Path, uses: &mut Uses) {
        self.add(&file.display().to_string(), self.paths_in(&head(file)), uses);
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

fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read refers to nothing that we could tell; `unseen_processes` says so where it matters.
    if let Ok(file) = File::open(path) {
        let _ = file.take(HEAD_BYTES).read_to_end(&mut bytes);
    }
    bytes
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
