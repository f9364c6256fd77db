//! New files that are either there, whole, or not there.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fm_files::{Identity, Place, in_use};

use crate::{Error, Result};

/// A file being written beside the place that it is meant for.
pub(super) struct NewFile {
    pub(super) file: File,
    new: fm_files::NewFile,
    path: PathBuf,
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> crate::Error {
    let path = path.to_owned();
    move |source| crate::Error::file(action, &path, source)
}

impl NewFile {
    /// Starts a file for `path`, readable by its owner alone until it is placed.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let new = fm_files::NewFile::create(&Place::at(path)?)?;
        Ok(Self {
            file: new.file().try_clone().map_err(failed("create", path))?,
            new,
            path: path.to_owned(),
        })
    }

    /// Makes it durable and puts it in place, if nothing is there.
    pub(super) fn place(self) -> Result<()> {
        match self.new.place_new() {
            Err(fm_files::Error::Exists { .. }) => Err(Error::Exists { path: self.path }),
            done => Ok(done?),
        }
    }

    /// Makes it durable and puts it in place of `old`, unless that was written to since it looked like `before`, is
    /// being written to, or is not the file there any more.
    pub(super) fn place_over(self, old: &File, before: &Metadata) -> Result<()> {
        let path = self.path;
        let changed = || Error::Changed { path: path.clone() };
        let old_identity = Identity::of(old).map_err(failed("read", &path))?;
        let exchanged = match self.new.exchange(&old_identity) {
            Err(fm_files::Error::Changed { .. }) => return Err(changed()),
            done => done?,
        };
        // Looked at after the exchange: from now on nobody finds the old one by its name.
        let now = old.metadata().map_err(failed("read", &path))?;
        let written = |file: &Metadata| (file.len(), file.mtime(), file.mtime_nsec());
        if written(&now) != written(before) || in_use::holder(old).is_some() {
            drop(exchanged);
            return Err(changed());
        }
        Ok(exchanged.keep()?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// An image of one guest, and the new file that is to take its place.
    fn image() -> (tempfile::TempDir, PathBuf, NewFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest.save");
        fs::write(&path, "saved once").unwrap();
        let new = NewFile::create(&path).unwrap();
        (&new.file).write_all(b"pointed elsewhere").unwrap();
        (folder, path, new)
    }

    #[test]
    fn an_image_that_was_saved_again_meanwhile_stays_in_either_way_of_saving() {
        let (folder, path, new) = image();
        let old = File::open(&path).unwrap();
        let before = old.metadata().unwrap();
        fs::write(&path, "saved a second time").unwrap(); // truncated and written: the same inode
        assert!(new.place_over(&old, &before).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"saved a second time");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let (folder, path, new) = image();
        let old = File::open(&path).unwrap();
        let before = old.metadata().unwrap();
        fs::write(folder.path().join("next"), "saved anew").unwrap();
        fs::rename(folder.path().join("next"), &path).unwrap();
        assert!(new.place_over(&old, &before).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"saved anew");
    }

    #[test]
    fn an_image_that_was_restored_meanwhile_does_not_come_back() {
        let (folder, path, new) = image();
        let old = File::open(&path).unwrap();
        let before = old.metadata().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(new.place_over(&old, &before).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
