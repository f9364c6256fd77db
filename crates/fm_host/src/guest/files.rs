//! The files behind a guest's flash: as QEMU opened them, and as their paths lead now.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use fm_files::open_regular;
use fm_stream::qcow2::{HEADER_BYTES, Header};

use crate::cmdline::{CommandLine, FlashArgument};
use crate::memory::{GuestMemory, RamBlock, volume_is_nv};
use crate::process::{Identity, OpenFile, Process, Root};

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
    /// Whether the path starts at the top of the mount namespace and not at the process's own root: it is
    /// what the kernel shows, or it was opened before `-chroot`.
    pub(super) from_top: bool,
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
    /// The file that its path leads to now, as the guest's next start would open it. What the guest's user may not read
    /// is read only if it is what the guest holds open, as with files that a QEMU opened before it gave rights away.
    pub(super) fn open_now(&self, process: &Process) -> io::Result<File> {
        let path = self.path.as_deref().ok_or(ErrorKind::Unsupported)?;
        let base = self.base(process)?;
        match (base.open(path), &self.opened) {
            (Err(error), Some(opened)) if error.kind() == ErrorKind::PermissionDenied => {
                let held = open_regular(opened)?;
                // Nobody is told more than that it is the same.
                let now = base.identity_unchecked(path);
                match now {
                    Ok(now) if Some(now) == identity(opened) => Ok(held),
                    _ => Err(error),
                }
            }
            (answer, _) => answer,
        }
    }

    /// What the kernel calls the place that its path leads to.
    pub(super) fn shown(&self, process: &Process) -> io::Result<PathBuf> {
        let path = self.path.as_deref().ok_or(ErrorKind::Unsupported)?;
        self.base(process)?.shown(path)
    }

    fn base(&self, process: &Process) -> io::Result<Root> {
        if self.from_top {
            process.top()
        } else {
            process.root()
        }
    }
}

/// The flash units of the command line with their files.
pub(super) fn resolve(process: &Process, command: &CommandLine) -> Vec<FlashUnit> {
    if command.flash.is_empty() {
        return Vec::new();
    }
    let files = Files {
        process,
        open: process.open_files().unwrap_or_default(),
        root: process.root().ok(),
        top: process.top().ok(),
        before_chroot: command.chroot,
    };
    let is_inherited = |flash: &FlashArgument| {
        let path = flash.path.as_deref();
        path.is_some_and(|path| path.starts_with("/dev/fdset/") || inherited_fd(path).is_some())
    };
    let mut units = Vec::new();
    let mut claimed = Vec::new();
    for flash in command.flash.iter().filter(|flash| !is_inherited(flash)) {
        let unit = files.unit(flash);
        claimed.extend(unit.opened.as_deref().and_then(identity));
        units.push(unit);
    }
    for flash in command.flash.iter().filter(|flash| is_inherited(flash)) {
        units.push(files.inherited(flash, &claimed));
    }
    units.sort_by_key(|unit| unit.unit);
    units
}

/// The flash units that QEMU has in memory, where the command line does not say them.
pub(super) fn in_memory(process: &Process) -> Vec<FlashUnit> {
    let Ok(memory) = GuestMemory::open(process) else {
        return Vec::new();
    };
    let mut units: Vec<u32> = memory.blocks().iter().filter_map(RamBlock::flash_unit).collect();
    units.sort_unstable();
    // a single unit may hold variables as well
    let has_vars = units.contains(&1);
    let unit = |unit| FlashUnit {
        unit,
        path: None,
        location: "a file that the readable part of the command line does not name".to_owned(),
        from_top: false,
        opened: None,
        format: FlashFormat::Other("unknown".to_owned()),
        read_only: has_vars && unit == 0,
        node: format!("pflash{unit}"),
        size_bytes: None,
        replaced: None,
    };
    units.into_iter().map(unit).collect()
}

/// What a process has open, and the roots that paths start from.
struct Files<'a> {
    process: &'a Process,
    open: Vec<OpenFile>,
    root: Option<Root>,
    top: Option<Root>,
    before_chroot: bool,
}

impl Files<'_> {
    fn unit(&self, flash: &FlashArgument) -> FlashUnit {
        let Some(argument) = flash.path.as_deref().map(Path::new) else {
            return self.made(flash, None, None, false);
        };
        // `-daemonize` leaves the folder that a relative path started from: what is held open then tells it
        let held = relative_target(&self.open, argument);
        let path = held.unwrap_or_else(|| self.process.absolute(argument));
        let from_top = self.before_chroot || argument.is_relative();
        let base = if from_top { &self.top } else { &self.root };
        let fd = self.fd_of(base.as_ref(), &path);
        self.made(flash, Some(path), fd, from_top)
    }

    /// `/dev/fd/N` is a descriptor that QEMU was started with. `/dev/fdset/N` stands for a descriptor of `-add-fd set=N`, which QEMU duplicates and closes, so its
    /// number says nothing. It is the one open file that no other unit claims and that holds a volume for
    /// this unit; if there are several or none, the unit lies in no file that is known.
    fn inherited(&self, flash: &FlashArgument, claimed: &[Identity]) -> FlashUnit {
        let number = flash.path.as_deref().and_then(inherited_fd);
        let by_number = self.open.iter().find(|file| Some(file.fd) == number);
        if let Some(file) =
            by_number.filter(|file| file.target.is_absolute() && self.process.may_read(file.fd))
        {
            let path = self.process.fd_path(file.fd);
            // Closed, its number may be another file's by now.
            let is_qcow2 = || open_regular(&path).is_ok_and(|file| qcow2_size_bytes(&file).is_some());
            if is_firmware(&path, flash.unit) || is_qcow2() {
                return self.made(flash, Some(file.target.clone()), Some(file.fd), true);
            }
        }
        let mut found: Vec<(Identity, &OpenFile)> = Vec::new();
        for file in self.open.iter().filter(|file| file.target.is_absolute()) {
            let path = self.process.fd_path(file.fd);
            let Some(identity) = identity(&path) else { continue };
            let is_known = claimed.contains(&identity) || found.iter().any(|(known, _)| *known == identity);
            if !is_known && self.process.may_read(file.fd) && is_firmware(&path, flash.unit) {
                found.push((identity, file));
            }
        }
        match found.as_slice() {
            [(_, file)] => self.made(flash, Some(file.target.clone()), Some(file.fd), true),
            _ => self.made(flash, None, None, false),
        }
    }

    fn made(
        &self,
        flash: &FlashArgument,
        path: Option<PathBuf>,
        fd: Option<u32>,
        from_top: bool,
    ) -> FlashUnit {
        let base = if from_top { &self.top } else { &self.root };
        let now = base.as_ref().zip(path.as_deref());
        let opened = fd.map(|fd| self.process.fd_path(fd));
        let held = match &opened {
            Some(opened) => open_regular(opened).ok(),
            None => now.and_then(|(base, path)| base.open(path).ok()),
        };
        let qcow2_bytes = held.as_ref().and_then(qcow2_size_bytes);
        let format = match flash.format.as_deref() {
            Some("raw") => FlashFormat::Raw,
            Some("qcow2") => FlashFormat::Qcow2,
            Some(other) => FlashFormat::Other(other.to_owned()),
            // QEMU probes, too
            None if qcow2_bytes.is_some() => FlashFormat::Qcow2,
            None => FlashFormat::Raw,
        };
        let size_bytes = match format {
            FlashFormat::Raw => held.and_then(|file| Some(file.metadata().ok()?.len())),
            FlashFormat::Qcow2 => qcow2_bytes,
            FlashFormat::Other(_) => None,
        };
        FlashUnit {
            unit: flash.unit,
            location: match &path {
                Some(path) => path.display().to_string(),
                None => flash.location.clone(),
            },
            replaced: opened
                .as_deref()
                .and_then(identity)
                .zip(now)
                .and_then(|(held, (base, path))| {
                    let now = match base.identity_unchecked(path) {
                        // Where its user may not look, it may only learn that it is what it holds.
                        Ok(now) if now == held => Ok(now),
                        _ => base.identity(path),
                    };
                    replaced(held, now)
                }),
            path,
            from_top,
            opened,
            format,
            read_only: flash.read_only,
            node: flash.node.clone(),
            size_bytes,
        }
    }

    /// The descriptor whose file is, or was, at `path`.
    fn fd_of(&self, base: Option<&Root>, path: &Path) -> Option<u32> {
        let may_read = |file: &&OpenFile| self.process.may_read(file.fd);
        let mut files = self.open.iter();
        // the kernel shows paths without `.`, `..` and symbolic links
        let shown = base.and_then(|base| base.shown(path).ok());
        let shown = shown.as_deref().unwrap_or(path);
        if let Some(file) = files.find(|file| file.target == shown && may_read(file)) {
            return Some(file.fd);
        }
        // the same file under another name
        let now = base?.identity_unchecked(path).ok()?;
        let mut files = self.open.iter().filter(|file| file.target.is_absolute());
        let is_now = |file: &&OpenFile| identity(&self.process.fd_path(file.fd)) == Some(now);
        let same = files.find(|file| is_now(file) && may_read(file));
        same.map(|file| file.fd)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let status = fs::metadata(path).ok()?;
    Some((status.dev(), status.ino()))
}

/// The number in the path of a descriptor that QEMU was started with, which Incus gives CODE and VARS by. Opened by that
/// path, the file is open twice, and the descriptor itself stays.
fn inherited_fd(path: &str) -> Option<u32> {
    let number = path
        .strip_prefix("/dev/fd/")
        .or_else(|| path.strip_prefix("/proc/self/fd/"))?;
    number.parse().ok()
}

/// What is held open and ends like the relative `path`, if that is one file.
fn relative_target(open_files: &[OpenFile], path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            // above the folder that is not known any more, nothing is known either
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let mut ending_so = open_files.iter().filter(|file| file.target.ends_with(&plain));
    let first = ending_so.next()?;
    ending_so
        .all(|other| other.target == first.target)
        .then(|| first.target.clone())
}

/// Whether the file starts with a volume as this unit has it.
fn is_firmware(path: &Path, unit: u32) -> bool {
    let mut header = [0; 48];
    let read = open_regular(path).and_then(|file| file.read_exact_at(&mut header, 0));
    read.is_ok() && volume_is_nv(&header) == Some(unit == 1)
}

fn replaced(held: Identity, now: io::Result<Identity>) -> Option<bool> {
    match now {
        Ok(now) => Some(held != now),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(true),
        Err(_) => None,
    }
}

/// The virtual size in a qcow2 header, if it is one.
#[must_use]
pub fn qcow2_size_bytes(file: &File) -> Option<u64> {
    let mut header = [0; HEADER_BYTES];
    file.read_at(&mut header, 0).ok()?;
    Some(Header::parse(&header).ok()?.size_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_files(me: &Process) -> Files<'_> {
        Files {
            process: me,
            open: me.open_files().unwrap(),
            root: me.root().ok(),
            top: me.top().ok(),
            before_chroot: false,
        }
    }

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
        let files = own_files(&me);
        let fd_of = |files: &Files<'_>, path: &Path| files.fd_of(files.root.as_ref(), path);
        for path in [
            real.clone(),
            link.clone(),
            dir.path().join(".//CODE.fd"),
            folder.join("CODE.fd"),
        ] {
            let fd = fd_of(&files, &path).unwrap();
            assert_eq!(fs::read_link(me.fd_path(fd)).unwrap(), real, "{}", path.display());
        }
        // replaced, also behind a link of another name
        fs::write(dir.path().join("next"), "y").unwrap();
        fs::rename(dir.path().join("next"), &real).unwrap();
        let files = own_files(&me);
        let fd = fd_of(&files, &link).unwrap();
        assert_eq!(fs::read(me.fd_path(fd)).unwrap(), b"x");
        fs::remove_file(&real).unwrap();
        let files = own_files(&me);
        let fd = fd_of(&files, &folder.join("CODE.fd")).unwrap();
        assert_eq!(
            fs::read(me.fd_path(fd)).unwrap(),
            b"x",
            "deleted, and still readable"
        );
        assert_eq!(fd_of(&files, Path::new("/elsewhere/CODE.fd")), None);
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
        let target = |path: &str| relative_target(&files, Path::new(path));
        assert_eq!(target("./VARS.fd"), Some("/a/VARS.fd".into()));
        assert_eq!(target("../b/CODE.fd"), Some("/b/CODE.fd".into()));
        assert_eq!(target("b/../a/VARS.fd"), Some("/a/VARS.fd".into()));
        assert_eq!(target("CODE.fd"), None);
        assert_eq!(target("b/CODE.fd"), Some("/b/CODE.fd".into()));
        assert_eq!(target("/a/CODE.fd"), None);
    }

    #[test]
    fn a_replaced_and_a_deleted_file_are_seen() {
        assert_eq!(replaced((1, 2), Ok((1, 2))), Some(false));
        assert_eq!(replaced((1, 2), Ok((1, 3))), Some(true));
        assert_eq!(replaced((1, 2), Err(ErrorKind::NotFound.into())), Some(true));
        assert_eq!(replaced((1, 2), Err(ErrorKind::PermissionDenied.into())), None);
    }

    #[test]
    fn the_size_of_a_qcow2_is_the_virtual_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut header = vec![0; 72];
        header.splice(0..4, *b"QFI\xfb");
        header.splice(24..32, 0x84000u64.to_be_bytes());
        fs::write(file.path(), &header).unwrap();
        assert_eq!(qcow2_size_bytes(file.as_file()), Some(0x84000));
        fs::write(file.path(), b"raw").unwrap();
        assert_eq!(qcow2_size_bytes(file.as_file()), None);
    }
}
