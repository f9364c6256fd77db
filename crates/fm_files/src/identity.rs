//! Which file it is, whatever its name, and what a successor takes over from it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;

/// A file by what stays when it is renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The device that it lies on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// The user that it belongs to.
    pub owner_uid: u32,
    /// Whether it is a file, and neither link nor FIFO nor anything else.
    pub is_regular: bool,
}

impl Identity {
    /// Of an open file.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&rustix::fs::fstat(file)?))
    }
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            owner_uid: stat.st_uid,
            is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        }
    }
}

/// Gives `new` the owner of `old`, then its mode (changing the owner clears bits of it), then every extended
/// attribute: SELinux label, ACLs, the user's own.
///
/// # Errors
/// The kernel's answer: nobody but root gives files away.
pub(crate) fn keep_owner_and_labels(old: &File, new: &File) -> io::Result<()> {
    let (wanted, got) = (old.metadata()?, new.metadata()?);
    if (wanted.uid(), wanted.gid()) != (got.uid(), got.gid()) {
        std::os::unix::fs::fchown(new, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    rustix::fs::fchmod(
        new.as_fd(),
        Mode::from_raw_mode(wanted.permissions().mode() & 0o7777),
    )?;
    let mut names = vec![0u8; 64 << 10];
    let len = match rustix::fs::flistxattr(old.as_fd(), &mut names) {
        Ok(len) => len,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = vec![0u8; 64 << 10];
    for name in names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let len = rustix::fs::fgetxattr(old.as_fd(), name, &mut value)?;
        rustix::fs::fsetxattr(new.as_fd(), name, &value[..len], rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}
