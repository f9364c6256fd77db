//! `prepare`: put files of the right size in place for a guest that is about to arrive.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::transfer::{Prepared, PreparedFile};
use fm_files::{Keep, Place, Replace, in_use};
use fm_store::{MAX_FLASH_BYTES, NewLanding, Store};

pub use crate::error::prepare::Error;
use crate::offer::{Offer, code_digest};

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
    if let Some((path, size_bytes)) = vars {
        look(path, size_bytes, request.replace)?;
    }
    let code = code_digest(offer)?;
    let before = store.landings()?;
    let landing = store.create_landing(&NewLanding {
        guest_name: offer.guest.name.as_deref(),
        guest_uuid: offer.guest.uuid.as_deref(),
        code,
        size_bytes: offer.code.size_bytes,
    })?;
    let made = vars
        .map(|(path, size_bytes)| match store.is_dry_run() {
            true => Ok((placeholder(path, size_bytes), None)),
            false => make_vars(path, size_bytes, request.replace),
        })
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
        schema: Schema::default(),
        dry_run: store.is_dry_run(),
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
    // What claims more than the largest flash of QEMU's machines is no offer.
    if (1..=MAX_FLASH_BYTES).contains(&size_bytes) {
        Ok(())
    } else {
        Err(Error::Size { what, size_bytes })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum VarsState {
    Absent,
    /// The right size and nothing but zeros or erased flash in it, and a QEMU that waits for the guest has it.
    Waiting,
    /// Nothing but zeros or erased flash in it.
    Blank,
    Content,
}

/// What is at the place for VARS, unless it must not be touched.
fn look(path: &Path, size_bytes: u64, replace: bool) -> crate::Result<(Place, VarsState)> {
    let place = Place::at(path)?;
    let refused = |error: Error| Err(error.into());
    let path = path.to_owned();
    // No symlink is followed, and no pipe waited for, where a file is meant.
    let file = match place.open() {
        Ok(Some(file)) => file,
        Ok(None) => return Ok((place, VarsState::Absent)),
        Err(fm_files::Error::NotRegular { .. }) => return refused(Error::NotAFile { path }),
        Err(fm_files::Error::Io { source, .. })
            if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
        {
            return refused(Error::NotAFile { path });
        }
        Err(error) => return Err(error.into()),
    };
    let state = content(&file, size_bytes).map_err(|source| crate::Error::file("read", &path, source))?;
    match in_use::holder(&file) {
        Some(_) if state == VarsState::Waiting => Ok((place, VarsState::Waiting)),
        Some(holder) => refused(Error::OpenForWriting { path, holder }),
        None if state == VarsState::Content && !replace => refused(Error::VarsInUse { path }),
        None if state == VarsState::Waiting => Ok((place, VarsState::Blank)),
        None => Ok((place, state)),
    }
}

/// What a file holds: `Waiting` is one that a QEMU may wait with, if one has it.
fn content(mut file: &File, size_bytes: u64) -> io::Result<VarsState> {
    let found_bytes = file.metadata()?.len();
    if found_bytes != size_bytes {
        return Ok(if found_bytes == 0 {
            VarsState::Blank
        } else {
            VarsState::Content
        });
    }
    let mut chunk = vec![0; 64 << 10];
    loop {
        let len = file.read(&mut chunk)?;
        let read = chunk.get(..len).unwrap_or_default();
        if read.is_empty() {
            return Ok(VarsState::Waiting);
        }
        if read.iter().any(|byte| *byte != 0) && read.iter().any(|byte| *byte != 0xff) {
            return Ok(VarsState::Content);
        }
    }
}

fn placeholder(path: &Path, size_bytes: u64) -> PreparedFile {
    PreparedFile {
        path: path.to_owned(),
        size_bytes,
        placeholder: true,
    }
}

/// Puts a zero-filled file at `path`, the old one beside it if it has content. The stream brings the
/// variables, and QEMU writes them to the file when the guest first runs here.
fn make_vars(path: &Path, size_bytes: u64, replace: bool) -> crate::Result<(PreparedFile, Option<PathBuf>)> {
    let file = placeholder(path, size_bytes);
    let (place, state) = look(path, size_bytes, replace)?;
    let keep = match state {
        // It was prepared before, and the QEMU that has it would go on with a file that nobody finds any more.
        VarsState::Waiting => return Ok((file, None)),
        VarsState::Content => Keep::Numbered(".backup-"),
        VarsState::Absent | VarsState::Blank => Keep::Nothing,
    };
    let target = match state {
        VarsState::Absent => Replace::make(place),
        _ => Replace::hold(place, false)?,
    };
    // What was looked at is what is held: it may have been filled in between.
    if let Some(old) = target.old() {
        let found = content(old, size_bytes).map_err(|source| crate::Error::file("read", path, source))?;
        if found == VarsState::Content && keep == Keep::Nothing {
            return Err(Error::VarsInUse {
                path: path.to_owned(),
            }
            .into());
        }
    }
    // Real blocks and not a hole: a full disk must be met now, and not when the guest arrives.
    let backup = target.replace_keeping(
        &keep,
        |new| io::copy(&mut io::repeat(0).take(size_bytes), new).map(|_| ()),
        |_| Ok::<_, crate::Error>(()),
    )?;
    Ok((file, backup))
}

#[cfg(test)]
mod tests;
