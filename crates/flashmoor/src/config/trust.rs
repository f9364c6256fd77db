//! Reading a file of settings: root only reads what nobody else may write.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::Error;

/// More than anybody writes by hand.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A file's text, or why it is not believed; nothing if there is none.
///
/// # Errors
/// If it is there and can't be read.
pub(super) fn read(path: &Path) -> Result<Option<Result<String, String>>, Error> {
    let failed = |source| Error::file("read", path, source);
    // A FIFO must not hold us up.
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let mut file = match open {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        // A user who may not look into this host's file goes by its defaults.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(Some(Err(error.to_string()))),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Ok(Some(Err("it is no file".into())));
    }
    if rustix::process::geteuid().is_root()
        && let Some(who) = others(path, &metadata)
    {
        return Ok(Some(Err(who)));
    }
    if metadata.len() > MAX_CONFIG_BYTES {
        return Ok(Some(Err(format!("it is larger than {MAX_CONFIG_BYTES} bytes"))));
    }
    let mut text = String::new();
    file.by_ref()
        .take(MAX_CONFIG_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Some(Ok(text)))
}

/// Who else than root may decide what stands there: the file's owner or group, or those of a folder on the way.
fn others(path: &Path, metadata: &Metadata) -> Option<String> {
    if let Some(who) = writer(metadata, false) {
        return Some(format!("{who} may write it"));
    }
    let Ok(path) = path.canonicalize() else {
        return Some("its path cannot be followed".into());
    };
    path.ancestors().skip(1).find_map(|folder| {
        let metadata = fs::metadata(folder).ok()?;
        let who = writer(&metadata, metadata.mode() & 0o1000 != 0)?;
        Some(format!("{who} may write {}", folder.display()))
    })
}

/// In a sticky folder nobody replaces what is somebody else's.
fn writer(metadata: &Metadata, is_sticky: bool) -> Option<String> {
    match (metadata.uid(), metadata.mode()) {
        (0, mode) if mode & 0o022 == 0 || is_sticky => None,
        (0, mode) if mode & 0o002 != 0 => Some("everybody".into()),
        (0, _) => Some(format!("group {}", metadata.gid())),
        (uid, _) => Some(format!("user {uid}")),
    }
}
