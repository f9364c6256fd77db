//! New files that are either there, whole, or not there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::Result;

mod exchange;

pub(super) use exchange::FileIdentity;

/// A file being written beside the place that it is meant for.
pub(super) struct NewFile {
    pub(super) file: File,
    partial: PathBuf,
    path: PathBuf,
    placed: bool,
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> crate::Error {
    let path = path.to_owned();
    move |source| crate::Error::File { action, path, source }
}

impl NewFile {
    /// Starts a file for `path`, readable by its owner alone until it is placed.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(failed("create", &partial))?;
        Ok(Self {
            file,
            partial,
            path: path.to_owned(),
            placed: false,
        })
    }

    /// Makes it durable and puts it in place, over what is there or, unless `replace`, only if nothing is.
    pub(super) fn place(mut self, replace: bool) -> Result<()> {
        self.file.sync_all().map_err(failed("write", &self.partial))?;
        let flags = if replace {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        match renameat_with(CWD, &self.partial, CWD, &self.path, flags) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => {
                return Err(super::Error::Exists {
                    path: self.path.clone(),
                }
                .into());
            }
            Err(error) => return Err(failed("create", &self.path)(error.into())),
        }
        self.placed = true;
        sync_folder(&self.path)
    }
}

/// Makes the names in a file's folder durable.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("write", folder))
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::remove_file(&self.partial);
        }
    }
}
