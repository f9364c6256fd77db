//! The guard: a package manager's hook that captures what running guests use before their firmware package
//! is replaced, and tells afterwards which guests drift and what a cold boot would mean for each.
//!
//! A failure of ours never fails the package manager, unless the hook was installed to block.

mod hook;
mod packages;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fm_api::v1::capture::CapturedGuest;
use fm_api::v1::guard::{DriftingGuest, GuardReport};
use fm_check::next_boot_code::{self, NextBootUnknown};
use fm_check::{Images, Wording, phase_document};
use fm_files::Place;
use fm_host::Guest;
use fm_remedy::one_line;
use fm_store::Store;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use fm_adopt::capture::{self, Capture};

pub use hook::{Install, install, status, uninstall};
pub use packages::{Leaving, read_apt, read_files};

/// What the first half remembers for the second, in the store's folder.
const MEMORY: &str = fm_store::GUARD_MEMORY;
/// Grows by one with every change of what is remembered. A file without it is of a Flashmoor before there were versions:
/// one that was itself replaced between the two halves.
const MEMORY_VERSION: u32 = 1;
const MAX_MEMORY_BYTES: u64 = 4 << 20;

/// The captured guests of an upgrade that is under way.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    #[serde(default)]
    version: u32,
    guests: Vec<Remembered>,
}

/// One process of a guest, and what was captured of it.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    /// The kernel's start time: a pid alone comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_ticks: Option<u64>,
    #[serde(flatten)]
    captured: CapturedGuest,
}

impl Remembered {
    /// Whether it is this guest. Of a file without start times, name and UUID have to do.
    fn is_of(&self, guest: &Guest) -> bool {
        let captured = &self.captured;
        captured.pid == guest.pid()
            && match self.start_ticks {
                Some(start_ticks) => guest.process().start_ticks() == start_ticks,
                None => captured.name.as_deref() == guest.name() && captured.uuid.as_deref() == guest.uuid(),
            }
    }
}

/// Before packages are replaced: captures the guests whose CODE file is among what leaves the system below
/// `root`; all guests, if that is not known.
///
/// # Errors
/// If there is no process table, or the store's folder can't be written.
pub fn before(store: &Store, root: &Path, leaving: Option<&Leaving>) -> Result<Capture> {
    let mut listing = fm_host::guests()?;
    // What an upgrade that was cut off remembered still waits to be told; a record that cannot be read begins anew.
    let mut memory = recall(store).ok().flatten().unwrap_or_default();
    memory
        .guests
        .retain(|remembered| listing.guests.iter().any(|guest| remembered.is_of(guest)));
    if let Some(leaving) = leaving {
        let files = packages::files(root, leaving);
        listing
            .guests
            .retain(|guest| code_paths(guest).iter().any(|path| files.contains(path)));
    }
    if listing.guests.is_empty() {
        return Ok(capture::each(store, &[], Vec::new(), |_| {}));
    }
    let mut remembered = None;
    // Whoever was captured is remembered also when time is over at the next.
    let done = capture::each(store, &listing.guests, Vec::new(), |captured| {
        let guest = listing.guests.iter().find(|guest| guest.pid() == captured.pid);
        memory.guests.retain(|before| before.captured.pid != captured.pid);
        memory.guests.push(Remembered {
            start_ticks: guest.map(|guest| guest.process().start_ticks()),
            captured: captured.into(),
        });
        remembered = Some(remember(store, &mut memory));
    });
    remembered.unwrap_or_else(|| remember(store, &mut memory))?;
    Ok(done)
}

/// After packages were replaced: which of the captured guests drift now. Each is told once.
///
/// # Errors
/// If what [`before`] remembered can't be read.
pub fn after(store: &Store, wording: Wording) -> Result<GuardReport> {
    let Some(mut memory) = recall(store)? else {
        return Ok(GuardReport {
            schema: fm_api::Schema::default(),
            guests: Vec::new(),
        });
    };
    let running = fm_host::guests()?.guests;
    let images = Images::default();
    let mut drifting = Vec::new();
    memory.guests.retain(|remembered| {
        let Some(guest) = running.iter().find(|guest| remembered.is_of(guest)) else {
            return false;
        };
        let drift = drift(&remembered.captured, guest, &images, wording);
        let is_told = drift.is_some();
        drifting.extend(drift);
        !is_told
    });
    remember(store, &mut memory)?;
    Ok(GuardReport {
        schema: fm_api::Schema::default(),
        guests: drifting,
    })
}

fn drift(
    captured: &CapturedGuest,
    guest: &Guest,
    images: &Images,
    wording: Wording,
) -> Option<DriftingGuest> {
    let path = captured.code.path.clone()?;
    let unit = guest.flash_unit(0).ok()?;
    let (mut file_sha256, mut file_size_bytes, mut file_unknown) = (None, None, None);
    match next_boot_code::digest(guest, unit) {
        Ok((digest, _)) if captured.code.running_sha256 == digest.to_string() => return None,
        Ok((digest, size_bytes)) => {
            file_sha256 = Some(digest.to_string());
            file_size_bytes = Some(size_bytes);
        }
        Err(NextBootUnknown::Gone) => {}
        Err(why) => file_unknown = Some(why.to_string()),
    }
    let (cold_boot, not_judged) = match (&file_unknown, fm_check::cold_boot(guest, images)) {
        (Some(why), _) => (None, Some(why.clone())),
        (None, Ok(phase)) => (phase.map(|phase| phase_document(&phase, wording)), None),
        (None, Err(error)) => (None, Some(one_line(&error))),
    };
    Some(DriftingGuest {
        pid: captured.pid,
        name: captured.name.clone(),
        path,
        running_sha256: captured.code.running_sha256.clone(),
        running_size_bytes: captured.code.size_bytes,
        file_sha256,
        file_size_bytes,
        file_unknown,
        stored: captured.stored.clone(),
        cold_boot,
        not_judged,
    })
}

/// A guest's CODE file as it is named, and without links on the way, as a package's list of files has it.
fn code_paths(guest: &Guest) -> Vec<PathBuf> {
    let Ok(unit) = guest.flash_unit(0) else {
        return Vec::new();
    };
    unit.path.iter().cloned().chain(guest.shown_path(unit)).collect()
}

/// Writes down who was captured; without anybody there is no file, and no folder is made for it.
fn remember(store: &Store, memory: &mut Memory) -> Result<()> {
    let path = store.path().join(MEMORY);
    let failed = |action, source| Error::file(action, &path, source);
    if memory.guests.is_empty() {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", error)),
            _ => Ok(()),
        };
    }
    memory.version = MEMORY_VERSION;
    let bytes = serde_json::to_vec(memory).map_err(|error| failed("write", error.into()))?;
    Ok(Place::at(&path)?.write(&bytes, 0o600)?)
}

fn recall(store: &Store) -> Result<Option<Memory>> {
    let path = store.path().join(MEMORY);
    let failed = |source| Error::file("read", &path, source);
    let Some(bytes) = fm_files::read_bounded(&path, MAX_MEMORY_BYTES)? else {
        return Ok(None);
    };
    let memory: Memory = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
    if memory.version > MEMORY_VERSION {
        let why = format!(
            "it is of version {}, and this flashmoor knows {MEMORY_VERSION}",
            memory.version
        );
        return Err(failed(std::io::Error::new(ErrorKind::InvalidData, why)));
    }
    Ok(Some(memory))
}

#[cfg(test)]
mod tests;
