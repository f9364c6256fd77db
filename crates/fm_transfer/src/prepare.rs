//! `prepare`: put files of the right size in place for a guest that is about to arrive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fm_remedy::{Action, Class, Failure, Input, Remedy};
use fm_store::{NewLanding, Store};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::Serialize;

use crate::offer::Offer;

/// The largest flash that any machine of QEMU has; what claims more is no offer.
const FLASH_LIMIT_BYTES: u64 = fm_store::MAX_FLASH_BYTES;

/// Where the guest's own variables shall live.
#[derive(Debug, Clone)]
pub struct Request {
    /// What the source said.
    pub offer: Offer,
    /// VARS at this host; needed where the guest has a VARS flash.
    pub vars: Option<PathBuf>,
    /// Set a VARS file with content aside, as a backup, instead of refusing.
    pub replace: bool,
}

/// `flashmoor/prepare/1`: what to start the destination's QEMU with.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Prepared {
    /// `flashmoor/prepare/1`.
    pub schema: String,
    /// The landing's name, for `flashmoor harvest` and `flashmoor store gc`.
    pub landing: String,
    /// Flash unit 0, read-only.
    pub code: PreparedFile,
    /// Flash unit 1, writable, if the guest has one.
    pub vars: Option<PreparedFile>,
    /// The VARS file that was there before, if it was set aside.
    pub vars_backup: Option<PathBuf>,
}

/// One flash file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PreparedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Whether it holds nothing yet and waits for the stream to bring the bytes.
    pub placeholder: bool,
}

/// Why nothing was prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The guest has a VARS flash and nobody said where it shall live.
    #[error("the guest has a VARS flash of {size_bytes} bytes, and where it shall live was not said")]
    NoVarsPath {
        /// Its length.
        size_bytes: u64,
    },
    /// The guest has no VARS flash, but a path for it was given.
    #[error("the guest has no VARS flash, so {} would never be used", path.display())]
    NoVars {
        /// The path.
        path: PathBuf,
    },
    /// A flash size that no machine has.
    #[error("the offer's {what} is {size_bytes} bytes, which no flash of QEMU is")]
    Size {
        /// `CODE` or `VARS`.
        what: &'static str,
        /// What it claims.
        size_bytes: u64,
    },
    /// The VARS path holds somebody's variables.
    #[error("{} has content; the arriving guest would overwrite it", path.display())]
    VarsInUse {
        /// The path.
        path: PathBuf,
    },
    /// The VARS path is not a plain file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NoVarsPath { .. } | Self::NoVars { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoVarsPath { .. } => Remedy::give("say where it is to be", [Input::VarsPath]),
            Self::NoVars { .. } => "leave the path of a variable store out".into(),
            Self::Size { .. } => Remedy::new(
                "make the offer again on the source",
                Action::MakeOffer { guest: None },
            ),
            Self::VarsInUse { .. } => Remedy::give(
                "give another path, or have the file set aside as a backup first",
                [Input::VarsPath, Input::Replace],
            ),
            Self::NotAFile { .. } => "give the path of a file, or of nothing yet".into(),
        })
    }
}

/// Makes the landing for CODE and the file for VARS. Nothing is left behind if it fails.
///
/// # Errors
/// [`Error`] inside [`crate::Error::Prepare`], or if the store or the disk refuses.
pub fn prepare(store: &Store, request: &Request) -> crate::Result<Prepared> {
    let offer = &request.offer;
    check_size("CODE", offer.code.size_bytes)?;
    let vars = match (&offer.vars, &request.vars) {
        (Some(vars), Some(path)) => {
            check_size("VARS", vars.size_bytes)?;
            Some((path.as_path(), vars.size_bytes))
        }
        (Some(vars), None) => {
            return Err(Error::NoVarsPath {
                size_bytes: vars.size_bytes,
            }
            .into());
        }
        (None, Some(path)) => return Err(Error::NoVars { path: path.clone() }.into()),
        (None, None) => None,
    };
    // What can be refused is refused before anything is made.
    let backup_needed = match vars {
        Some((path, size_bytes)) => vars_state(path, size_bytes)? == VarsState::Content,
        None => false,
    };
    if let (true, false, Some((path, _))) = (backup_needed, request.replace, vars) {
        return Err(Error::VarsInUse {
            path: path.to_owned(),
        }
        .into());
    }
    let code = crate::offer::code_digest(&offer)?;
    let before = store.landings()?;
    let landing = store.create_landing(&NewLanding {
        guest_name: offer.guest.name.as_deref(),
        guest_uuid: offer.guest.uuid.as_deref(),
        code,
        size_bytes: offer.code.size_bytes,
    })?;
    let made = vars
        .map(|(path, size_bytes)| make_vars(path, size_bytes))
        .transpose();
    let (vars, vars_backup) = match made {
        Ok(Some((file, backup))) => (Some(file), backup),
        Ok(None) => (None, None),
        Err(error) => {
            if !before.iter().any(|earlier| earlier.id == landing.id) {
                let _ = store.remove_landing(&landing.id); // the disk's error is the one to tell
            }
            return Err(error);
        }
    };
    Ok(Prepared {
        schema: "flashmoor/prepare/1".into(),
        landing: landing.id,
        code: PreparedFile {
            path: landing.path,
            size_bytes: landing.size_bytes,
            placeholder: landing.placeholder,
        },
        vars,
        vars_backup,
    })
}

fn check_size(what: &'static str, size_bytes: u64) -> Result<(), Error> {
    if (1..=FLASH_LIMIT_BYTES).contains(&size_bytes) {
        Ok(())
    } else {
        Err(Error::Size { what, size_bytes })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum VarsState {
    Absent,
    /// The right size and nothing but zeros or erased flash in it.
    Blank,
    Content,
}

fn vars_state(path: &Path, size_bytes: u64) -> crate::Result<VarsState> {
    let file = |source| crate::Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    // No symlink is followed, and no pipe waited for, where a file is meant.
    options
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let mut opened = match options.open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(VarsState::Absent),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(Error::NotAFile {
                path: path.to_owned(),
            }
            .into());
        }
        Err(error) => return Err(file(error)),
    };
    let metadata = opened.metadata().map_err(file)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile {
            path: path.to_owned(),
        }
        .into());
    }
    if metadata.size() != size_bytes {
        return Ok(if metadata.size() == 0 {
            VarsState::Blank
        } else {
            VarsState::Content
        });
    }
    let mut chunk = vec![0; 64 << 10];
    loop {
        let len = opened.read(&mut chunk).map_err(file)?;
        let read = chunk.get(..len).unwrap_or_default();
        if read.is_empty() {
            return Ok(VarsState::Blank);
        }
        if read.iter().any(|byte| *byte != 0) && read.iter().any(|byte| *byte != 0xff) {
            return Ok(VarsState::Content);
        }
    }
}

/// Puts a zero-filled file at `path`, the old one beside it if it has content. The stream brings the
/// variables, and QEMU writes them to the file when the guest first runs here.
fn make_vars(path: &Path, size_bytes: u64) -> crate::Result<(PreparedFile, Option<PathBuf>)> {
    let failed = |action, source| crate::Error::File {
        action,
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let state = vars_state(path, size_bytes)?;
    let mut fresh = tempfile::Builder::new()
        .prefix(".flashmoor-vars-")
        .tempfile_in(folder)
        .map_err(|source| failed("create", source))?;
    // Real blocks and not a hole: a full disk must be met now, and not when the guest arrives.
    io::copy(&mut io::repeat(0).take(size_bytes), &mut fresh).map_err(|source| failed("write", source))?;
    fresh
        .as_file()
        .sync_all()
        .map_err(|source| failed("write", source))?;
    let backup = match state {
        VarsState::Content => Some(set_aside(path).map_err(|source| failed("back up", source))?),
        VarsState::Absent | VarsState::Blank => None,
    };
    fresh
        .persist(path)
        .map_err(|error| failed("create", error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| failed("write", source))?;
    let file = PreparedFile {
        path: path.to_owned(),
        size_bytes,
        placeholder: true,
    };
    Ok((file, backup))
}

/// A hard link under the first free name, so that the file is never away from its path.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u32;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".backup-{number}"));
        let backup = PathBuf::from(name);
        match fs::hard_link(path, &backup) {
            Ok(()) => return Ok(backup),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 10_000 => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
