//! The files behind a guest's flash: as QEMU opened them, and as their paths lead now.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use fm_formats::Reader;
use zerocopy::big_endian::U64;

use crate::cmdline::CommandLine;
use crate::process::{OpenFile, Process};

/// The format of a flash unit's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlashFormat {
    /// The bytes themselves.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
    /// Another of QEMU's.
    Other(String),
}

impl FlashFormat {
    /// QEMU's name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Other(name) => name,
        }
    }
}

/// One flash unit of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlashUnit {
    /// 0 is CODE, 1 is VARS.
    pub unit: u32,
    /// The path as the guest's mount namespace has it, absolute; nothing if it lies in no file.
    pub path: Option<PathBuf>,
    /// The path, or what QEMU calls a place that is no file.
    pub location: String,
    /// How this process reaches what the path leads to now.
    pub resolved: Option<PathBuf>,
    /// How this process reaches the file that QEMU holds open, also when its path is gone.
    pub opened: Option<PathBuf>,
    /// The file's format.
    pub format: FlashFormat,
    /// Whether the guest can't write to it.
    pub read_only: bool,
    /// The drive's id or the block node's name.
    pub node: String,
    /// The size of the flash as its file tells it; nothing if that can't be read.
    pub size_bytes: Option<u64>,
    /// Whether the path now leads to another file than the one QEMU holds, or to none; nothing if
    /// that can't be seen.
    pub replaced: Option<bool>,
}

impl FlashUnit {
    /// The file that QEMU holds open, or else what the path leads to.
    #[must_use]
    pub fn opened_or_now(&self) -> Option<&Path> {
        self.opened.as_deref().or(self.resolved.as_deref())
    }
}

/// The flash units of the command line with their files.
pub(super) fn resolve(process: &Process, command: &CommandLine) -> Vec<FlashUnit> {
    if command.flash.is_empty() {
        return Vec::new();
    }
    let open_files = process.open_files().unwrap_or_default();
    command
        .flash
        .iter()
        .map(|flash| {
            let argument = flash.path.as_deref().map(Path::new);
            let in_fd_set = argument.and_then(|path| fd_of_set(path, command));
            let held_by = in_fd_set.or_else(|| fd_of_relative(&open_files, argument?));
            let held_path = held_by.and_then(|fd| path_of_fd(&open_files, fd));
            let path = argument.map(|path| held_path.unwrap_or_else(|| process.absolute(path)));
            let fd = held_by.or_else(|| fd_of_path(process, &open_files, path.as_deref()?));
            let resolved = path.as_deref().map(|path| process.reach(path));
            let opened = fd.map(|fd| process.fd_path(fd));
            let held = opened.as_deref().or(resolved.as_deref());
            let qcow2_bytes = held.and_then(qcow2_size_bytes);
            let format = match flash.format.as_deref() {
                Some("raw") => FlashFormat::Raw,
                Some("qcow2") => FlashFormat::Qcow2,
                Some(other) => FlashFormat::Other(other.to_owned()),
                // QEMU probes, too
                None if qcow2_bytes.is_some() => FlashFormat::Qcow2,
                None => FlashFormat::Raw,
            };
            let size_bytes = match format {
                FlashFormat::Raw => held.and_then(|path| Some(fs::metadata(path).ok()?.len())),
                FlashFormat::Qcow2 => qcow2_bytes,
                FlashFormat::Other(_) => None,
            };
            FlashUnit {
                unit: flash.unit,
                location: match &path {
                    Some(path) => path.display().to_string(),
                    None => flash.location.clone(),
                },
                replaced: replaced(opened.as_deref(), resolved.as_deref()),
                path,
                resolved,
                opened,
                format,
                read_only: flash.read_only,
                node: flash.node.clone(),
                size_bytes,
            }
        })
        .collect()
}

/// `/dev/fdset/N` stands for a descriptor that came with `-add-fd set=N`.
fn fd_of_set(path: &Path, command: &CommandLine) -> Option<u32> {
    let set: u32 = path.to_str()?.strip_prefix("/dev/fdset/")?.parse().ok()?;
    let (_, fd) = command.fd_sets.iter().find(|(known, _)| *known == set)?;
    Some(*fd)
}

fn path_of_fd(open_files: &[OpenFile], fd: u32) -> Option<PathBuf> {
    let file = open_files.iter().find(|file| file.fd == fd)?;
    Some(file.target.clone())
}

/// `-daemonize` leaves the folder that a relative path started from: what is held open then tells it.
fn fd_of_relative(open_files: &[OpenFile], path: &Path) -> Option<u32> {
    let plain = path.strip_prefix(".").unwrap_or(path);
    let mut ending_so = open_files
        .iter()
        .filter(|file| path.is_relative() && file.target.ends_with(plain));
    let first = ending_so.next()?;
    ending_so
        .all(|other| other.target == first.target)
        .then_some(first.fd)
}

/// The descriptor whose file is, or was, at `path`. The kernel shows paths without `.`, `..` and symbolic
/// links, so what is not found by its text is looked for by where its folder leads.
fn fd_of_path(process: &Process, open_files: &[OpenFile], path: &Path) -> Option<u32> {
    if let Some(file) = open_files.iter().find(|file| file.target == path) {
        return Some(file.fd);
    }
    // the same file under another name …
    let identity = |path: &Path| {
        let status = fs::metadata(path).ok()?;
        Some((status.dev(), status.ino()))
    };
    if let Some(now) = identity(&process.reach(path)) {
        let mut files = open_files.iter().filter(|file| file.target.is_absolute());
        if let Some(file) = files.find(|file| identity(&process.fd_path(file.fd)) == Some(now)) {
            return Some(file.fd);
        }
    }
    // … or one that was replaced or deleted, in a folder reached under another name
    let name = path.file_name()?;
    let folder = identity(&process.reach(path.parent()?))?;
    open_files
        .iter()
        .filter(|file| file.target.is_absolute() && file.target.file_name() == Some(name))
        .find(|file| {
            let parent = file.target.parent().map(|parent| process.reach(parent));
            parent.and_then(|parent| identity(&parent)) == Some(folder)
        })
        .map(|file| file.fd)
}

fn replaced(opened: Option<&Path>, resolved: Option<&Path>) -> Option<bool> {
    let held = fs::metadata(opened?).ok()?;
    match fs::metadata(resolved?) {
        Ok(now) => Some((held.dev(), held.ino()) != (now.dev(), now.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(true),
        Err(_) => None,
    }
}

/// The virtual size in a qcow2 header (QEMU `docs/interop/qcow2.rst`), if it is one.
fn qcow2_size_bytes(path: &Path) -> Option<u64> {
    let mut header = [0; 32];
    File::open(path).ok()?.read_exact_at(&mut header, 0).ok()?;
    let mut reader = Reader::new(&header);
    if reader.bytes(4, "magic").ok()? != b"QFI\xfb" {
        return None;
    }
    reader.seek(24, "size").ok()?;
    Some(reader.raw::<U64>("size").ok()?.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recognised_whatever_way_its_path_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap().join("CODE.fd");
        fs::write(&real, "x").unwrap();
        let _held = File::open(&real).unwrap();
        let link = dir.path().join("link.fd");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let folder = dir.path().join("folder");
        std::os::unix::fs::symlink(dir.path(), &folder).unwrap();
        let me = Process::open(Path::new("/proc"), std::process::id()).unwrap();
        let files = me.open_files().unwrap();
        for path in [
            real.clone(),
            link,
            dir.path().join(".//CODE.fd"),
            folder.join("CODE.fd"),
        ] {
            let fd = fd_of_path(&me, &files, &path).unwrap();
            assert_eq!(fs::read_link(me.fd_path(fd)).unwrap(), real, "{}", path.display());
        }
        fs::remove_file(&real).unwrap();
        let files = me.open_files().unwrap();
        let fd = fd_of_path(&me, &files, &folder.join("CODE.fd")).unwrap();
        assert_eq!(
            fs::read(me.fd_path(fd)).unwrap(),
            b"x",
            "deleted, and still readable"
        );
        assert_eq!(fd_of_path(&me, &files, Path::new("/elsewhere/CODE.fd")), None);
    }

    #[test]
    fn a_relative_path_is_what_the_process_holds_if_that_is_one_file() {
        let open = |fd, target: &str| OpenFile {
            fd,
            target: target.into(),
            deleted: false,
        };
        let files = [
            open(3, "/a/VARS.fd"),
            open(4, "/a/CODE.fd"),
            open(5, "/b/CODE.fd"),
            open(6, "/a/VARS.fd"),
        ];
        assert_eq!(fd_of_relative(&files, Path::new("./VARS.fd")), Some(3));
        assert_eq!(fd_of_relative(&files, Path::new("CODE.fd")), None);
        assert_eq!(fd_of_relative(&files, Path::new("b/CODE.fd")), Some(5));
        assert_eq!(fd_of_relative(&files, Path::new("/a/CODE.fd")), None);
    }

    #[test]
    fn a_replaced_and_a_deleted_file_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (held, now) = (dir.path().join("held"), dir.path().join("now"));
        fs::write(&held, "a").unwrap();
        assert_eq!(replaced(Some(&held), Some(&held)), Some(false));
        assert_eq!(replaced(Some(&held), Some(&now)), Some(true));
        fs::write(&now, "a").unwrap();
        assert_eq!(replaced(Some(&held), Some(&now)), Some(true));
        assert_eq!(replaced(None, Some(&now)), None);
    }

    #[test]
    fn the_size_of_a_qcow2_is_the_virtual_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut header = vec![0; 72];
        header.splice(0..4, *b"QFI\xfb");
        header.splice(24..32, 0x84000u64.to_be_bytes());
        fs::write(file.path(), &header).unwrap();
        assert_eq!(qcow2_size_bytes(file.path()), Some(0x84000));
        fs::write(file.path(), b"raw").unwrap();
        assert_eq!(qcow2_size_bytes(file.path()), None);
    }
}
