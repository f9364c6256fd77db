//! Replace a file whole: write a new one, sync, keep the old one as a backup, exchange the two. `kill -9` at any
//! instant leaves the old or the new file.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::identity::keep_owner_and_labels;
use crate::lock::Lock;
use crate::{Error, Identity, ImageLock, NewFile, Place, Result, backup, in_use};

/// A file that is about to be replaced: nobody else has it, and no other flashmoor changes it meanwhile.
#[derive(Debug)]
pub struct Replace {
    place: Place,
    old: Option<Old>,
    /// For a file that is to be made: whose owner, mode and labels it gets.
    model: Option<File>,
}

/// What becomes of a file that is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It becomes a backup with the time in its name, of which the oldest and the newest are kept.
    Backup,
    /// It is kept for good, under its name with this and the first free number behind it.
    Numbered(&'static str),
    /// It goes.
    Nothing,
}

/// The file that is there.
#[derive(Debug)]
struct Old {
    file: File,
    identity: Identity,
    even_if_in_use: bool,
    _lock: Lock,
}

impl Replace {
    /// Takes hold of an existing file. Through symbolic links: they stay, what they lead to is replaced.
    ///
    /// # Errors
    /// [`Error::NotRegular`], [`Error::Busy`], [`Error::InUse`] unless `even_if_in_use`, or if the system refuses.
    pub fn existing(path: &Path, even_if_in_use: bool) -> Result<Self> {
        Self::hold(Place::behind_links(path)?, even_if_in_use)
    }

    /// Takes hold of the file that lies at `place` itself.
    ///
    /// # Errors
    /// As [`Replace::existing`].
    pub fn hold(place: Place, even_if_in_use: bool) -> Result<Self> {
        loop {
            let missing = || Error::io("open", &place.path(), io::Error::from(io::ErrorKind::NotFound));
            let file = place.open()?.ok_or_else(missing)?;
            let identity = identity_of(&file, &place)?;
            let lock = Lock::take(&file, &place.path())?;
            // Replaced between opening and locking: lock the new one.
            if place.identity()? != Some(identity) {
                continue;
            }
            let old = Old {
                file,
                identity,
                even_if_in_use,
                _lock: lock,
            };
            old.refuse_use(&place)?;
            return Ok(Self {
                place,
                old: Some(old),
                model: None,
            });
        }
    }

    /// Prepares to make a file where none is.
    ///
    /// # Errors
    /// If the folder cannot be opened.
    pub fn new(path: &Path) -> Result<Self> {
        Ok(Self::make(Place::at(path)?))
    }

    /// Prepares to make a file at `place`, where none is.
    #[must_use]
    pub fn make(place: Place) -> Self {
        Self {
            place,
            old: None,
            model: None,
        }
    }

    /// A file that is made gets the owner, mode and labels of this one, as far as we may give them.
    #[must_use]
    pub fn modelled_on(mut self, model: Option<File>) -> Self {
        self.model = model;
        self
    }

    /// The file's path, free of links.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// Where the file is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The user whose the file is that is there.
    #[must_use]
    pub fn owner_uid(&self) -> Option<u32> {
        self.old.as_ref().map(|old| old.identity.owner_uid)
    }

    /// The file that is there, if one is.
    #[must_use]
    pub fn old(&self) -> Option<&File> {
        self.old.as_ref().map(|old| &old.file)
    }

    /// Writes the new file with `write`, lets `verify` read it back, and puts it in place. While it is at it, no QEMU
    /// opens the old one for writing. Gives back the path of the old one's backup.
    ///
    /// # Errors
    /// What `verify` finds, [`Error::Changed`] or [`Error::Exists`] if another file is there by now,
    /// [`Error::InUse`], or if the disk or the system refuses.
    pub fn replace<E: From<Error>>(
        self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
        verify: impl FnOnce(&mut File) -> Result<(), E>,
    ) -> Result<Option<PathBuf>, E> {
        self.replace_keeping(&Keep::Backup, write, verify)
    }

    /// The same, where the caller says what becomes of the old file.
    ///
    /// # Errors
    /// As [`Replace::replace`].
    pub fn replace_keeping<E: From<Error>>(
        self,
        keep: &Keep,
        write: impl FnOnce(&mut File) -> io::Result<()>,
        verify: impl FnOnce(&mut File) -> Result<(), E>,
    ) -> Result<Option<PathBuf>, E> {
        let path = self.place.path();
        let failed = |action| {
            let path = path.clone();
            move |error: io::Error| Error::io(action, &path, error)
        };
        let _image_lock = self.old.as_ref().map(|old| old.hold(&self.place)).transpose()?;
        let new = NewFile::create(&self.place)?;
        match (&self.old, &self.model) {
            (Some(old), _) => keep_owner_and_labels(&old.file, new.file())
                .map_err(failed("keep owner, mode and labels of"))?,
            (None, Some(model)) => {
                let _ = keep_owner_and_labels(model, new.file());
            }
            (None, None) => {}
        }
        let mut file = new.file().try_clone().map_err(failed("write"))?;
        write(&mut file).map_err(failed("write"))?;
        file.sync_all().map_err(failed("sync"))?;
        file.seek(SeekFrom::Start(0)).map_err(failed("read back"))?;
        verify(&mut file)?;
        let Some(old) = &self.old else {
            new.place_new()?;
            return Ok(None);
        };
        let name = match keep {
            Keep::Backup => Some(backup::make(&self.place, &old.file)?),
            Keep::Numbered(suffix) => Some(backup::make_numbered(&self.place, &old.file, suffix)?),
            Keep::Nothing => None,
        };
        if let Err(error) = old.give_way(new, &self.place) {
            // No backup is needed of the file that is still there.
            let is_there = self
                .place
                .identity()
                .is_ok_and(|found| found == Some(old.identity));
            if let Some(name) = name.filter(|_| is_there) {
                let _ = self.place.folder().remove(&name, false);
            }
            return Err(error.into());
        }
        if let (Keep::Backup, Some(name)) = (keep, &name) {
            backup::prune(&self.place, old.identity.owner_uid, name);
        }
        Ok(name.map(|name| self.place.folder().join(name)))
    }
}

impl Old {
    /// Keeps every QEMU from opening it for writing; where there are no locks, it is only looked whether one has it.
    fn hold(&self, place: &Place) -> Result<Option<ImageLock>> {
        if self.even_if_in_use {
            return Ok(None);
        }
        let lock = ImageLock::hold(&self.file).ok();
        self.refuse_use(place)?;
        Ok(lock)
    }

    fn refuse_use(&self, place: &Place) -> Result<()> {
        if self.even_if_in_use {
            return Ok(());
        }
        match in_use::holder(&self.file) {
            Some(holder) => Err(Error::InUse {
                path: place.path(),
                holder,
            }),
            None => Ok(()),
        }
    }

    fn give_way(&self, new: NewFile, place: &Place) -> Result<()> {
        let exchanged = new.exchange(&self.identity)?;
        // Who opened the old one just before locks nothing yet; now nobody can open it any more.
        self.refuse_use(place)?;
        exchanged.keep()
    }
}

fn identity_of(file: &File, place: &Place) -> Result<Identity> {
    Identity::of(file).map_err(|error| Error::io("look at", &place.path(), error))
}

#[cfg(test)]
mod tests;
