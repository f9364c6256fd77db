//! What is written where it lies, because no other file can take its name: block devices, and files that something is
//! mounted on.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::fault::step;
use crate::lock::Lock;
use crate::{Error, ImageLock, Place, Result, device_id, in_use};

/// The pages that the kernel writes one after the other; a process that is killed leaves no part of one.
const PAGE_BYTES: usize = 4096;

/// A block device or a file that is held for writing in its place: no other flashmoor changes it meanwhile, no QEMU opens
/// it, and none has it open.
#[derive(Debug)]
pub struct InPlace {
    path: PathBuf,
    file: File,
    is_device: bool,
    id: Option<String>,
    _image_lock: Option<ImageLock>,
    _lock: Lock,
}

impl InPlace {
    /// Whether what `path` leads to can only be written where it lies.
    #[must_use]
    pub fn is_needed(path: &Path) -> bool {
        Place::behind_links(path).is_ok_and(|place| match kind_at(&place) {
            Ok(FileType::BlockDevice) => true,
            Ok(FileType::RegularFile) => is_mounted_on(&place),
            _ => false,
        })
    }

    /// Takes hold of it. Of a device the kernel's exclusive hold is asked for as well: what is mounted or part of another
    /// device is in use.
    ///
    /// # Errors
    /// [`Error::ForeignLink`] if another's link leads there, [`Error::NotRegular`], [`Error::Busy`], [`Error::InUse`] unless `even_if_in_use`, or if the system refuses.
    pub fn hold(path: &Path, even_if_in_use: bool) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| Error::io("find", path, error))?;
        let failed = |action| {
            let path = path.clone();
            move |error: io::Error| Error::io(action, &path, error)
        };
        let place = Place::behind_links(&path)?;
        let is_device = kind_at(&place)? == FileType::BlockDevice;
        let mut flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        if is_device && !even_if_in_use {
            flags |= OFlags::EXCL;
        }
        let file = match rustix::fs::openat(&*place.folder().fd, place.name(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::BUSY) if is_device => {
                let holder = "the kernel: it is mounted, or part of another device".into();
                return Err(Error::InUse { path, holder });
            }
            Err(errno) => return Err(failed("open")(errno.into())),
        };
        let status = file.metadata().map_err(failed("look at"))?;
        let kind = status.file_type();
        if kind.is_block_device() != is_device || !(is_device || kind.is_file()) {
            return Err(Error::NotRegular { path });
        }
        let lock = Lock::take(&file, &path)?;
        let image_lock = (!even_if_in_use).then(|| ImageLock::hold(&file).ok()).flatten();
        let held = Self {
            id: device_id::of(&status),
            path,
            file,
            is_device,
            _image_lock: image_lock,
            _lock: lock,
        };
        match held.holder().filter(|_| !even_if_in_use) {
            Some(holder) => Err(Error::InUse {
                path: held.path,
                holder,
            }),
            None => Ok(held),
        }
    }

    /// Its path, absolute, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is called for good, if the system can tell: a path may lead to another device after the next boot.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The same of what `path` leads to, without holding it.
    #[must_use]
    pub fn id_at(path: &Path) -> Option<String> {
        device_id::of(&std::fs::metadata(path).ok()?)
    }

    /// It, open for reading and writing.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether it is a block device, whose length is given.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.is_device
    }

    /// Whether `path` leads to this very device or file now.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let (Ok(own), Ok(other)) = (self.file.metadata(), std::fs::metadata(path)) else {
            return false;
        };
        if self.is_device {
            return other.file_type().is_block_device() && own.rdev() == other.rdev();
        }
        (own.dev(), own.ino()) == (other.dev(), other.ino())
    }

    /// Who has it open for writing, if anybody but this process does.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        in_use::holder(&self.file)
    }

    /// How long it is.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn len_bytes(&self) -> Result<u64> {
        // Not the metadata's length: a block device has none there.
        (&self.file)
            .seek(SeekFrom::End(0))
            .map_err(|error| self.failed("read", error))
    }

    /// Its first `len_bytes`, or as many as there are.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn read(&self, len_bytes: u64) -> Result<Vec<u8>> {
        let len = usize::try_from(len_bytes.min(self.len_bytes()?)).unwrap_or(0);
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, 0)
            .map_err(|error| self.failed("read", error))?;
        Ok(bytes)
    }

    /// Makes `bytes` its beginning: what differs is written, page by page, and nothing else, so that a thin volume takes
    /// no more room than needed.
    ///
    /// # Errors
    /// If the disk refuses; any part of it may be written then.
    pub fn write_differing(&self, bytes: &[u8]) -> Result<()> {
        let present = self.read(bytes.len() as u64)?;
        for (page, is) in bytes.chunks(PAGE_BYTES).zip((0..).step_by(PAGE_BYTES)) {
            if present.get(is..is + page.len()) != Some(page) {
                self.write_at(page, is as u64)?;
            }
        }
        Ok(())
    }

    /// Writes at one place.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        step("write", self.name())
            .and_then(|()| self.file.write_all_at(bytes, offset))
            .map_err(|error| self.failed("write", error))
    }

    /// The length of a file from now on.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn set_len(&self, len_bytes: u64) -> Result<()> {
        step("write", self.name())
            .and_then(|()| self.file.set_len(len_bytes))
            .map_err(|error| self.failed("write", error))
    }

    /// Waits until all of it is on disk; what is read afterwards is read from there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> Result<()> {
        step("fsync", self.name())
            .and_then(|()| self.file.sync_all())
            .map_err(|error| self.failed("sync", error))?;
        // The cache would say what was meant, whatever the disk has. Where it stays, there is nothing to do about it.
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
        Ok(())
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    fn failed(&self, action: &'static str, error: io::Error) -> Error {
        Error::io(action, &self.path, error)
    }
}

/// What kind of file lies there.
fn kind_at(place: &Place) -> Result<FileType> {
    let status = place.folder().stat(place.name())?;
    let missing = || Error::io("find", &place.path(), io::Error::from(io::ErrorKind::NotFound));
    let status = status.ok_or_else(missing)?;
    Ok(FileType::from_raw_mode(status.st_mode))
}

/// Whether it is where something is mounted: the kernel lets no other file take such a name.
fn is_mounted_on(place: &Place) -> bool {
    let folder = &*place.folder().fd;
    rustix::fs::statx(folder, place.name(), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_does_not_lead_us_to_a_device_that_is_not_his() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(InPlace::hold(&link, true).is_ok());
        // Only root can make links of others.
        if std::os::unix::fs::lchown(&link, Some(65_534), None).is_err() {
            return;
        }
        let refused = InPlace::hold(&link, true).unwrap_err();
        assert!(
            matches!(
                refused,
                Error::ForeignLink {
                    owner_uid: 65_534,
                    ..
                }
            ),
            "{refused}"
        );
        assert!(!InPlace::is_needed(&link));
    }

    #[test]
    fn a_file_that_another_can_take_the_name_of_is_none_of_these() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!InPlace::is_needed(file.path()));
        assert!(!InPlace::is_needed(Path::new("/proc/self/none")));
        assert!(!InPlace::is_needed(Path::new("/dev/null")));
    }

    #[test]
    fn only_what_differs_is_written_and_the_rest_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let old = vec![7; 5 * PAGE_BYTES + 9];
        std::fs::write(file.path(), &old).unwrap();
        let held = InPlace::hold(file.path(), false).unwrap();
        let mut new = old[..3 * PAGE_BYTES].to_vec();
        new[PAGE_BYTES] = 8;
        let (done, steps) = crate::fault::trace(|| held.write_differing(&new));
        done.unwrap();
        assert_eq!(steps.len(), 1);
        new.extend(&old[3 * PAGE_BYTES..]);
        assert_eq!(std::fs::read(file.path()).unwrap(), new);
        assert!(matches!(
            InPlace::hold(file.path(), false),
            Err(Error::Busy { .. })
        ));
        assert!(held.is_at(file.path()));
    }
}
