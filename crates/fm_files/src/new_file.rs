//! A file that is being written beside its place: there, whole, or not there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{FlockOperation, Mode, fchmod, flock};

use crate::fault::step;
use crate::{Error, Folder, Identity, Place, Result};

/// What stands between a file's name and the random part of its successor's.
const MARK: &str = ".flashmoor-new-";
/// As much of a file's name as its successor's has; the rest of 255 bytes is for the mark.
const NAME_BYTES: usize = 200;
/// Somebody who guesses that many random names in a row does not guess.
const ATTEMPTS: usize = 16;

/// A new file under a random name beside its place, which only its owner may read. It is gone when dropped, unless it
/// was put in place.
///
/// It is locked for as long as its writer lives, so that the next writer tells leftovers of a killed one and removes
/// them.
#[derive(Debug)]
pub struct NewFile {
    place: Place,
    temporary: OsString,
    file: File,
    is_placed: bool,
}

impl NewFile {
    /// Starts a file for `place`, which is its owner's alone until [`NewFile::set_mode`], whatever the umask.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn create(place: &Place) -> Result<Self> {
        Self::start(place, |folder, name| folder.create_file(name, 0o600))
    }

    /// Starts a file for `place` that is whose the umask says, as what a program writes for its user.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn create_for_user(place: &Place) -> Result<Self> {
        Self::start(place, |folder, name| folder.create_masked(name, 0o666))
    }

    fn start(place: &Place, create: impl Fn(&Folder, &OsStr) -> Result<File>) -> Result<Self> {
        remove_leftovers(place.folder());
        let failed = |error: io::Error| Error::io("write a new file beside", &place.path(), error);
        for _ in 0..ATTEMPTS {
            let temporary = temporary_name(place.name());
            let file = match create(place.folder(), &temporary) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error.into_parts().2)),
                Ok(file) => file,
            };
            // Between these two another may take it for a leftover, and the next is tried.
            let is_locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if is_locked && file.metadata().map_err(failed)?.nlink() > 0 {
                return Ok(Self {
                    place: place.clone(),
                    temporary,
                    file,
                    is_placed: false,
                });
            }
        }
        Err(failed(ErrorKind::AlreadyExists.into()))
    }

    /// The file, for writing and for reading back.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it goes.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Writes on where the last write ended.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_all(&self, bytes: &[u8]) -> Result<()> {
        let written = step("write", self.place.name()).and_then(|()| (&self.file).write_all(bytes));
        written.map_err(|error| Error::io("write", &self.place.path(), error))
    }

    /// Its mode from now on, whatever the umask.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        fchmod(&self.file, Mode::from_raw_mode(mode))
            .map_err(|errno| Error::io("write", &self.place.path(), errno))
    }

    /// Puts it in place if nothing is there.
    ///
    /// # Errors
    /// [`Error::Exists`], or if the disk or the system refuses.
    pub fn place_new(mut self) -> Result<()> {
        self.sync()?;
        self.place
            .folder()
            .rename_new(&self.temporary, self.place.name())?;
        self.placed()?;
        self.place.folder().sync()
    }

    /// Puts it in place, over whatever file or link is there.
    ///
    /// # Errors
    /// If the disk or the system refuses.
    pub fn place_over(self) -> Result<()> {
        self.sync()?;
        let folder = self.place.folder().clone();
        self.place_in_cache()?;
        folder.sync()
    }

    /// The same for what may be lost at any time and is checked when it is read: without waiting for the disk.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn place_in_cache(mut self) -> Result<()> {
        let folder = self.place.folder();
        folder.rename(&self.temporary, folder, self.place.name())?;
        self.placed()
    }

    /// Puts it in place of the file `expected`, and of no other. The old one is held until the caller says that all is
    /// well.
    ///
    /// # Errors
    /// [`Error::Changed`] if another file is there by now, or if the disk or the system refuses.
    pub fn exchange(mut self, expected: &Identity) -> Result<Exchanged> {
        self.sync()?;
        let place = self.place.clone();
        let (folder, name) = (place.folder(), place.name());
        let changed = || Error::Changed { path: place.path() };
        if folder.identity(name)?.as_ref() != Some(expected) {
            return Err(changed());
        }
        // Held until it is let go of or back: the next writer takes it for no leftover.
        let old = folder.file(name).ok().flatten().map(|(file, _)| file);
        if let Some(old) = &old {
            let _ = flock(old, FlockOperation::NonBlockingLockExclusive);
        }
        let own = Identity::of(&self.file).map_err(|error| Error::io("look at", &place.path(), error))?;
        let has_old = folder.exchange(&self.temporary, name)?;
        if !has_old {
            folder.rename(&self.temporary, folder, name)?;
        }
        // The other name is the old file's by now: dropping this must not remove it.
        self.is_placed = true;
        // Dropped, it changes the two back.
        let exchanged = Exchanged {
            place: place.clone(),
            temporary: self.temporary.clone(),
            own,
            is_open: has_old,
            _old: old,
        };
        self.placed()?;
        if has_old && folder.identity(&self.temporary)?.as_ref() != Some(expected) {
            return Err(changed());
        }
        Ok(exchanged)
    }

    fn sync(&self) -> Result<()> {
        let synced = step("fsync", self.place.name()).and_then(|()| self.file.sync_all());
        synced.map_err(|error| Error::io("sync", &self.place.path(), error))
    }

    /// It is no successor any more, and others may lock it.
    fn placed(&mut self) -> Result<()> {
        self.is_placed = true;
        flock(&self.file, FlockOperation::Unlock)
            .map_err(|errno| Error::io("sync", &self.place.path(), errno))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = self.place.folder().remove(&self.temporary, false);
        }
    }
}

impl Place {
    /// Puts a file of these bytes there, durably and whole, over whatever file or link was there.
    ///
    /// # Errors
    /// If the disk or the system refuses; what was there stays then.
    pub fn write(&self, bytes: &[u8], mode: u32) -> Result<()> {
        let new = NewFile::create(self)?;
        new.write_all(bytes)?;
        new.set_mode(mode)?;
        new.place_over()
    }
}

/// A file that was put in place of another, which is still there under a second name. Dropped, it changes back.
#[derive(Debug)]
#[must_use = "dropped, the old file comes back"]
pub struct Exchanged {
    place: Place,
    temporary: OsString,
    own: Identity,
    is_open: bool,
    _old: Option<File>,
}

impl Exchanged {
    /// Lets the old file go.
    ///
    /// # Errors
    /// If the disk refuses to make the change durable.
    pub fn keep(mut self) -> Result<()> {
        if self.is_open {
            self.is_open = false;
            // Left over, the next writer removes it.
            let _ = self.place.folder().remove(&self.temporary, false);
        }
        self.place.folder().sync()
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let (folder, name) = (self.place.folder(), self.place.name());
        let back = || folder.exchange(&self.temporary, name).unwrap_or(false);
        if back() {
            // What comes out is ours, or what somebody else put there in between, which then is the newest.
            let out = folder.identity(&self.temporary).ok().flatten();
            if out.is_some_and(|out| (out.device, out.inode) != (self.own.device, self.own.inode)) {
                back();
            }
            let _ = folder.remove(&self.temporary, false);
            let _ = folder.sync();
        }
    }
}

fn temporary_name(name: &OsStr) -> OsString {
    let name = name.as_bytes();
    let mut temporary = OsString::from(".");
    temporary.push(OsString::from_vec(name[..name.len().min(NAME_BYTES)].to_vec()));
    // The standard library's hasher is keyed by the system's random numbers, anew for each.
    temporary.push(format!(
        "{MARK}{:016x}",
        RandomState::new().build_hasher().finish()
    ));
    temporary
}

/// Whether a name is that of a [`NewFile`] which is not in its place, and maybe never will be.
#[must_use]
pub fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") && name.windows(MARK.len()).any(|part| part == MARK.as_bytes())
}

/// Removes what writers that were killed left in a folder: nobody holds it.
fn remove_leftovers(folder: &Folder) {
    for name in folder.names().unwrap_or_default() {
        if is_unfinished(&name)
            && let Ok(Some((file, _))) = folder.file(&name)
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = folder.remove(&name, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_new_file_is_there_whole_or_not_at_all_and_over_nothing_unmeant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let place = Place::at(&path).unwrap();
        let new = NewFile::create(&place).unwrap();
        new.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(new);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        fs::write(&path, "there").unwrap();
        let new = NewFile::create(&place).unwrap();
        new.write_all(b"new").unwrap();
        assert!(matches!(new.place_new(), Err(Error::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"there");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_a_files_place_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [path, secret] = ["metrics", "secret"].map(|name| folder.path().join(name));
        fs::write(&secret, "of root alone").unwrap();
        symlink(&secret, &path).unwrap();
        Place::at(&path).unwrap().write(b"new", 0o644).unwrap();
        assert_eq!(fs::read(&secret).unwrap(), b"of root alone");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let status = path.symlink_metadata().unwrap();
        assert!(status.is_file());
        assert_eq!(status.permissions().mode() & 0o7777, 0o644);
    }

    #[test]
    fn what_a_killed_writer_left_goes_and_what_a_living_one_holds_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".other.flashmoor-new-999999"), "half").unwrap();
        let place = |name: &str| Place::at(&folder.path().join(name)).unwrap();
        let living = NewFile::create(&place("living")).unwrap();
        let another = NewFile::create(&place("another")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        living.place_new().unwrap();
        another.place_new().unwrap();
    }

    #[test]
    fn an_exchange_that_is_not_kept_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let place = Place::at(&path).unwrap();
        let old = place.identity().unwrap().unwrap();
        let exchange = || {
            let new = NewFile::create(&place).unwrap();
            new.write_all(b"new").unwrap();
            new.exchange(&old).unwrap()
        };
        let exchanged = exchange();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        drop(exchanged);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        // Whoever writes in the folder meanwhile takes the old file for no leftover.
        let exchanged = exchange();
        Place::at(&folder.path().join("other"))
            .unwrap()
            .write(b"other", 0o644)
            .unwrap();
        drop(exchanged);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        fs::remove_file(folder.path().join("other")).unwrap();
        // What another put there in between is newer than both.
        let exchanged = exchange();
        fs::write(folder.path().join("newest"), "newest").unwrap();
        fs::rename(folder.path().join("newest"), &path).unwrap();
        drop(exchanged);
        assert_eq!(fs::read(&path).unwrap(), b"newest");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
