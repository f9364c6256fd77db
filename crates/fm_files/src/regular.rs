//! Opens files that somebody else named: regular ones only, so that none is waited for and no device is touched.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

/// Opens the file at `path` for reading if it is a regular one. A FIFO, on which opening waits for a writer,
/// and a device, which opening may set to work, are refused with what they are.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for what is no regular file, otherwise the kernel's answer.
pub fn open_regular(path: &Path) -> io::Result<File> {
    regular(&rustix::fs::open(
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// The same for a place that was found, and not opened, with `O_PATH`.
///
/// # Errors
/// As [`open_regular`].
pub fn regular(place: &OwnedFd) -> io::Result<File> {
    let what = match FileType::from_raw_mode(rustix::fs::fstat(place)?.st_mode) {
        FileType::RegularFile => {
            // this very file, wherever its path leads by now
            return File::open(format!("/proc/self/fd/{}", place.as_raw_fd()));
        }
        FileType::Fifo => "a FIFO",
        FileType::Directory => "a directory",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        FileType::Socket => "a socket",
        _ => "of another kind",
    };
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        format!("it is {what} and no regular file"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for (path, what) in [
            (fifo.as_path(), "a FIFO"),
            (&link, "a character device"),
            (dir.path(), "a directory"),
        ] {
            let error = open_regular(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(what), "{error}");
        }
        let missing = open_regular(&dir.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let mut text = String::new();
        open_regular(&file).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
