//! The build that a guest is to get, by its file, or by its id or name in the store.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use fm_store::{MAX_FLASH_BYTES, Store};

use crate::{Error, Result};

/// A build with its bytes.
#[derive(Debug, Clone)]
pub struct Build {
    /// The sha256 of CODE.
    pub id: Sha256,
    /// CODE.
    pub bytes: Vec<u8>,
    /// Where it was read.
    pub path: PathBuf,
}

impl Build {
    /// What `text` means: the path of a raw CODE file, or a build of the store.
    ///
    /// # Errors
    /// If there is neither, or the file is too large or no raw image.
    pub fn find(store: &Store, text: &str) -> Result<Self> {
        if Path::new(text).is_file() {
            return Self::read(Path::new(text));
        }
        Self::stored(store, text)
    }

    /// The stored build of this id or name, whose bytes are those that it is called by.
    ///
    /// # Errors
    /// As [`Build::find`], or if the store holds other bytes.
    pub fn stored(store: &Store, text: &str) -> Result<Self> {
        let stored = store.find(text)?;
        let build = Self::read(&stored.code.path)?;
        match build.id == stored.id {
            true => Ok(build),
            false => Err(Error::NotABuild {
                path: build.path,
                why: "it is damaged: its bytes are not those of the build that it is stored as",
            }),
        }
    }

    /// Whether its file still holds these bytes: a package may be upgraded while a moment is waited for.
    ///
    /// # Errors
    /// If it does not, or cannot be read.
    pub(crate) fn is_still_there(&self) -> Result<()> {
        match Self::read(&self.path)?.id == self.id {
            true => Ok(()),
            false => Err(Error::NotABuild {
                path: self.path.clone(),
                why: "it has changed since it was read",
            }),
        }
    }

    /// The raw CODE file at `path`.
    ///
    /// # Errors
    /// As [`Build::find`].
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |source| Error::file("read", path, source);
        let file = fm_files::open_regular(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MAX_FLASH_BYTES.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let no = |why| Error::NotABuild {
            path: path.to_owned(),
            why,
        };
        if bytes.is_empty() || bytes.len() as u64 > MAX_FLASH_BYTES {
            return Err(no("no flash device has its size"));
        }
        if bytes.starts_with(b"QFI\xfb") {
            return Err(no("it is a qcow2 image, and memory takes the raw bytes"));
        }
        Ok(Self {
            id: Sha256::of(&bytes),
            bytes,
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_changed_since_it_was_read_is_not_taken_for_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.fd");
        std::fs::write(&path, b"one build").unwrap();
        let build = Build::read(&path).unwrap();
        build.is_still_there().unwrap();
        std::fs::write(&path, b"another one").unwrap();
        assert!(matches!(build.is_still_there(), Err(Error::NotABuild { .. })));
    }
}
