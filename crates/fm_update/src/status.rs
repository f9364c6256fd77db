//! Where the updates of this host's guests stand, and those that came about on the way here.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use fm_api::v1::update::{State, UnreadableUpdate, Update, UpdateStatus, Verdict, Way};
use fm_check::Wording;
use fm_formats::Sha256;
use fm_host::Guest;
use fm_remedy::Failure as _;
use fm_store::{Import, Store};

use crate::build::Build;
use crate::decide::{Refusal, Vouched, decide};
use crate::journal::{self, Journal, LOCK_TIMEOUT, Record, Step, pin_of};
use crate::memory::Code;
use crate::monitor::Place;
use crate::perform::refusal;
use crate::{Error, Result, boots, gather, judged, recover};

/// Every update that is known here, or that of one guest. What was interrupted is put right first; records of guests
/// that are gone are taken away, and their builds let go.
///
/// # Errors
/// If the journal or a guest cannot be read; [`Error::NoUpdate`] for a guest of which none is known.
pub fn status(store: &Store, selector: Option<&str>, wording: Wording) -> Result<UpdateStatus> {
    let wanted = selector.map(fm_host::find).transpose()?;
    let (mut updates, mut unreadable) = (Vec::new(), Vec::new());
    let journal = Journal::open(store)?;
    let ids = journal
        .as_ref()
        .map(Journal::ids)
        .transpose()?
        .unwrap_or_default();
    for id in ids {
        let Some(journal) = &journal else { break };
        let is_wanted = wanted.as_ref().is_none_or(|wanted| Record::id(wanted) == id);
        let record = match journal.read(&id) {
            Ok(Some(record)) => record,
            Ok(None) => {
                // Nothing came of it, and what was pinned for it may be pinned yet.
                let left = (!runs(&id)).then(|| let_go(store, journal, &id));
                if let Some(Err(error)) = left {
                    unreadable.push(told(&id, &error, wording));
                }
                continue;
            }
            // It hides none of the others.
            Err(error) if is_wanted && wanted.is_none() => {
                unreadable.extend(unread(store, journal, &id, &error, wording));
                continue;
            }
            Err(error) if is_wanted => return Err(error),
            Err(_) => continue,
        };
        let Some(guest) = recover::guest_of(&record) else {
            if let Err(error) = let_go(store, journal, &id) {
                unreadable.push(told(&id, &error, wording));
            }
            continue;
        };
        if is_wanted {
            updates.push(one(store, journal, &guest, record, wording));
        }
    }
    updates.sort_by_key(|update| update.guest.pid);
    match wanted {
        Some(guest) if updates.is_empty() => Err(Error::NoUpdate { guest: guest.label() }),
        _ => Ok(UpdateStatus {
            schema: fm_api::Schema::default(),
            updates,
            unreadable,
        }),
    }
}

/// What is told of a record that cannot be read; one whose process is gone, as its name says, is taken away.
fn unread(
    store: &Store,
    journal: &Journal,
    id: &str,
    error: &Error,
    wording: Wording,
) -> Option<UnreadableUpdate> {
    Some(match runs(id) {
        true => told(id, error, wording),
        false => told(id, &let_go(store, journal, id).err()?, wording),
    })
}

/// Whether the process of a record's name runs.
fn runs(id: &str) -> bool {
    let (pid, started) = id.split_once('-').unwrap_or((id, ""));
    fm_host::find(pid).is_ok_and(|guest| guest.process().start_ticks().to_string() == started)
}

fn told(id: &str, error: &Error, wording: Wording) -> UnreadableUpdate {
    UnreadableUpdate {
        pid: id.split_once('-').and_then(|(pid, _)| pid.parse().ok()),
        why: fm_remedy::one_line(error),
        remedy: error.remedy().as_ref().map(wording.remedy),
    }
}

/// What is known of one guest's; an error of it is its own.
fn one(store: &Store, journal: &Journal, guest: &Guest, record: Record, wording: Wording) -> Update {
    looked_at(store, journal, guest, record.clone()).unwrap_or_else(|error| {
        let said = record.document();
        let state = match &error {
            Error::Overtaken { .. } => State::Overtaken,
            // As it was when somebody could look.
            _ => said.state,
        };
        let remedy = error.remedy().as_ref().map(wording.remedy);
        let remarks = [Some(fm_remedy::one_line(&error)), remedy];
        Update {
            state,
            remarks: remarks.into_iter().flatten().collect(),
            ..said
        }
    })
}

fn looked_at(store: &Store, journal: &Journal, guest: &Guest, record: Record) -> Result<Update> {
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
fn let_go(store: &Store, journal: &Journal, id: &str) -> Result<()> {
    store.unpin_others(&pin_of(id), &[])?;
    journal.forget(id)
}

/// Forgets what waited in the process that a guest has left for another one.
///
/// # Errors
/// If the store or its journal refuses.
pub fn left(store: &Store, guest: &Guest) -> Result<()> {
    let id = Record::id(guest);
    match Journal::open(store)? {
        Some(journal) if !matches!(journal.read(&id), Ok(None)) => let_go(store, &journal, &id),
        _ => Ok(()),
    }
}

/// A guest that waits for its reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// The build that it runs.
    pub runs: Sha256,
    /// The build that its next reset runs.
    pub next: Sha256,
    /// How often it has booted at most before it runs that.
    pub boots: Option<u32>,
}

/// What a guest runs and what its next reset runs, where an update has made that two things.
///
/// # Errors
/// If what was written down of it cannot be read, or its memory.
pub fn next_reset(store: &Store, guest: &Guest) -> Result<Option<Waits>> {
    Ok(recover::waiting(store, guest)?.map(|record| Waits {
        runs: record.from,
        next: record.to,
        boots: record.boots,
    }))
}

/// Writes down that a guest has arrived here that was given a build before it left, and waits for its reset. Nothing where it
/// has booted since, or its record is here already.
///
/// # Errors
/// If it cannot be read, or the store refuses.
pub fn arrived_waiting(store: &Store, guest: &Guest, waited: &Waits) -> Result<()> {
    let Waits {
        runs: from,
        next: to,
        boots,
    } = *waited;
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
                if let Some(mut monitor) = gather::connect(Some(&place), &guest)? {
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

/// What is known of a guest that has arrived here with another build than it left with.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// Its process here.
    pub pid: u32,
    /// The CODE that it left with.
    pub left_with: Sha256,
    /// What it waited for before it left.
    pub waited: Option<Waits>,
    /// Whether its boot was over when it left.
    pub has_booted: bool,
}

/// Writes down that a guest has arrived here with another build than it left with. One that has what it runs waits for
/// nothing.
///
/// # Errors
/// If it cannot be read, or the store refuses.
pub fn arrived(store: &Store, arrived: &Arrived, build: &Build) -> Result<()> {
    let guest = fm_host::find(&arrived.pid.to_string())?;
    let code = Code::find(&guest)?;
    let now = boots::of_guest(&guest, &code.memory);
    // One that has reset on the way runs what it waited for, which is what it left with.
    let waited = arrived
        .waited
        .filter(|waits| !matches!((waits.boots, now), (Some(before), Some(now)) if now > before));
    let runs = waited.map_or(arrived.left_with, |waits| waits.runs);
    if runs == build.id {
        return Ok(());
    }
    let record = journal::begun(&guest, runs, build.id, Way::Migration);
    let pin = pin_of(&record.own_id());
    store.import(&Import {
        code: &build.bytes,
        pin: Some(&pin),
        ..Import::default()
    })?;
    if store.build(&runs)?.is_some() {
        store.pin(&runs, &pin)?;
    }
    let at_most = || boots::at_most(&guest, &code.memory, arrived.has_booted);
    let record = Record {
        boots: waited.map_or_else(at_most, |waits| waits.boots),
        ..record
    }
    .at(Step::Written);
    Journal::make(store)?.write(&record)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_pinned_for_an_update_of_which_nothing_came_goes_with_its_guest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let imported = store.import(&Import {
            code: b"code",
            ..Import::default()
        });
        let build = imported.unwrap().id;
        let journal = Journal::make(&store).unwrap();
        // Killed under its lock, before it wrote anything down. No process has that number.
        let id = "4294967295-1";
        drop(journal.lock(id, Duration::ZERO).unwrap());
        store.pin(&build, &pin_of(id)).unwrap();
        let told = status(&store, None, Wording::default()).unwrap();
        assert!(told.updates.is_empty() && told.unreadable.is_empty(), "{told:?}");
        assert!(store.pins(&build).unwrap().is_empty());
        assert!(journal.ids().unwrap().is_empty());
    }
}
