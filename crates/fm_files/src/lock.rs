//! One flashmoor at a time changes a file, and nobody who may only read the file can be that one.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::{Error, Folder, Identity, Result};

/// Where root's locks are. A reboot clears it, as it ends whoever holds one.
const RUN: &str = "/run";
const FOLDER: &str = "flashmoor";

/// The right to change a file, until it is dropped; the kernel gives it back if the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// Of a lock that is a file of its own: where that is.
    own: Option<(Folder, OsString)>,
}

impl Lock {
    /// Takes the lock of the open file at `path` without waiting.
    ///
    /// Whoever may read a file may lock it, so root uses a file that only root opens. Anyone else, and root where
    /// `/run` cannot be written, has only the file itself.
    pub(crate) fn take(file: &File, path: &Path) -> Result<Self> {
        let failed = |error| Error::io("lock", path, error);
        let busy = || Error::Busy {
            path: path.to_owned(),
        };
        if let Some(folder) = folder() {
            let status = file.metadata().map_err(failed)?;
            // A device has a name for every link in /dev, and one number.
            let name = if status.file_type().is_block_device() {
                format!("changing-device-{:x}", status.rdev())
            } else {
                format!("changing-{:x}-{:x}", status.dev(), status.ino())
            };
            return match Self::in_folder(&folder, name.into())? {
                Some(lock) => Ok(lock),
                None => Err(busy()),
            };
        }
        let file = file.try_clone().map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file, own: None }),
            Err(_) => Err(busy()),
        }
    }

    fn in_folder(folder: &Folder, name: OsString) -> Result<Option<Self>> {
        loop {
            let file = folder.lock_file(&name)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(None);
            }
            // Its last holder may have removed it between the two.
            let own = Identity::of(&file).map_err(|error| Error::io("lock", &folder.join(&name), error))?;
            if folder.identity(&name)? == Some(own) {
                let own = Some((folder.clone(), name));
                return Ok(Some(Self { file, own }));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held, so that nobody else's goes.
        if let Some((folder, name)) = &self.own {
            let _ = folder.remove(name, false);
        }
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Root's folder of locks, unless it cannot be had or is not root's alone.
fn folder() -> Option<Folder> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let folder = Folder::open(Path::new(RUN)).ok()??.sub_or_create(FOLDER).ok()?;
    let status = folder.status().ok()?;
    (status.st_uid == 0 && status.st_mode & 0o022 == 0).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap().unwrap();
        let take = || Lock::in_folder(&folder, "changing-1-2".into()).unwrap();
        let first = take().unwrap();
        assert!(take().is_none());
        drop(first);
        assert_eq!(folder.names().unwrap().len(), 0);
        assert!(take().is_some());
    }

    #[test]
    fn who_may_only_read_a_file_does_not_keep_root_from_changing_it() {
        if folder().is_none() {
            return; // only root has locks that nobody else opens
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let reader = File::open(file.path()).unwrap();
        flock(&reader, FlockOperation::NonBlockingLockExclusive).unwrap();
        let held = Lock::take(file.as_file(), file.path()).unwrap();
        assert!(matches!(
            Lock::take(file.as_file(), file.path()),
            Err(Error::Busy { .. })
        ));
        drop(held);
    }
}
