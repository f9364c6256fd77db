//! A file's place: the folder that it lies in, held open, and its name there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::{Error, Folder, Identity, Result};

/// Where a file is or shall be. Its folder is opened once, so that it stays the same folder whatever becomes of the
/// path.
#[derive(Debug, Clone)]
pub struct Place {
    folder: Folder,
    name: OsString,
}

impl Place {
    /// The place that `path` names; a link that lies there is the place itself.
    ///
    /// # Errors
    /// If the path names no file, or its folder cannot be opened.
    pub fn at(path: &Path) -> Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| Error::io("open", path, io::Error::from(ErrorKind::InvalidInput)))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let folder = Folder::open(parent)?
            .ok_or_else(|| Error::io("open", parent, io::Error::from(ErrorKind::NotFound)))?;
        Ok(Self {
            folder,
            name: name.to_owned(),
        })
    }

    /// The place called `name` in an open folder.
    #[must_use]
    pub fn in_folder(folder: &Folder, name: impl Into<OsString>) -> Self {
        Self {
            folder: folder.clone(),
            name: name.into(),
        }
    }

    /// The place of the file that `path` leads to, through links as they are at this moment. One that is put on the
    /// way afterwards leads nowhere.
    ///
    /// # Errors
    /// If there is no such file, or its folder cannot be opened.
    pub fn behind_links(path: &Path) -> Result<Self> {
        let real = fs::canonicalize(path).map_err(|error| Error::io("find", path, error))?;
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(Error::io("open", path, io::Error::from(ErrorKind::InvalidInput)));
        };
        Ok(Self {
            folder: Folder::open_resolved(parent)?,
            name: name.to_owned(),
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The name in it.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Both, for messages and documents.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Opens the regular file that lies there, for reading; nothing if there is none.
    ///
    /// # Errors
    /// [`Error::NotRegular`], a link (`ELOOP`), or if the system refuses.
    pub fn open(&self) -> Result<Option<File>> {
        Ok(self.folder.file(&self.name)?.map(|(file, _)| file))
    }

    /// Which file lies there.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn identity(&self) -> Result<Option<Identity>> {
        self.folder.identity(&self.name)
    }
}
