//! A guest takes a build at its own next reset: its memory is given the build while it runs, and it is never shut down for it.
//! Where that must not be done it is refused, and keeps what it has: a cold boot is another rollout's matter.

use fm_api::v1::fleet::{GuestTarget, ProgressState};

use super::ground::{Given, Ground, Update};
use super::health;
use super::record::{Journal, Record};
use super::restart::Restarts;
use super::take::{NOT_HERE, armed, copy, domain, keep, pinned, refuse};
use crate::Result;

const ARMED: &str = "its next reset runs the build";

/// Takes the guest one step further.
pub(super) fn at_reset(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    match record.state {
        ProgressState::Waiting => prepare(ground, journal, record),
        ProgressState::Armed => pending(ground, journal, restarts, record, target),
        ProgressState::Booting | ProgressState::Failed => {
            health::look(ground, journal, restarts, record, target.health_timeout_s)
        }
        _ => Ok(()),
    }
}

fn prepare(ground: &dyn Ground, journal: &Journal, record: &mut Record) -> Result<()> {
    let Some((domain, defined)) = domain(ground, journal, record)? else {
        return Ok(());
    };
    let given = match record.at_reset {
        true => ground.given(&record.guest, &record.to)?,
        false => None,
    };
    if matches!(given, Some(Update::Pending | Update::Done)) {
        // Killed between the memory and the word of it.
        return arm(ground, journal, record);
    }
    if let Some(why) = pinned(&domain) {
        return refuse(journal, record, &why);
    }
    let Some(process) = ground.process(&record.guest)? else {
        record.wait("it is off, and a guest that is off does not reset");
        return Ok(());
    };
    if process.code.as_ref() == Some(&record.to) && defined == record.to {
        record.set(
            ProgressState::Healthy,
            "it ran the build when this host was asked",
        );
        return journal.save(record);
    }
    if !ground.has(&record.to)? {
        record.wait(NOT_HERE);
        return Ok(());
    }
    if defined == record.to {
        return refuse(
            journal,
            record,
            "its next start takes the build already, and it runs another one",
        );
    }
    record.from = Some(defined);
    keep(ground, record)?;
    if let Some(path) = domain.vars {
        copy(ground, journal, record, path)?;
    }
    record.boots = process.boots;
    // From here on it is known that an update of its memory is ours.
    record.at_reset = true;
    journal.save(record)?;
    match ground.give(&record.guest, &record.to)? {
        Given::Pending => arm(ground, journal, record),
        Given::Not(why) => {
            record.at_reset = false;
            refuse(journal, record, &why)
        }
        Given::Later(why) => {
            record.wait(why);
            Ok(())
        }
    }
}

/// The definition follows, so that a cold boot and the reset agree.
fn arm(ground: &dyn Ground, journal: &Journal, record: &mut Record) -> Result<()> {
    ground.switch(&record.guest, &record.to, None)?;
    record.process = ground.process(&record.guest)?.map(|process| process.id);
    record.set(ProgressState::Armed, ARMED);
    journal.save(record)
}

/// Its memory has the build: whether it has reset since.
fn pending(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let process = ground.process(&record.guest)?;
    if process.is_none_or(|process| record.process != Some(process.id)) {
        // It is off, or was started since: its definition names the build, and so it is like any other.
        return armed(ground, journal, restarts, record, target);
    }
    match ground.given(&record.guest, &record.to)? {
        Some(Update::Pending) => renew(ground, journal, record),
        Some(Update::Done) => {
            record.set(
                ProgressState::Healthy,
                "it has reset, and its firmware has counted a boot since",
            );
            journal.save(record)
        }
        Some(Update::Gone) | None => refuse(
            journal,
            record,
            "somebody has put other firmware into its memory meanwhile",
        ),
    }
}

/// As long as it has not reset, what it writes is written on the old build: the way back has it as well.
fn renew(ground: &dyn Ground, journal: &Journal, record: &mut Record) -> Result<()> {
    let Some(path) = record.vars.as_ref().map(|vars| vars.path.clone()) else {
        return Ok(());
    };
    let now = ground.read(&path)?;
    let is_of_before = now.is_some_and(|bytes| fm_update::boots::in_store(&bytes) == record.boots);
    match is_of_before {
        true => copy(ground, journal, record, path),
        false => Ok(()),
    }
}
