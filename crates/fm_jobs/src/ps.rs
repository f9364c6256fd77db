//! `ps`: what every guest on this host runs, read from the guests themselves.

mod contents;
mod document;
pub mod prometheus;
mod vars;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use fm_formats::Sha256;
use fm_host::{FlashFormat, FlashUnit, Guest, GuestMemory, in_one_line};

use contents::Contents;
pub use document::{Ps, PsCode, PsGuest, PsRom, PsVars};

/// Guests are looked at side by side, but not by more threads than this.
const THREADS_MAX: usize = 4;

/// What the builds of this host are called: digest of CODE and name.
type Names = Vec<(Sha256, String)>;

/// Lists the guests. `store` is where builds get their names from, if it is there.
///
/// # Errors
/// If there is no process table. What of a single guest cannot be seen is a remark in the document.
pub fn ps(store: Option<&Path>) -> crate::Result<Ps> {
    let listing = fm_host::guests()?;
    let names = names(store);
    let contents = Contents::default();
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::with_capacity(listing.guests.len()));
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(guest) = listing.guests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = look(guest, &contents, &names);
                    // whoever ended meanwhile is no guest any more
                    if guest.is_alive() {
                        rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                    }
                }
            });
        }
    });
    let mut guests = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    guests.sort_by_key(|guest| guest.pid);
    Ok(Ps {
        schema: document::SCHEMA.into(),
        guests,
        remarks: listing.remarks,
    })
}

fn names(store: Option<&Path>) -> Names {
    let builds = crate::store::open(store).and_then(|store| Ok(store.builds()?));
    builds
        .unwrap_or_default()
        .into_iter()
        .filter_map(|build| Some((build.id, build.name?)))
        .collect()
}

/// One guest, with a remark for whatever could not be seen.
fn look(guest: &Guest, contents: &Contents, names: &Names) -> PsGuest {
    let mut remarks = guest.command().remarks.clone();
    let memory = guest
        .memory()
        .map_err(|error| remarks.push(in_one_line(&error)))
        .ok();
    let mut code = None;
    let mut vars = None;
    match guest.flash() {
        Ok(units) => {
            let unit = |number| units.iter().find(|flash| flash.unit == number);
            code = unit(0)
                .map(|flash| look_at_code(guest, flash, memory.as_ref(), contents, names, &mut remarks));
            // a combined image holds its variables in front of the code
            if let Some(flash) = unit(1).or_else(|| unit(0).filter(|flash| !flash.read_only)) {
                vars = Some(vars::look(guest, flash, memory.as_ref(), &mut remarks));
            }
        }
        Err(fm_host::Error::NoFlash { .. }) => {}
        Err(error) => remarks.push(in_one_line(&error)),
    }
    let mut roms = Vec::new();
    for block in memory.iter().flat_map(GuestMemory::roms) {
        let digest = memory
            .as_ref()
            .and_then(|memory| contents.of_region(memory, block.into()).ok());
        roms.push(PsRom {
            name: block.name.clone(),
            size_bytes: block.used_bytes,
            sha256: digest.map(|digest| digest.to_string()),
        });
    }
    PsGuest {
        pid: guest.pid(),
        name: guest.name().map(str::to_owned),
        uuid: guest.uuid().map(str::to_owned),
        qemu_version: guest.qemu_version().ok().map(|version| version.text),
        machine: guest.machine(memory.as_ref()).map(|machine| machine.name),
        arch: guest.arch().to_owned(),
        accel: guest.accelerator(),
        code,
        vars,
        roms,
        remarks,
    }
}

fn look_at_code(
    guest: &Guest,
    flash: &FlashUnit,
    memory: Option<&GuestMemory>,
    contents: &Contents,
    names: &Names,
    remarks: &mut Vec<String>,
) -> PsCode {
    let mut remark = |error: fm_host::Error| remarks.push(in_one_line(&error));
    let region =
        memory.and_then(|memory| Some((memory, guest.flash_region(memory, 0).map_err(&mut remark).ok()?)));
    let running = region.and_then(|(memory, region)| {
        let digest = if flash.read_only {
            contents.of_region(memory, region)
        } else {
            guest
                .read_region(memory, 0, region, u64::MAX)
                .map(|bytes| Sha256::of(&bytes))
        };
        digest.map_err(&mut remark).ok()
    });
    let mut gone = false;
    let mut file = None;
    match (&flash.resolved, &flash.format) {
        (Some(path), FlashFormat::Raw) => match contents.of_file(path) {
            Ok(digest) => file = digest,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && guest.is_alive() => {
                gone = true;
                remarks.push(format!("{} is gone: a cold boot would fail", flash.location));
            }
            Err(error) => remarks.push(format!("cannot read {}: {error}", flash.location)),
        },
        (_, FlashFormat::Raw) => {}
        (_, format) => remarks.push(format!(
            "CODE is in a {} file, whose content is not compared with what runs",
            format.name()
        )),
    }
    PsCode {
        path: flash.path.clone(),
        format: flash.format.name().to_owned(),
        size_bytes: region.map(|(_, region)| region.len_bytes).or(flash.size_bytes),
        running_sha256: running.map(|digest| digest.to_string()),
        file_sha256: file.map(|digest| digest.to_string()),
        drift: match (running, file) {
            _ if gone => Some(true),
            (Some(running), Some(file)) => Some(running != file),
            _ => None,
        },
        build: running.and_then(|digest| {
            let known = names.iter().find(|(id, _)| *id == digest);
            known.map(|(_, name)| name.clone())
        }),
    }
}
