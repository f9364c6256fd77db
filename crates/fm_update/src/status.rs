//! Where the updates of this host's guests stand, and those that came about on the way here.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use fm_api::v1::update::{State, Update, UpdateStatus, Verdict, Way};
use fm_check::Wording;
use fm_formats::Sha256;
use fm_host::Guest;
use fm_store::{Import, Store};

use crate::build::Build;
use crate::decide::{Refusal, Vouched, decide};
use crate::journal::{self, Journal, LOCK_TIMEOUT, Record, Step};
use crate::memory::Code;
use crate::monitor::Place;
use crate::perform::{pin_of, refusal};
use crate::{Error, Result, boots, gather, judged, recover};

/// Every update that is known here, or that of one guest. What was interrupted is put right first; records of guests
/// that are gone are taken away, and their builds let go.
///
/// # Errors
/// If the journal or a guest cannot be read; [`Error::NoUpdate`] for a guest of which none is known.
pub fn status(store: &Store, selector: Option<&str>) -> Result<UpdateStatus> {
    let wanted = selector.map(fm_host::find).transpose()?;
    let mut updates = Vec::new();
    let journal = Journal::open(store)?;
    let ids = journal
        .as_ref()
        .map(Journal::ids)
        .transpose()?
        .unwrap_or_default();
    for id in ids {
        let Some(journal) = &journal else { break };
        let Some(record) = journal.read(&id)? else {
            continue;
        };
        let Some(guest) = recover::guest_of(&record) else {
            let_go(store, journal, &record)?;
            continue;
        };
        if wanted.as_ref().is_some_and(|wanted| Record::id(wanted) != id) {
            continue;
        }
        updates.push(one(store, journal, &guest, record)?);
    }
    updates.sort_by_key(|update| update.guest.pid);
    match wanted {
        Some(guest) if updates.is_empty() => Err(Error::NoUpdate { guest: guest.label() }),
        _ => Ok(UpdateStatus {
            schema: fm_api::Schema::default(),
            updates,
        }),
    }
}

fn one(store: &Store, journal: &Journal, guest: &Guest, record: Record) -> Result<Update> {
    let id = record.own_id();
    let mut remarks = Vec::new();
    let record = match journal.lock(&id, LOCK_TIMEOUT) {
        // Who works on it writes down what comes of it.
        Err(Error::Busy { .. }) => {
            remarks.push("another process works on it".into());
            return Ok(Update {
                remarks,
                ..record.document()
            });
        }
        Err(error) => return Err(error),
        Ok(_lock) => {
            // It may be another by now: whoever had the lock wrote down what came of it.
            let record = journal.read(&id)?.unwrap_or(record);
            let record = match record.step.is_open() {
                true => recover::recover(store, journal, guest, record)?,
                false => record,
            };
            match recover::looked_at(guest, record.clone())? {
                None => {
                    remarks.push("its flash holds bytes that are not of this update".into());
                    return Ok(Update {
                        state: State::Overtaken,
                        remarks,
                        ..record.document()
                    });
                }
                Some(now) => {
                    if now != record {
                        journal.write(&now)?;
                    }
                    now
                }
            }
        }
    };
    if record.step == Step::Written && record.boots.is_none() {
        remarks.push("its variables do not count boots: that it has reset will not be noticed here".into());
    }
    Ok(Update {
        remarks,
        ..record.document()
    })
}

/// Forgets a guest that is gone; its builds stay for other reasons only.
fn let_go(store: &Store, journal: &Journal, record: &Record) -> Result<()> {
    let id = record.own_id();
    for digest in [record.from, record.to] {
        if store.build(&digest)?.is_some() {
            store.unpin(&digest, Some(&pin_of(&id)))?;
        }
    }
    journal.forget(&id)
}

/// What a guest runs and what its next reset runs, where an update has made that two things.
#[must_use]
pub fn next_reset(store: &Store, guest: &Guest) -> Option<(Sha256, Sha256)> {
    let record = waiting(store, guest)?;
    Some((record.from, record.to))
}

/// What a guest had booted with when it was given another build for whose reset it still waits, and how often it had
/// booted by then.
#[must_use]
pub fn booted_before(store: &Store, guest: &Guest) -> Option<(Sha256, Option<u32>)> {
    let record = waiting(store, guest)?;
    Some((record.from, record.boots))
}

/// The record of an update that waits for the guest's reset.
fn waiting(store: &Store, guest: &Guest) -> Option<Record> {
    let record = Journal::open(store).ok()??.read(&Record::id(guest)).ok()??;
    if record.boot_id != journal::boot_id() || record.step != Step::Written {
        return None;
    }
    let memory = guest.memory().ok()?;
    if recover::has_booted(guest, &memory, &record) == Some(true) {
        return None;
    }
    Some(record)
}

/// Writes down that a guest has arrived here that was given `to` before it left, and has not reset since it ran `from`:
/// with `boots` boots behind it. Nothing where it has booted since, or its record is here already.
///
/// # Errors
/// If it cannot be read, or the store refuses.
pub fn arrived_waiting(
    store: &Store,
    guest: &Guest,
    from: Sha256,
    to: Sha256,
    boots: Option<u32>,
) -> Result<()> {
    let code = Code::find(guest)?;
    let journal = Journal::make(store)?;
    let now = boots::of_guest(guest, &code.memory);
    let has_booted = matches!((boots, now), (Some(boots), Some(now)) if now > boots);
    if has_booted || code.digest()? != to || journal.read(&Record::id(guest))?.is_some() {
        return Ok(());
    }
    let record = Record {
        boots: boots.or(now),
        ..journal::begun(guest, from, to, Way::Migration)
    }
    .at(Step::Written);
    let pin = pin_of(&record.own_id());
    for build in [from, to] {
        if store.build(&build)?.is_some() {
            store.pin(&build, &pin)?;
        }
    }
    journal.write(&record)
}

/// Judges and decides for an update on the way: the guest's process is only read.
///
/// # Errors
/// If the guest cannot be found, read or judged.
pub fn judge_migration(
    store: &Store,
    selector: &str,
    build: &Build,
    vouched: Vouched,
    wording: Wording,
) -> Result<Update> {
    let guest = fm_host::find(selector)?;
    let mut document = journal::begun(&guest, build.id, build.id, Way::Migration).document();
    document.since = None;
    let (facts, verdict): (_, Option<Verdict>) = match guest.flash() {
        Err(fm_host::Error::NoFlash { firmware, .. }) => (gather::without_flash(firmware), None),
        _ => {
            let code = Code::find(&guest)?;
            let from = code.digest()?;
            document.from = from.to_string();
            let (outcome, verdict) = judged::judge(store, &guest, build, wording)?;
            let mut facts = gather::of_process(&guest, &code, from == build.id, build, outcome, vouched)?;
            let socket = Path::new(selector);
            if fs::metadata(socket).is_ok_and(|file| file.file_type().is_socket()) {
                let place = Place::Qmp {
                    socket: socket.to_owned(),
                };
                if let Some(mut monitor) = gather::connect(Some(&place))? {
                    facts.processors = monitor.processors(guest.arch());
                }
            }
            (facts, Some(verdict))
        }
    };
    let refusals: Vec<Refusal> = decide(&facts, Way::Migration);
    document.state = match refusals.is_empty() {
        true => State::Planned,
        false => State::Refused,
    };
    document.refusals = refusals.iter().map(|one| refusal(one, wording)).collect();
    document.verdict = verdict;
    Ok(document)
}

/// Writes down that a guest has arrived here with another build than it left with.
///
/// # Errors
/// If it cannot be read, or the store refuses.
pub fn arrived(store: &Store, pid: u32, from: Sha256, build: &Build) -> Result<Update> {
    let guest = fm_host::find(&pid.to_string())?;
    let code = Code::find(&guest)?;
    let record = journal::begun(&guest, from, build.id, Way::Migration);
    let pin = pin_of(&record.own_id());
    store.import(&Import {
        code: &build.bytes,
        pin: Some(&pin),
        ..Import::default()
    })?;
    if store.build(&from)?.is_some() {
        store.pin(&from, &pin)?;
    }
    let record = Record {
        boots: boots::of_guest(&guest, &code.memory),
        ..record
    }
    .at(Step::Written);
    Journal::make(store)?.write(&record)?;
    Ok(record.document())
}
