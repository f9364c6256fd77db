//! `ps`: what every guest on this host runs, read from the guests themselves.

mod contents;
mod names;
pub mod prometheus;
mod said;
mod secure_boot;
mod vars;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use fm_api::Schema;
use fm_api::v1::check::Outcome;
use fm_api::v1::fleet::Digest;
use fm_api::v1::ps::{Ps, PsCode, PsGuest, PsMigration, PsRom, PsVars, SecureBootState};
use fm_check::next_boot_code::{self, NextBootUnknown};
use fm_check::{Destination, Wording, phase_document};
use fm_files::open_regular;
use fm_formats::Sha256;
use fm_host::{FlashUnit, Guest, GuestMemory};
use fm_judge::Phase;
use fm_remedy::one_line;
use fm_store::Store;

use contents::{Contents, MAX_KEPT_BYTES};
use names::Names;
use said::said;
use secure_boot::Builds;

/// Guests are looked at side by side, but not by more threads than this.
const MAX_THREAD_COUNT: usize = 4;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where builds get their names from, besides the catalogue that ships; the default store if absent.
    pub store: Option<PathBuf>,
    /// A host that guests might migrate to: a firmware folder, a descriptor, a CODE file or an offer.
    pub to: Option<PathBuf>,
    /// The version of that host's QEMU.
    pub to_qemu: Option<String>,
    /// How findings are put into words.
    pub wording: Wording,
}

/// What all guests of a listing are compared with.
struct PsContext {
    contents: Contents,
    names: Names,
    builds: Builds,
    destination: Option<Destination>,
    wording: Wording,
    store: Option<Store>,
}

/// Lists the guests.
///
/// # Errors
/// If there is no process table, or no firmware where the request says that guests might go. What of a
/// single guest cannot be seen is a remark in the document.
pub fn ps(request: &Request) -> crate::Result<Ps> {
    let store = request.store.as_deref();
    let to = request.to.as_deref();
    let destination = to.map(|path| Destination::open(path, request.to_qemu.as_deref(), store));
    let mut listing = fm_host::guests()?;
    listing.remarks.extend(fm_adopt::interrupted::remarks(store));
    let scene = PsContext {
        contents: Contents::default(),
        names: Names::open(store, &mut listing.remarks),
        builds: Builds::default(),
        destination: destination.transpose()?,
        wording: request.wording,
        store: fm_store::verbs::open(store).ok(),
    };
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::with_capacity(listing.guests.len()));
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREAD_COUNT);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(guest) = listing.guests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = scene.look(guest);
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
        schema: Schema::default(),
        guests,
        remarks: listing.remarks,
    })
}

impl PsContext {
    /// One guest, with a remark for whatever could not be seen.
    fn look(&self, guest: &Guest) -> PsGuest {
        let mut remarks = guest.command().remarks.clone();
        let memory = guest
            .memory()
            .map_err(|error| remarks.push(one_line(&error)))
            .ok();
        let mut code = None;
        let mut vars = None;
        match guest.flash() {
            Ok(units) => {
                let unit = |number| units.iter().find(|flash| flash.unit == number);
                let booted;
                (code, booted) = unit(0)
                    .map(|flash| self.code(guest, flash, memory.as_ref(), &mut remarks))
                    .unzip();
                // a combined image holds its variables in front of the code
                if let Some(flash) = unit(1).or_else(|| unit(0).filter(|flash| !flash.read_only)) {
                    remarks.extend(vars::not_kept(guest, flash));
                    let mut seen = vars::look(guest, flash, memory.as_ref(), &mut remarks);
                    self.secure_boot(guest, memory.as_ref(), booted.flatten(), &mut seen, &mut remarks);
                    vars = Some(seen);
                }
            }
            Err(fm_host::Error::NoFlash { .. }) => {}
            Err(error) => remarks.push(said(&error)),
        }
        if vars.is_none() {
            vars = vars::of_device(guest, &mut remarks);
        }
        let mut roms = Vec::new();
        for block in memory.iter().flat_map(GuestMemory::roms) {
            let digest = memory
                .as_ref()
                .and_then(|memory| self.contents.of_region(memory, block.into(), None).ok());
            roms.push(PsRom {
                name: block.name.clone(),
                size_bytes: block.used_bytes,
                build: digest.and_then(|digest| self.names.of(&digest)),
                sha256: digest.map(|digest| Digest::from(digest.to_bytes())),
            });
        }
        let migration = self
            .destination
            .as_ref()
            .filter(|_| code.is_some())
            .and_then(|destination| migration(guest, destination, self.wording, &mut remarks));
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
            migration,
            remarks,
        }
    }

    /// Keys protect nothing where the build that runs cannot verify what it boots.
    fn secure_boot(
        &self,
        guest: &Guest,
        memory: Option<&GuestMemory>,
        runs: Option<Sha256>,
        vars: &mut PsVars,
        remarks: &mut Vec<String>,
    ) {
        if !matches!(
            vars.secure_boot,
            Some(SecureBootState::Enabled | SecureBootState::Disabled)
        ) {
            return;
        }
        let verifies = memory
            .zip(runs)
            .and_then(|(memory, digest)| self.builds.verify(&digest, guest, memory));
        match verifies {
            Some(true) => {}
            Some(false) => vars.secure_boot = Some(SecureBootState::Unsupported),
            None => {
                vars.secure_boot = None;
                remarks
                    .push("keys are enrolled, but whether the build that runs uses them is not known".into());
            }
        }
    }

    /// CODE, and the build that the guest has booted with.
    fn code(
        &self,
        guest: &Guest,
        flash: &FlashUnit,
        memory: Option<&GuestMemory>,
        remarks: &mut Vec<String>,
    ) -> (PsCode, Option<Sha256>) {
        let mut remark = |error: fm_host::Error| remarks.push(said(&error));
        let region = memory
            .and_then(|memory| Some((memory, guest.flash_region(memory, 0).map_err(&mut remark).ok()?)));
        let running = region.and_then(|(memory, region)| {
            let digest = if flash.read_only {
                let held = flash.opened.as_deref().and_then(|path| open_regular(path).ok());
                self.contents.of_region(memory, region, held)
            } else if region.len_bytes <= MAX_KEPT_BYTES {
                guest
                    .read_region(memory, 0, region, u64::MAX)
                    .map(|bytes| Sha256::of(&bytes))
            } else {
                guest.digest_region(memory, 0, region)
            };
            digest.map_err(&mut remark).ok()
        });
        let held = next_boot_code::open(guest, flash).and_then(|file| {
            let unpacked = |file| next_boot_code::unpacked(file, flash).map_err(NotRead::NextBoot);
            let digest = self.contents.of_file(file, unpacked);
            digest.map_err(|error| error.of(flash))
        });
        let file = held.as_ref().ok().copied();
        let gone = matches!(held, Err(NextBootUnknown::Gone));
        match held {
            Err(NextBootUnknown::Gone) => {
                remarks.push(format!("{} is gone: a cold boot would fail", flash.location));
            }
            Err(why) => remarks.push(why.to_string()),
            Ok(_) => {}
        }
        // What it booted with is told apart from what its flash holds only by who wrote there.
        let updated = self
            .store
            .as_ref()
            .map(|store| fm_update::next_reset(store, guest));
        let updated = updated.transpose().unwrap_or_else(|error| {
            remarks.push(format!(
                "what it has booted with is not known for certain: {}",
                one_line(&error)
            ));
            None
        });
        let updated = updated.flatten().filter(|waits| Some(waits.next) == running);
        let booted = updated.map(|waits| waits.runs).or(running);
        let digest = |digest: Sha256| Digest::from(digest.to_bytes());
        let code = PsCode {
            path: flash.path.clone(),
            format: flash.format.name().to_owned(),
            size_bytes: region.map(|(_, region)| region.len_bytes).or(flash.size_bytes),
            running_sha256: booted.map(digest),
            next_reset_sha256: running.map(digest),
            file_sha256: file.map(digest),
            drift: match (running, file) {
                _ if gone => Some(true),
                (Some(running), Some(file)) => Some(running != file),
                _ => None,
            },
            build: booted.and_then(|digest| self.names.of(&digest)),
        };
        (code, booted)
    }
}

/// Why the content of a file is not known.
enum NotRead {
    NextBoot(NextBootUnknown),
    File(std::io::Error),
}

impl From<std::io::Error> for NotRead {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

impl NotRead {
    fn of(self, flash: &FlashUnit) -> NextBootUnknown {
        match self {
            Self::NextBoot(why) => why,
            Self::File(error) => next_boot_code::unreadable(flash, error),
        }
    }
}

/// Whether `guest` could go there while it runs; what keeps that from being judged becomes a remark.
fn migration(
    guest: &Guest,
    destination: &Destination,
    wording: Wording,
    remarks: &mut Vec<String>,
) -> Option<PsMigration> {
    let checked = match destination.judge(guest) {
        Ok(checked) => checked?,
        Err(error) => {
            remarks.push(format!("a migration is not judged: {}", one_line(&error)));
            return None;
        }
    };
    let mut phase = phase_document(checked.verdict.phase(Phase::LiveMigration), wording);
    phase
        .findings
        .retain(|finding| finding.outcome != Outcome::Compatible);
    Some(PsMigration {
        to: checked.destination,
        outcome: phase.outcome,
        findings: phase.findings,
    })
}
