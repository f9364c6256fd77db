//! What a verb of `vars` is about to replace: a file that is there, or one that must not be there yet.

use std::fs;
use std::path::Path;

use fm_files::Replace;

use crate::Error;
use crate::source::{self, refuse_guest};

/// Takes hold of an existing file.
pub(super) fn existing(path: &Path, even_if_in_use: bool) -> Result<Replace, Error> {
    let failed = |action, path: &Path, source| Error::File {
        action,
        path: path.to_path_buf(),
        source,
    };
    match Replace::existing(path, even_if_in_use) {
        Err(fm_files::Error::Io {
            action: "find",
            path: named,
            source,
        }) => {
            refuse_guest(path)?;
            Err(failed("find", &named, source))
        }
        Err(error @ fm_files::Error::NotRegular { .. }) => match source::open(path) {
            // A block device holds variables that can be read, and only read.
            Ok(_) => Err(error.into()),
            Err(source) => Err(failed("open", path, source)),
        },
        other => Ok(other?),
    }
}

/// A file that must not be there yet, or may be replaced.
pub(super) fn output(path: &Path, replace: bool, even_if_in_use: bool) -> Result<Replace, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) if replace => existing(path, even_if_in_use),
        Ok(_) => Err(Error::Exists {
            path: path.to_path_buf(),
        }),
        Err(_) => Ok(Replace::new(path)?),
    }
}

/// The same, with the owner, mode and labels of `model` for a file that is made.
pub(super) fn modelled_on(target: Replace, model: Option<&Path>) -> Replace {
    target.modelled_on(model.and_then(|path| source::open(path).ok()))
}
