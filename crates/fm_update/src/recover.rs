//! What an interrupted update left: looked at, finished or undone, and written down.
//!
//! | the guest's flash holds | an update was interrupted | a way back was interrupted |
//! |---|---|---|
//! | whole new bytes | it is done | it has not begun |
//! | whole old bytes | it has not begun, or was undone | it is done |
//! | a part of both | the old bytes are put back | the old bytes are put back |
//!
//! Old is what the flash held before; of a way back it is what the guest runs, to which that leads.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use fm_host::{Guest, GuestMemory};
use fm_store::Store;

use crate::build::Build;
use crate::exchange::{self, Flash as _};
use crate::journal::{Journal, LOCK_TIMEOUT, Record, Step, boot_id, pin_of};
use crate::memory::Code;
use crate::monitor::Monitor;
use crate::watch::{DONE, READY};
use crate::{Error, Result, boots};

/// How long it is tried to put right what was left, and how often.
const PERSISTENCE: Duration = Duration::from_secs(3600);
const AGAIN: Duration = Duration::from_secs(1);

/// Says on `output` that it is there. Then waits until whoever holds the other end of `input` has said that it is done, or is
/// gone, and puts right what it left: the record of that, if there was something.
///
/// # Errors
/// If that could not be done for an hour; the next look at the guest tries again.
pub fn recover_after(
    store: &Store,
    id: &str,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<Option<Record>> {
    // Whoever is gone by now is heard of below.
    let _ = output.write_all(READY).and_then(|()| output.flush());
    let mut said = Vec::new();
    let _ = input.read_to_end(&mut said);
    if said == DONE {
        return Ok(None);
    }
    let Some(journal) = Journal::open(store)? else {
        return Ok(None);
    };
    let begun = Instant::now();
    loop {
        let recovered = recover_once(store, &journal, id);
        // Bytes of neither build are somebody else's, and stay so.
        let is_over = matches!(recovered, Ok(_) | Err(Error::Overtaken { .. }));
        if is_over || begun.elapsed() > PERSISTENCE {
            return recovered;
        }
        // Another client may have its monitor, and nothing tells when that is free.
        thread::sleep(AGAIN);
    }
}

fn recover_once(store: &Store, journal: &Journal, id: &str) -> Result<Option<Record>> {
    let _lock = journal.wait_for_lock(id)?;
    let Some(record) = journal.read(id)?.filter(|record| record.step.is_open()) else {
        return Ok(None);
    };
    match guest_of(&record) {
        Some(guest) => recover(store, journal, &guest, record).map(Some),
        None => Ok(None),
    }
}

/// The process that a record is of, if it still runs.
pub(crate) fn guest_of(record: &Record) -> Option<Guest> {
    if record.boot_id != boot_id() {
        return None;
    }
    let guest = fm_host::find(&record.pid.to_string()).ok()?;
    (guest.process().start_ticks() == record.start_ticks && guest.pid() == record.pid).then_some(guest)
}

/// Puts right what an interrupted update left in this guest, if one did.
pub(crate) fn if_open(store: &Store, guest: &Guest) -> Result<()> {
    let Some(journal) = Journal::open(store)? else {
        return Ok(());
    };
    let id = Record::id(guest);
    if !journal.read(&id)?.is_some_and(|record| record.step.is_open()) {
        return Ok(());
    }
    let _lock = journal.lock(&id, LOCK_TIMEOUT)?;
    under_lock(store, &journal, guest)
}

/// The same where the lock is held: whoever had it may have put it right.
pub(crate) fn under_lock(store: &Store, journal: &Journal, guest: &Guest) -> Result<()> {
    match journal
        .read(&Record::id(guest))?
        .filter(|record| record.step.is_open())
    {
        Some(record) => recover(store, journal, guest, record).map(drop),
        None => Ok(()),
    }
}

/// Puts right what this open record tells of, under the lock.
pub(crate) fn recover(store: &Store, journal: &Journal, guest: &Guest, record: Record) -> Result<Record> {
    let code = Code::find(guest)?;
    let held = code.digest()?;
    let holds_new = held == record.to;
    if !holds_new && held != record.before() {
        match put_back(store, guest, &code, &record) {
            // It is over; whoever gave it other bytes answers for the guest.
            Err(error @ Error::Overtaken { .. }) => {
                journal.write(&record.settled(false))?;
                return Err(error);
            }
            put => put?,
        }
    }
    // A guest that was stopped for it goes on; whole bytes are in place now.
    if record.was_running
        && let Some(place) = &record.place
    {
        let mut monitor = Monitor::open(place, guest)?;
        if monitor.run_state()? == "paused" {
            monitor.cont()?;
        }
    }
    let record = record.settled(holds_new);
    journal.write(&record)?;
    if let Err(error) = store.unpin_others(&pin_of(&record.own_id()), &record.builds()) {
        tracing::warn!(%error, "builds that are not needed any more stay pinned");
    }
    Ok(record)
}

/// Writes the old bytes wherever they differ, while the guest stands still. What is in its flash must be of either
/// build, page by page: anything else is not ours to overwrite.
fn put_back(store: &Store, guest: &Guest, code: &Code, record: &Record) -> Result<()> {
    let bytes = |digest: fm_formats::Sha256| -> Result<Vec<u8>> {
        Ok(Build::stored(store, &digest.to_string())?.bytes)
    };
    let (old, new) = (bytes(record.before())?, bytes(record.to)?);
    let flash = code.open(guest)?;
    let mut held = vec![0; old.len()];
    flash
        .read(0, &mut held)
        .map_err(|source| Error::file("read", &guest.process().dir().join("mem"), source))?;
    if !is_of_both(&held, &old, &new) {
        return Err(Error::Overtaken {
            guest: guest.label(),
            found: fm_formats::Sha256::of(&held).to_string(),
        });
    }
    let mut monitor = record
        .place
        .as_ref()
        .map(|place| Monitor::open(place, guest))
        .transpose()?;
    let runs_now = match &mut monitor {
        Some(monitor) => monitor.run_state()? == "running",
        None => false,
    };
    if let Some(monitor) = monitor.as_mut().filter(|_| runs_now) {
        monitor.stop()?;
    }
    let runs = exchange::differing(&held, &old);
    exchange::exchange(&flash, &held, &old, &runs).map_err(|doubt| Error::Doubt {
        guest: guest.label(),
        old_in_place: false,
        source: Box::new(doubt.why),
    })?;
    if let Some(monitor) = monitor.as_mut().filter(|_| runs_now) {
        monitor.cont()?;
    }
    Ok(())
}

/// Whether each byte is the one or the other's.
fn is_of_both(held: &[u8], old: &[u8], new: &[u8]) -> bool {
    held.len() == old.len()
        && held.len() == new.len()
        && held
            .iter()
            .zip(old.iter().zip(new))
            .all(|(held, (old, new))| held == old || held == new)
}

/// The record of an update that waits for this guest's reset as far as is known: it holds what it was given, and has not been
/// seen to boot since.
pub(crate) fn waiting(store: &Store, guest: &Guest) -> Result<Option<Record>> {
    Ok(waits(store, guest)?.map(|(record, _)| record))
}

/// The same where it is certain that it has not booted, and so runs what it had before.
pub(crate) fn surely_waiting(store: &Store, guest: &Guest) -> Result<Option<Record>> {
    let certain = waits(store, guest)?.filter(|(_, is_certain)| *is_certain);
    Ok(certain.map(|(record, _)| record))
}

fn waits(store: &Store, guest: &Guest) -> Result<Option<(Record, bool)>> {
    let Some(journal) = Journal::open(store)? else {
        return Ok(None);
    };
    let Some(record) = journal.read(&Record::id(guest))? else {
        return Ok(None);
    };
    if record.boot_id != boot_id() || record.step != Step::Written {
        return Ok(None);
    }
    let code = Code::find(guest)?;
    // Somebody else may have put other bytes there, as `loadvm` does.
    if code.digest()? != record.to {
        return Ok(None);
    }
    Ok(match has_booted(guest, &code.memory, &record) {
        Some(true) => None,
        Some(false) => Some((record, true)),
        None => Some((record, false)),
    })
}

/// Whether the guest has booted since its update was written; nothing if its variables do not say.
pub(crate) fn has_booted(guest: &Guest, memory: &GuestMemory, record: &Record) -> Option<bool> {
    let before = record.boots?;
    Some(boots::of_guest(guest, memory)? > before)
}

/// The record after a look at whether the guest has booted with what it was given; nothing if it holds other bytes.
pub(crate) fn looked_at(guest: &Guest, record: Record) -> Result<Option<Record>> {
    let code = Code::find(guest)?;
    let holds = code.digest()?;
    let expected = match record.step {
        Step::Written | Step::Done => record.to,
        _ => record.from,
    };
    if holds != expected {
        return Ok(None);
    }
    let booted = record.step == Step::Written && has_booted(guest, &code.memory, &record) == Some(true);
    Ok(Some(match booted {
        true => record.at(Step::Done),
        false => record,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_the_two_builds_is_ours_to_overwrite() {
        assert!(is_of_both(b"aabb", b"aaaa", b"bbbb"));
        assert!(is_of_both(b"aaaa", b"aaaa", b"bbbb"));
        assert!(!is_of_both(b"aacb", b"aaaa", b"bbbb"));
        assert!(!is_of_both(b"aab", b"aaaa", b"bbbb"));
    }
}
