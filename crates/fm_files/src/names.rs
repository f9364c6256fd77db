//! Names in an open folder: moved, exchanged, linked, and never over what was not meant.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use rustix::fs::{self, AtFlags, RenameFlags};
use rustix::io::Errno;

use crate::fault::step;
use crate::folder::failed;
use crate::{Error, Folder, Identity, Result};

impl Folder {
    /// Moves an entry to `to` under another name, replacing a file that is there.
    pub fn rename(&self, name: impl AsRef<OsStr>, to: &Self, new: impl AsRef<OsStr>) -> Result<()> {
        let (name, new) = (name.as_ref(), new.as_ref());
        to.error("publish", new, step("rename", new))?;
        fs::renameat(&*self.fd, name, &*to.fd, new).map_err(|errno| failed("publish", to.join(new), errno))
    }

    /// Gives an entry another name in this folder, unless something has that name: [`Error::Exists`].
    pub fn rename_new(&self, name: impl AsRef<OsStr>, new: impl AsRef<OsStr>) -> Result<()> {
        let (name, new) = (name.as_ref(), new.as_ref());
        self.error("put in place", new, step("rename", new))?;
        let flags = RenameFlags::NOREPLACE;
        let done = match fs::renameat_with(&*self.fd, name, &*self.fd, new, flags) {
            // A file system that cannot: a link is never made over a file either.
            Err(Errno::INVAL | Errno::NOSYS) => fs::linkat(&*self.fd, name, &*self.fd, new, AtFlags::empty())
                .and_then(|()| fs::unlinkat(&*self.fd, name, AtFlags::empty())),
            done => done,
        };
        match done {
            Err(Errno::EXIST) => Err(Error::Exists { path: self.join(new) }),
            done => done.map_err(|errno| failed("put in place", self.join(new), errno)),
        }
    }

    /// Lets two entries of this folder change places. Tells whether the file system can do that.
    pub fn exchange(&self, one: impl AsRef<OsStr>, other: impl AsRef<OsStr>) -> Result<bool> {
        let (one, other) = (one.as_ref(), other.as_ref());
        self.error("put in place", other, step("rename", other))?;
        match fs::renameat_with(&*self.fd, one, &*self.fd, other, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(failed("put in place", self.join(other), errno)),
        }
    }

    /// Gives a file a second name in `to`.
    pub fn link(&self, name: impl AsRef<OsStr>, to: &Self, new: impl AsRef<OsStr>) -> Result<()> {
        let (name, new) = (name.as_ref(), new.as_ref());
        to.error("link", new, step("link", new))?;
        fs::linkat(&*self.fd, name, &*to.fd, new, AtFlags::empty())
            .map_err(|errno| failed("link", to.join(new), errno))
    }

    /// Gives this very file a second name here, whatever lies under its first by now.
    pub fn link_file(&self, file: &File, new: impl AsRef<OsStr>) -> Result<()> {
        let new = new.as_ref();
        self.error("link", new, step("link", new))?;
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::linkat(fs::CWD, opened, &*self.fd, new, AtFlags::SYMLINK_FOLLOW).map_err(
            |errno| match errno {
                Errno::EXIST => Error::Exists { path: self.join(new) },
                errno => failed("link", self.join(new), errno),
            },
        )?;
        let own = Identity::of(file).map_err(|error| Error::io("link", &self.join(new), error))?;
        match self.identity(new)? {
            Some(found) if found == own => Ok(()),
            // Without /proc the path may have been anything.
            _ => {
                self.remove(new, false)?;
                Err(failed("link", self.join(new), Errno::STALE))
            }
        }
    }
}
