//! QEMU's image lock, held as a writer of QEMU's holds it: no QEMU starts to write to the file meanwhile.

use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// QEMU locks single bytes from here on of an image that it has open, one for each permission that it uses, and
/// from [`SHARED_BASE`] on for each that it does not share (QEMU `block/file-posix.c`, `RAW_LOCK_PERM_BASE`,
/// `RAW_LOCK_SHARED_BASE`).
pub(crate) const PERM_BASE: i64 = 100;
pub(crate) const SHARED_BASE: i64 = 200;
/// `BLK_PERM_WRITE`, `BLK_PERM_WRITE_UNCHANGED`, `BLK_PERM_RESIZE` as bit numbers (QEMU
/// `include/block/block-common.h`). Reading is left to others.
const WRITE: [i64; 3] = [1, 2, 3];

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct ImageLock(File);

impl ImageLock {
    /// Uses, and shares with nobody, the permissions to write to an image. Whether others do already is for
    /// [`crate::in_use::holder`] to say, afterwards: a QEMU that comes between finds the lock and gives up.
    ///
    /// # Errors
    /// The kernel's answer, for instance of a file system without locks.
    pub fn hold(file: &File) -> io::Result<Self> {
        let lock = Self(file.try_clone()?);
        for base in [PERM_BASE, SHARED_BASE] {
            for permission in WRITE {
                set(&lock.0, libc::F_RDLCK, base + permission, 1)?;
            }
        }
        Ok(lock)
    }
}

impl Drop for ImageLock {
    fn drop(&mut self) {
        let _ = set(&self.0, libc::F_UNLCK, PERM_BASE, SHARED_BASE);
    }
}

/// A lock of the open file, not of the process: as QEMU's, it goes with the last descriptor.
fn set(file: &File, kind: i32, start: i64, len: i64) -> io::Result<()> {
    let lock = query(kind, start, len);
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock))?;
    Ok(())
}

pub(crate) fn query(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: kind as _,
        l_whence: libc::SEEK_SET as _,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::in_use;

    #[test]
    fn an_image_that_is_held_is_seen_as_such_by_others_and_not_by_ourselves() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [ours, theirs] = [(); 2].map(|()| File::open(file.path()).unwrap());
        let held = ImageLock::hold(&ours).unwrap();
        assert_eq!(in_use::image_lock(&ours), None);
        assert!(in_use::image_lock(&theirs).is_some());
        drop(held);
        assert_eq!(in_use::image_lock(&theirs), None);
    }

    #[test]
    fn qemu_does_not_open_for_writing_what_is_held_and_says_why() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let ours = File::open(file.path()).unwrap();
        let write = |path: &std::path::Path| {
            let said = Command::new("qemu-io")
                .args(["-f", "raw", "-c", "write 0 4k"])
                .arg(path)
                .output()
                .unwrap();
            (
                said.status.success(),
                String::from_utf8_lossy(&said.stderr).into_owned(),
            )
        };
        let held = ImageLock::hold(&ours).unwrap();
        let (_, said) = write(file.path());
        assert!(said.contains("lock"), "{said}");
        assert!(std::fs::read(file.path()).unwrap().iter().all(|byte| *byte == 0));
        drop(held);
        let (is_written, said) = write(file.path());
        assert!(is_written, "{said}");
        assert!(std::fs::read(file.path()).unwrap().iter().any(|byte| *byte != 0));
    }
}
