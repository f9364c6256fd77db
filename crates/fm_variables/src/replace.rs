//! Replace a file whole: write a new one, sync, keep the old one as a backup, rename. `kill -9` at any
//! instant leaves the old or the new file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode};

use super::Error;
use super::backup::{back_up, prune};
use super::in_use;
use super::source::{self, refuse_guest};

/// What stands between a file's name and the pid of who writes its successor.
const NEW_MARK: &str = ".flashmoor-new-";

/// A file that is about to be replaced: nobody else has it, and no other flashmoor changes it meanwhile.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    /// The old file, locked; nothing for a file that is to be made.
    old: Option<File>,
    /// For a file that is to be made: whose owner, mode and labels it gets.
    model: Option<File>,
}

impl Target {
    /// Takes hold of an existing file.
    pub(super) fn existing(path: &Path, even_if_in_use: bool) -> Result<Self, Error> {
        let failed = |action| {
            move |source| Error::File {
                action,
                path: path.to_path_buf(),
                source,
            }
        };
        // Through symbolic links: they stay, what they point to is replaced.
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(source) => {
                refuse_guest(path)?;
                return Err(failed("find")(source));
            }
        };
        loop {
            let old = source::open(&path).map_err(failed("open"))?;
            if !old.metadata().map_err(failed("read"))?.is_file() {
                return Err(Error::ReadOnlyKind {
                    path,
                    why: "it is not a regular file",
                });
            }
            if rustix::fs::flock(&old, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(Error::Busy { path });
            }
            // Replaced between opening and locking: lock the new one.
            let current = fs::metadata(&path).map_err(failed("read"))?;
            if old
                .metadata()
                .is_ok_and(|own| own.ino() == current.ino() && own.dev() == current.dev())
            {
                if let Some(holder) = in_use::holder(&old).filter(|_| !even_if_in_use) {
                    return Err(Error::InUse { path, holder });
                }
                return Ok(Self {
                    path,
                    old: Some(old),
                    model: None,
                });
            }
        }
    }

    /// A file that must not be there yet, or may be replaced.
    pub(super) fn output(path: &Path, replace: bool, even_if_in_use: bool) -> Result<Self, Error> {
        match fs::symlink_metadata(path) {
            Ok(_) if replace => Self::existing(path, even_if_in_use),
            Ok(_) => Err(Error::Exists {
                path: path.to_path_buf(),
            }),
            Err(_) => Ok(Self {
                path: path.to_path_buf(),
                old: None,
                model: None,
            }),
        }
    }

    /// A file that is made gets the owner, mode and labels of this one, as far as we may give them.
    pub(super) fn modelled_on(mut self, path: Option<&Path>) -> Self {
        self.model = path.and_then(|path| source::open(path).ok());
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn old(&self) -> Option<&File> {
        self.old.as_ref()
    }

    /// Writes the new file with `write`, lets `verify` read it back, and puts it in place.
    /// Returns the backup of the old one.
    pub(super) fn replace(
        self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
        verify: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<Option<PathBuf>, Error> {
        let failed = |action| {
            let path = self.path.clone();
            move |source| Error::File { action, path, source }
        };
        if self.old.is_some() {
            // Nobody else is writing a successor: the old file is ours. What lies there is of a killed process.
            remove_leftovers(&self.path);
        }
        let temporary = Temporary::beside(&self.path).map_err(failed("write a new file beside"))?;
        let mut file = &temporary.file;
        match (&self.old, &self.model) {
            (Some(old), _) => {
                keep_owner_and_labels(old, file).map_err(failed("keep owner, mode and labels of"))?;
            }
            (None, Some(model)) => {
                let _ = keep_owner_and_labels(model, file);
            }
            (None, None) => {}
        }
        write(&mut file.try_clone().map_err(failed("write"))?).map_err(failed("write"))?;
        file.sync_all().map_err(failed("sync"))?;
        file.seek(SeekFrom::Start(0)).map_err(failed("read back"))?;
        verify(&mut file.try_clone().map_err(failed("read back"))?)?;
        let backup = match &self.old {
            Some(old) => Some(back_up(&self.path, old).map_err(failed("keep a backup of"))?),
            None => None,
        };
        let placed = if self.old.is_some() {
            fs::rename(&temporary.path, &self.path)
        } else {
            rename_new(&temporary.path, &self.path)
        };
        placed.map_err(failed("put in place"))?;
        temporary.keep();
        sync_folder(&self.path).map_err(failed("sync the folder of"))?;
        if backup.is_some() {
            prune(&self.path);
        }
        Ok(backup)
    }
}

/// Not over a file that appeared meanwhile.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, from, cwd, to, rustix::fs::RenameFlags::NOREPLACE) {
        // A file system that cannot: a link is never made over a file either.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        done => done.map_err(io::Error::from),
    }
}

/// The name, up to the pid, of successors of `target`, which lie beside it until they are whole.
fn new_name(target: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(NEW_MARK);
    name
}

fn remove_leftovers(target: &Path) {
    let prefix = new_name(target);
    let folder = target.parent().unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A new file in the folder of another; gone when dropped, unless it was put in place.
struct Temporary {
    path: PathBuf,
    file: File,
    placed: std::cell::Cell<bool>,
}

impl Temporary {
    fn beside(target: &Path) -> io::Result<Self> {
        let mut name = new_name(target);
        name.push(std::process::id().to_string());
        let path = target.with_file_name(name);
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
        };
        let file = match open() {
            // A leftover of a killed process with our pid; nobody else's.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                open()?
            }
            other => other?,
        };
        Ok(Self {
            path,
            file,
            placed: std::cell::Cell::new(false),
        })
    }

    fn keep(&self) {
        self.placed.set(true);
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed.get() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Owner, then mode (chown clears bits of it), then every extended attribute: SELinux label, ACLs, user's.
pub(super) fn keep_owner_and_labels(old: &File, new: &File) -> io::Result<()> {
    let (wanted, got) = (old.metadata()?, new.metadata()?);
    if (wanted.uid(), wanted.gid()) != (got.uid(), got.gid()) {
        std::os::unix::fs::fchown(new, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    rustix::fs::fchmod(
        new.as_fd(),
        Mode::from_raw_mode(wanted.permissions().mode() & 0o7777),
    )?;
    let mut names = vec![0u8; 64 << 10];
    let len = match rustix::fs::flistxattr(old.as_fd(), &mut names) {
        Ok(len) => len,
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = vec![0u8; 64 << 10];
    for name in names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let len = rustix::fs::fgetxattr(old.as_fd(), name, &mut value)?;
        rustix::fs::fsetxattr(new.as_fd(), name, &value[..len], rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Copies `from` into `to` from `start` on, same length, leaving holes where `from` is zero.
pub(super) fn copy_sparse(from: &mut File, to: &mut File, start: u64) -> io::Result<()> {
    let len = from.metadata()?.len();
    to.set_len(len.max(to.metadata()?.len()))?;
    let mut buffer = vec![0u8; 1 << 20];
    let mut at = start;
    while at < len {
        // Holes of the old file are skipped without reading them.
        at = match rustix::fs::seek(from.as_fd(), rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => at,
        };
        from.seek(SeekFrom::Start(at))?;
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        let chunk = &buffer[..read];
        if chunk.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(chunk)?;
        }
        at += read as u64;
    }
    Ok(())
}
