//! Small files that somebody else may have written: read whole, if they are files and not larger than sensible.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use crate::{Error, Result, open_regular};

/// All bytes of the file at `path`, which may have at most `limit_bytes`; nothing if there is none. A FIFO is not
/// waited for, and a device not touched.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::NotRegular`], or if the system refuses.
pub fn read_bounded(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    match open_regular(path) {
        Ok(file) => read_file_bounded(&file, path, limit_bytes).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => Err(Error::NotRegular {
            path: path.to_owned(),
        }),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// The rest of an open file, of which there may be at most `limit_bytes`.
///
/// # Errors
/// [`Error::TooLarge`], or if the disk refuses.
pub(crate) fn read_file_bounded(file: &File, path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let failed = |error: io::Error| Error::io("read", path, error);
    let size_bytes = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(size_bytes.min(limit_bytes)).unwrap_or(0));
    // One byte more than allowed, so that a file that grew meanwhile is noticed.
    let mut some = file.take(limit_bytes.saturating_add(1));
    some.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit_bytes || size_bytes > limit_bytes {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            size_bytes: size_bytes.max(bytes.len() as u64),
            limit_bytes,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_refused_above_with_both_figures() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(read_bounded(&path, 4).unwrap(), None);
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_bounded(&path, 4).unwrap().unwrap(), b"four");
        let error = read_bounded(&path, 3).unwrap_err();
        assert!(
            matches!(
                error,
                Error::TooLarge {
                    size_bytes: 4,
                    limit_bytes: 3,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn what_has_no_end_or_no_beginning_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [&fifo, &link] {
            let error = read_bounded(path, 9).unwrap_err();
            assert!(matches!(error, Error::NotRegular { .. }), "{error}");
        }
    }
}
