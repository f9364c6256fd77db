//! A file system as a process sees it: its own root, and the top of its mount namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use fm_files::regular;

use super::rights::Rights;

const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// The kernel asks to try again while somebody renames folders on the way.
const MAX_TRY_COUNT: usize = 64;
/// Above the top there is only the top: this many steps lead there from wherever a process may be rooted.
const STEPS_UP: usize = 512;

/// A folder that paths start from and cannot leave: neither by `..` nor by a symbolic link that is absolute.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    /// With whose rights the way from there is gone.
    rights: Rights,
}

/// A file, whatever its path: device and inode.
pub(crate) type Identity = (u64, u64);

impl Root {
    /// `dir` is `/proc/PID/root`.
    pub(super) fn open_dir(dir: &Path, rights: Rights) -> io::Result<Self> {
        Ok(Self {
            dir: rustix::fs::open(dir, PLACE | OFlags::DIRECTORY, Mode::empty())?,
            rights,
        })
    }

    /// The top of the mount namespace that this folder lies in, from which the kernel shows paths. It is
    /// another folder for a process that changed its root, as QEMU does with `-chroot` after opening its files.
    pub(super) fn top(&self) -> io::Result<Self> {
        let up = "../".repeat(STEPS_UP);
        Ok(Self {
            dir: rustix::fs::openat(&self.dir, up, PLACE | OFlags::DIRECTORY, Mode::empty())?,
            rights: self.rights.clone(),
        })
    }

    fn place(&self, path: &Path) -> io::Result<OwnedFd> {
        for _ in 0..MAX_TRY_COUNT {
            match rustix::fs::openat2(&self.dir, path, PLACE, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                // before Linux 5.6: absolute links then lead through our own root
                Err(Errno::NOSYS) => {
                    let below = path.strip_prefix("/").unwrap_or(path);
                    return Ok(rustix::fs::openat(&self.dir, below, PLACE, Mode::empty())?);
                }
                answer => return Ok(answer?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens the file that `path` leads to, if it is a regular one.
    ///
    /// # Errors
    /// As [`fm_files::open_regular`].
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.rights.with(|| regular(&self.place(path)?))
    }

    /// Which file `path` leads to.
    pub(crate) fn identity(&self, path: &Path) -> io::Result<Identity> {
        let status = rustix::fs::fstat(self.rights.with(|| self.place(path))?)?;
        Ok((status.st_dev, status.st_ino))
    }

    /// The same with our own rights, for a comparison with what the process holds already.
    pub(crate) fn identity_unchecked(&self, path: &Path) -> io::Result<Identity> {
        let status = rustix::fs::fstat(self.place(path)?)?;
        Ok((status.st_dev, status.st_ino))
    }

    /// What the kernel calls the place that `path` leads to, or would lead to if there were a file: without
    /// links, from the top.
    pub(crate) fn shown(&self, path: &Path) -> io::Result<PathBuf> {
        let text = |place: OwnedFd| fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd()));
        let place = |path: &Path| self.rights.with(|| self.place(path));
        match (place(path), path.parent(), path.file_name()) {
            (Err(error), Some(folder), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(text(place(folder)?)?.join(name))
            }
            (place, ..) => text(place?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    fn own() -> Rights {
        Rights::parse(&fs::read_to_string("/proc/self/status").unwrap()).unwrap()
    }

    fn read(root: &Root, path: &str) -> io::Result<String> {
        let mut text = String::new();
        root.open(Path::new(path))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn links_lead_to_what_the_process_would_see_and_never_out_of_its_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/hostname"), "inside").unwrap();
        symlink("/etc/hostname", dir.path().join("absolute")).unwrap();
        symlink("../../../etc/hostname", dir.path().join("upwards")).unwrap();
        symlink("/proc/self/fd/0", dir.path().join("stdin")).unwrap();
        let root = Root::open_dir(dir.path(), own()).unwrap();
        for path in ["/etc/hostname", "/absolute", "/upwards", "/../etc/hostname"] {
            assert_eq!(read(&root, path).unwrap(), "inside", "{path}");
        }
        // ours, not theirs
        assert!(read(&root, "/stdin").is_err());
        let real = fs::canonicalize(dir.path()).unwrap();
        assert_eq!(
            root.shown(Path::new("/absolute")).unwrap(),
            real.join("etc/hostname")
        );
        assert_eq!(root.shown(Path::new("/etc/gone")).unwrap(), real.join("etc/gone"));
    }

    #[test]
    fn the_top_is_where_the_kernels_paths_start() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let top = Root::open_dir(dir.path(), own()).unwrap().top().unwrap();
        assert_eq!(read(&top, file.to_str().unwrap()).unwrap(), "x");
        assert_eq!(top.shown(&file).unwrap(), fs::canonicalize(&file).unwrap());
    }
}
