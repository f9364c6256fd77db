//! Folders that are their owner's alone from the moment on that they are there.

use std::ffi::OsStr;

use rustix::fs::{self, Mode};
use rustix::io::Errno;

use crate::fault::step;
use crate::folder::failed;
use crate::{Folder, Result};

impl Folder {
    /// A folder in this one, made if it is not there, that only its owner may enter. One that is there stays as it is:
    /// [`Folder::status`] tells.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn private_sub_or_create(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        let name = name.as_ref();
        if let Some(folder) = self.sub(name)? {
            return Ok(folder);
        }
        self.error("create", name, step("mkdir", name))?;
        match fs::mkdirat(&*self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("create", self.join(name), errno)),
        }
        let folder = self
            .sub(name)?
            .ok_or_else(|| failed("create", self.join(name), Errno::NOENT))?;
        self.sync()?;
        Ok(folder)
    }
}
