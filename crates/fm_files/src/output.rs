//! Files that a command makes for people: whole or not at all, and never over what it reads.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::identity::keep_owner_and_labels;
use crate::{Error, NewFile, Place, Result};

/// Writes `bytes` to `path`. A file that is there is replaced whole; a device or a pipe is written to.
///
/// # Errors
/// If it is one of the `inputs`, or cannot be written.
pub fn write(path: &Path, bytes: &[u8], inputs: &[&Path]) -> Result<()> {
    let failed = |source: std::io::Error| Error::io("write", path, source);
    let identity = |path: &Path| Some(path.metadata().ok()?).map(|file| (file.dev(), file.ino()));
    let own = identity(path);
    if own.is_some() && inputs.iter().any(|input| identity(input) == own) {
        return Err(Error::IsInput {
            path: path.to_owned(),
        });
    }
    let behind = Place::behind_links(path);
    // Whoever may put a link there shall not have us write to a device.
    let is_led = matches!(behind, Err(Error::ForeignLink { .. }));
    if let Some(sink) = sink(path).filter(|_| !is_led) {
        return sink.and_then(|mut sink| sink.write_all(bytes)).map_err(failed);
    }
    // Through a symbolic link: it stays, what it leads to is replaced. Another's link to what is not his is replaced itself.
    let written = || {
        let place = behind.or_else(|_| Place::at(path))?;
        let new = NewFile::create_for_user(&place)?;
        if let Some(old) = place.open().ok().flatten() {
            let _ = keep_owner_and_labels(&old, new.file());
        }
        new.write_all(bytes)?;
        new.place_over()
    };
    written().map_err(|error: Error| failed(error.into_parts().2))
}

/// The device, pipe or terminal at `path`, if root or we made it: what another puts there is replaced like a file.
fn sink(path: &Path) -> Option<std::io::Result<File>> {
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let status = rustix::fs::fstat(&place).ok()?;
    let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&status.st_uid);
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile | FileType::Directory => None,
        // This very one, wherever its path leads by now.
        _ if is_ours => {
            let path = format!("/proc/self/fd/{}", place.as_raw_fd());
            Some(OpenOptions::new().write(true).open(path))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_of_another_to_what_is_not_his_is_replaced_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("precious"), "precious").unwrap();
        for (name, target) in [("file", "precious"), ("device", "/dev/full")] {
            std::os::unix::fs::symlink(target, path(name)).unwrap();
            if std::os::unix::fs::lchown(path(name), Some(65_534), None).is_err() {
                return; // only root can make links of others
            }
            write(&path(name), b"new", &[]).unwrap();
            assert!(!path(name).is_symlink());
        }
        assert_eq!(fs::read(path("precious")).unwrap(), b"precious");
    }

    #[test]
    fn a_pipe_of_another_is_replaced_and_none_of_ours_is() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::read(pipe).unwrap())
        };
        write(&pipe, b"through", &[]).unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        // What cannot be written to is refused, and stays what it is.
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(write(&socket, b"gone", &[]).is_err());
        let kind = rustix::fs::lstat(&socket).unwrap().st_mode;
        assert_eq!(FileType::from_raw_mode(kind), FileType::Socket);
        // Only root gives files away.
        if std::os::unix::fs::chown(&pipe, Some(65_534), None).is_err() {
            return;
        }
        write(&pipe, b"whole", &[]).unwrap();
        assert_eq!(fs::read(&pipe).unwrap(), b"whole");
    }

    #[test]
    fn an_output_is_whole_and_never_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("input"), "precious").unwrap();
        fs::write(path("old"), "old").unwrap();
        std::os::unix::fs::symlink(path("input"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("old"), path("other")).unwrap();
        fs::hard_link(path("input"), path("same")).unwrap();
        for name in ["input", "link", "same"] {
            let error = write(&path(name), b"new", &[&path("input")]).unwrap_err();
            assert!(error.to_string().contains("is what is read"), "{error}");
        }
        assert_eq!(fs::read(path("input")).unwrap(), b"precious");
        for name in ["new", "old", "other"] {
            write(&path(name), name.as_bytes(), &[&path("input")]).unwrap();
            assert_eq!(fs::read(path(name)).unwrap(), name.as_bytes());
        }
        assert!(path("other").is_symlink());
        assert_eq!(fs::read(path("old")).unwrap(), b"other");
        write(Path::new("/dev/null"), b"gone", &[]).unwrap();
        assert!(write(Path::new("/dev/full"), b"no room", &[]).is_err());
        assert!(write(&path("none/there"), b"", &[]).is_err());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            6,
            "nothing is left over"
        );
    }
}
