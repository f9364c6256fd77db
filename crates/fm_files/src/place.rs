//! A file's place: the folder that it lies in, held open, and its name there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::links::{check_links, resolve};
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
    /// way afterwards leads nowhere, and nobody but root leads us to a file that is not his own.
    ///
    /// # Errors
    /// [`Error::ForeignLink`] with the link of another; if there is no such file, or its folder cannot be opened.
    pub fn behind_links(path: &Path) -> Result<Self> {
        let mut links = Vec::new();
        let real = match resolve(path, &mut links) {
            Ok(real) => real,
            Err(error) => {
                let own = rustix::process::geteuid().as_raw();
                check_links(links, own)?;
                return Err(Error::io("find", path, error));
            }
        };
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(Error::io("open", path, io::Error::from(ErrorKind::InvalidInput)));
        };
        let place = Self {
            folder: Folder::open_resolved(parent)?,
            name: name.to_owned(),
        };
        let Some(file) = place.identity()? else {
            return Err(Error::io("find", path, io::Error::from(ErrorKind::NotFound)));
        };
        check_links(links, file.owner_uid)?;
        Ok(place)
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    #[test]
    fn a_folder_is_reached_through_links_and_nobody_leads_us_to_one_that_is_not_his() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("real/sub")).unwrap();
        symlink("real", path("way")).unwrap();
        for way in ["real", "way", "way/sub", "way/../real"] {
            assert!(Folder::open(&path(way)).unwrap().is_some(), "{way}");
        }
        assert!(Folder::open(Path::new(".")).unwrap().is_some());
        for none in ["none", "way/none", "none/sub"] {
            assert!(Folder::open(&path(none)).unwrap().is_none(), "{none}");
        }
        // Only root can make links of others.
        if lchown(path("way"), Some(65_534), None).is_err() {
            return;
        }
        for led in ["way", "way/sub"] {
            let error = Folder::open(&path(led)).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::ForeignLink {
                        owner_uid: 65_534,
                        ..
                    }
                ),
                "{error}"
            );
            let error = Place::at(&path(led).join("file")).unwrap_err();
            assert!(matches!(error, Error::ForeignLink { .. }), "{error}");
        }
        std::os::unix::fs::chown(path("real"), Some(65_534), None).unwrap();
        assert!(Folder::open(&path("way")).unwrap().is_some(), "his own folder");
    }

    #[test]
    fn links_are_followed_and_nobody_leads_us_to_what_is_not_his() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("real")).unwrap();
        fs::write(path("real/file"), "x").unwrap();
        symlink("real", path("dir")).unwrap();
        symlink("../real/../dir/file", path("real/link")).unwrap();
        let real = fs::canonicalize(path("real/file")).unwrap();
        for way in ["real/file", "dir/file", "real/link", "dir/./link"] {
            assert_eq!(Place::behind_links(&path(way)).unwrap().path(), real, "{way}");
        }
        symlink("loop", path("loop")).unwrap();
        symlink("none", path("dangling")).unwrap();
        for nowhere in ["loop", "dangling", "none"] {
            assert!(Place::behind_links(&path(nowhere)).is_err(), "{nowhere}");
        }
        // Only root can make links of others.
        if lchown(path("dir"), Some(65_534), None).is_err() {
            return;
        }
        let error = Place::behind_links(&path("dir/file")).unwrap_err();
        assert!(
            matches!(
                error,
                Error::ForeignLink {
                    owner_uid: 65_534,
                    ..
                }
            ),
            "{error}"
        );
        std::os::unix::fs::chown(path("real/file"), Some(65_534), None).unwrap();
        assert_eq!(
            Place::behind_links(&path("dir/file")).unwrap().path(),
            real,
            "his own file"
        );
    }
}
