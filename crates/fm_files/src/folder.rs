//! One folder, held open: every operation on what lies in it is relative to it and follows no link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fm_formats::Sha256;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use sha2::Digest as _;

use crate::bounded::read_file_bounded;
use crate::fault::step;
use crate::links::{check_links, resolve};
use crate::{Error, Identity, Result};

/// Makes a folder and those that it lies in, writable by their owner alone whatever the umask.
///
/// # Errors
/// If the system refuses.
pub fn create_folders(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|error| Error::io("create", path, error))
}

/// Zero runs of this length stay holes, so that a padded 64 MiB image takes what it holds.
const HOLE_BYTES: usize = 64 * 1024;

/// An open folder, and its path for messages.
///
/// Nothing below it is ever reached through a symbolic link, so whoever may write to one folder cannot lead us to
/// another.
#[derive(Debug, Clone)]
pub struct Folder {
    pub(crate) fd: Arc<OwnedFd>,
    path: PathBuf,
}

/// One entry of a folder.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::RDONLY);

impl Folder {
    /// Opens the folder that the user named, through links as they are at this moment; nobody but root leads us to a
    /// folder that is not his own. Nothing if it does not exist.
    ///
    /// # Errors
    /// [`Error::ForeignLink`] with the link of another, or if the system refuses.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let mut links = Vec::new();
        let resolved = match resolve(path, &mut links) {
            Ok(real) => Self::open_resolved(&real).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", path, error)),
        };
        let Some(folder) = resolved? else {
            return Ok(None);
        };
        check_links(links, folder.status()?.st_uid)?;
        Ok(Some(Self {
            fd: folder.fd,
            path: path.to_owned(),
        }))
    }

    /// Opens a folder on whose path there is no link: one that was put there since the path was resolved is refused.
    pub fn open_resolved(path: &Path) -> Result<Self> {
        let how = ResolveFlags::NO_SYMLINKS;
        let opened = match fs::openat2(fs::CWD, path, FOLDER, Mode::empty(), how) {
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => fs::open(path, FOLDER | OFlags::NOFOLLOW, Mode::empty()),
            opened => opened,
        };
        let fd = opened.map_err(|errno| failed("open", path.to_owned(), errno))?;
        Ok(Self {
            fd: Arc::new(fd),
            path: path.to_owned(),
        })
    }

    /// Its path, as it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages.
    pub fn join(&self, name: impl AsRef<OsStr>) -> PathBuf {
        if self.path == Path::new(".") {
            return PathBuf::from(name.as_ref());
        }
        self.path.join(name.as_ref())
    }

    pub(crate) fn error<T>(&self, action: &'static str, name: &OsStr, result: io::Result<T>) -> Result<T> {
        result.map_err(|source| Error::Io {
            action,
            path: self.path.join(name),
            source,
        })
    }

    /// A folder in this one; nothing if it does not exist.
    pub fn sub(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>> {
        let name = name.as_ref();
        match fs::openat(&*self.fd, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(Self {
                fd: Arc::new(fd),
                path: self.path.join(name),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("open", self.path.join(name), errno)),
        }
    }

    /// A folder in this one, made if it is not there: mode 0755 whatever the umask.
    pub fn sub_or_create(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        let name = name.as_ref();
        if let Some(dir) = self.sub(name)? {
            return Ok(dir);
        }
        self.error("create", name, step("mkdir", name))?;
        match fs::mkdirat(&*self.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("create", self.path.join(name), errno)),
        }
        let dir = self
            .sub(name)?
            .ok_or_else(|| failed("create", self.path.join(name), Errno::NOENT))?;
        fs::fchmod(&*dir.fd, Mode::from_raw_mode(0o755))
            .map_err(|errno| failed("create", dir.path.clone(), errno))?;
        self.sync()?;
        Ok(dir)
    }

    /// A regular file in this folder, open for reading; nothing if it does not exist.
    pub fn file(&self, name: impl AsRef<OsStr>) -> Result<Option<(File, u64)>> {
        let name = name.as_ref();
        // NONBLOCK: a pipe planted under a file's name must not hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match fs::openat(&*self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("open", self.path.join(name), errno)),
        };
        let stat = fs::fstat(&fd).map_err(|errno| failed("open", self.path.join(name), errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::NotRegular {
                path: self.path.join(name),
            });
        }
        Ok(Some((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0))))
    }

    /// All bytes of a file that may have at most `limit_bytes`; nothing if it does not exist.
    pub fn read(&self, name: impl AsRef<OsStr>, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        let name = name.as_ref();
        let Some((file, _)) = self.file(name)? else {
            return Ok(None);
        };
        read_file_bounded(&file, &self.path.join(name), limit_bytes).map(Some)
    }

    /// Whether a regular file of that name holds exactly `bytes`.
    pub fn matches_bytes(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> bool {
        let Ok(Some((mut file, size_bytes))) = self.file(name.as_ref()) else {
            return false;
        };
        let mut buffer = vec![0; 256 * 1024];
        let mut rest = bytes;
        while size_bytes == bytes.len() as u64 && !rest.is_empty() {
            let Ok(count @ 1..) = file.read(&mut buffer) else {
                return false;
            };
            match rest.split_at_checked(count) {
                Some((expected, after)) if *expected == buffer[..count] => rest = after,
                _ => return false,
            }
        }
        size_bytes == bytes.len() as u64
    }

    /// Digest and size of a file, read in pieces; nothing if it does not exist.
    pub fn digest(&self, name: impl AsRef<OsStr>) -> Result<Option<(Sha256, u64)>> {
        let name = name.as_ref();
        let Some((mut file, _)) = self.file(name)? else {
            return Ok(None);
        };
        let (mut hasher, mut size_bytes) = (sha2::Sha256::new(), 0);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match self.error("read", name, file.read(&mut buffer))? {
                0 => return Ok(Some((Sha256::from_bytes(hasher.finalize().into()), size_bytes))),
                count => {
                    hasher.update(&buffer[..count]);
                    size_bytes += count as u64;
                }
            }
        }
    }

    /// What the system says of an entry, itself and not what it may link to.
    pub fn stat(&self, name: impl AsRef<OsStr>) -> Result<Option<Stat>> {
        let name = name.as_ref();
        match fs::statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("look at", self.path.join(name), errno)),
        }
    }

    /// Which file lies under a name, itself and not what it may link to.
    pub fn identity(&self, name: impl AsRef<OsStr>) -> Result<Option<Identity>> {
        Ok(self.stat(name)?.map(|stat| Identity::from(&stat)))
    }

    /// Writes a new file and waits until it is on disk. Zero runs become holes.
    pub fn create(&self, name: impl AsRef<OsStr>, bytes: &[u8], mode: u32) -> Result<()> {
        let name = name.as_ref();
        let file = self.create_file(name, mode)?;
        self.error("write", name, write_sparse(&file, name, bytes))?;
        self.error(
            "write",
            name,
            step("fsync", name).and_then(|()| Ok(fs::fsync(&file)?)),
        )
    }

    /// Makes a file of `size_bytes` zero bytes that takes no room, on disk when this returns.
    pub fn create_zeros(&self, name: impl AsRef<OsStr>, size_bytes: u64, mode: u32) -> Result<()> {
        let name = name.as_ref();
        let file = self.create_file(name, mode)?;
        self.error("write", name, file.set_len(size_bytes))?;
        self.error(
            "write",
            name,
            step("fsync", name).and_then(|()| Ok(fs::fsync(&file)?)),
        )
    }

    pub(crate) fn create_file(&self, name: &OsStr, mode: u32) -> Result<File> {
        let file = self.create_masked(name, 0o600)?;
        fs::fchmod(&file, Mode::from_raw_mode(mode))
            .map_err(|errno| failed("create", self.path.join(name), errno))?;
        Ok(file)
    }

    /// A new file whose mode is what the umask leaves of `mode`.
    pub(crate) fn create_masked(&self, name: &OsStr, mode: u32) -> Result<File> {
        self.error("create", name, step("create", name))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&*self.fd, name, flags, Mode::from_raw_mode(mode))
            .map_err(|errno| failed("create", self.path.join(name), errno))?;
        Ok(File::from(fd))
    }

    /// The lock file: made if need be, never truncated.
    pub fn lock_file(&self, name: impl AsRef<OsStr>) -> Result<File> {
        let name = name.as_ref();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&*self.fd, name, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| failed("open", self.path.join(name), errno))?;
        Ok(File::from(fd))
    }

    /// Removes a file or an empty folder; it may be gone already.
    pub fn remove(&self, name: impl AsRef<OsStr>, is_folder: bool) -> Result<()> {
        let name = name.as_ref();
        self.error("remove", name, step("remove", name))?;
        let flags = if is_folder {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        match fs::unlinkat(&*self.fd, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove", self.path.join(name), errno)),
        }
    }

    /// Removes an entry and, if it is a folder, the files in it. The store has no deeper folders.
    pub fn remove_all(&self, entry: &Entry) -> Result<()> {
        if entry.is_folder
            && let Some(dir) = self.sub(&entry.name)?
        {
            for inner in dir.entries()? {
                dir.remove(&inner.name, inner.is_folder)?;
            }
        }
        self.remove(&entry.name, entry.is_folder)
    }

    /// What lies in this folder, sorted by name.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.names()? {
            let Some(stat) = self.stat(&name)? else {
                continue;
            };
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            entries.push(Entry { name, is_folder });
        }
        Ok(entries)
    }

    /// The names of what lies in this folder, sorted.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let read = |errno| failed("list", self.path.clone(), errno);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(self.fd.as_fd()).map_err(read)? {
            let name = entry.map_err(read)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Waits until the names in this folder are on disk.
    pub fn sync(&self) -> Result<()> {
        let name = self.path.file_name().unwrap_or_default();
        let synced = step("fsync", name).and_then(|()| Ok(fs::fsync(&*self.fd)?));
        synced.map_err(|source| Error::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }

    /// The folder as a file of its own, to be locked.
    pub fn as_file(&self) -> Result<File> {
        let fd = fs::openat(&*self.fd, ".", FOLDER, Mode::empty());
        fd.map(File::from)
            .map_err(|errno| failed("open", self.path.clone(), errno))
    }

    /// What the system says of the folder itself.
    pub fn status(&self) -> Result<Stat> {
        fs::fstat(&*self.fd).map_err(|errno| failed("look at", self.path.clone(), errno))
    }

    /// Which folder it is.
    pub fn identify(&self) -> Result<Identity> {
        Ok(Identity::from(&self.status()?))
    }

    /// Whether every user of the machine may put files here.
    pub fn is_open_to_all(&self) -> Result<bool> {
        Ok(self.status()?.st_mode & 0o002 != 0)
    }
}

fn write_sparse(mut file: &File, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    step("write", name)?;
    for chunk in bytes.chunks(HOLE_BYTES) {
        if chunk.len() == HOLE_BYTES && chunk.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(HOLE_BYTES as i64))?;
        } else {
            file.write_all(chunk)?;
        }
    }
    file.set_len(bytes.len() as u64)
}

pub(crate) fn failed(action: &'static str, path: PathBuf, errno: Errno) -> Error {
    Error::Io {
        action,
        path,
        source: errno.into(),
    }
}
