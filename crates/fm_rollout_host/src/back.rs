//! A guest goes back: to the build that it had, and to the variables of that time unless it wrote some since.

use std::path::Path;

use fm_api::v1::fleet::{GuestTarget, OldVariables, ProgressState};

use super::ground::Ground;
use super::record::{Journal, Record, Vars};
use super::restart::{Restarts, restart};
use super::take::{pin, undo, waits_for_reset};
use super::written::written;
use crate::Result;

/// Takes the guest one step further on its way back.
pub(super) fn back(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let before = record.clone();
    match record.state {
        ProgressState::Reverted => return Ok(()),
        ProgressState::Refused => record.set(ProgressState::Reverted, "it never took the build"),
        ProgressState::Waiting | ProgressState::Armed if !runs_the_build(ground, record)? => {
            undo(ground, journal, record)?;
            record.set(ProgressState::Reverted, "it had not started with the build");
        }
        _ => go(ground, record, target)?,
    }
    if record.state == ProgressState::Reverted {
        finish(ground, journal, record)?;
    }
    if *record != before {
        journal.save(record)?;
    }
    match record.state {
        ProgressState::Reverting => restart(ground, journal, restarts, record, target),
        ProgressState::Reverted if record.is_ours_to_start => {
            restart(ground, journal, restarts, record, target)
        }
        _ => Ok(()),
    }
}

fn runs_the_build(ground: &dyn Ground, record: &Record) -> Result<bool> {
    let process = ground.process(&record.guest)?;
    let has_it = process.is_some_and(|process| record.is_taken_by(&process));
    Ok(has_it && !waits_for_reset(ground, record)?)
}

fn go(ground: &dyn Ground, record: &mut Record, target: &GuestTarget) -> Result<()> {
    let Some(from) = record.from.clone() else {
        record.set(
            ProgressState::Undecided,
            "what it had before is not known here: it came with the build",
        );
        return Ok(());
    };
    let process = ground.process(&record.guest)?;
    let is_as_before = process
        .as_ref()
        .is_some_and(|process| record.is_as_before(process));
    let keeps = target.variables == OldVariables::Keep;
    if record.new_vars().is_some() && keeps {
        let why = match record.certificates {
            Some(_) => {
                "the certificates are among what it would keep: it can only go back to its variables of before"
            }
            None => "the builds lay variables out differently: it can only go back to those of before",
        };
        record.set(ProgressState::Undecided, why);
        return Ok(());
    }
    if !record.is_back || !is_as_before {
        record.written = since(ground, record)?;
    }
    let is_undecided =
        !record.written.is_empty() && matches!(target.variables, OldVariables::Ask | OldVariables::Unknown);
    if is_undecided {
        if record.is_back && !is_as_before {
            // It wrote some after its definition had gone back, and before it was off.
            ground.switch(&record.guest, &record.to, record.new_vars())?;
            record.is_back = false;
        }
        record.set(
            ProgressState::Undecided,
            "it wrote variables since: keep them, or go back to those of before",
        );
        return Ok(());
    }
    if !record.is_back {
        ground.switch(&record.guest, &from, old(record))?;
        record.is_back = true;
        record.set(ProgressState::Reverting, "its next start takes the old build");
    }
    if process.is_some() && !is_as_before {
        return Ok(());
    }
    variables(ground, record, process.is_some(), keeps)
}

/// The file that it had before, if it is another one.
fn old(record: &Record) -> Option<&Path> {
    let vars = record.vars.as_ref()?;
    vars.converted.as_ref().map(|_| vars.path.as_path())
}

/// Variables that the guest has written since it took the build.
fn since(ground: &dyn Ground, record: &Record) -> Result<Vec<String>> {
    let Some(vars) = &record.vars else {
        return Ok(Vec::new());
    };
    let now = vars.converted.as_deref().unwrap_or(&vars.path);
    let (before, now) = (before(ground, record, vars)?, ground.read(now)?);
    let (Some(before), Some(now)) = (before, now) else {
        return Ok(Vec::new());
    };
    // What cannot be compared may be anything.
    Ok(written(&before, &now).unwrap_or_else(|| vec!["variables that cannot be read".into()]))
}

fn before(ground: &dyn Ground, record: &Record, vars: &Vars) -> Result<Option<Vec<u8>>> {
    // Keys that gained certificates differ from before anyway, and so the copy is of those that it was given.
    match (&vars.converted, record.certificates) {
        (Some(_), None) => ground.read(&vars.path),
        (None, _) | (_, Some(_)) => ground.read(&ground.copy_of(&record.guest)),
    }
}

/// It is off, or runs the old build already: its variables.
fn variables(ground: &dyn Ground, record: &mut Record, is_running: bool, keeps: bool) -> Result<()> {
    let Some(vars) = record
        .vars
        .clone()
        .filter(|vars| vars.converted.is_none() && !keeps)
    else {
        record.set(ProgressState::Reverted, "its definition names the old build");
        return Ok(());
    };
    let own = ground
        .read(&vars.path)?
        .map(|bytes| fm_formats::Sha256::of(&bytes));
    if vars.copy.is_none() || own == vars.copy {
        record.set(
            ProgressState::Reverted,
            "its definition names the old build, and its variables are those of before",
        );
    } else if !is_running {
        ground.restore(&vars.path, &ground.copy_of(&record.guest))?;
        record.set(
            ProgressState::Reverted,
            "it has its old build and its variables of before; those of since are kept as a backup",
        );
    } else if record.written.is_empty() {
        record.set(
            ProgressState::Reverted,
            "it runs its old build, on variables in which only its firmware wrote since",
        );
    } else {
        record.set(
            ProgressState::Reverting,
            "it runs its old build; its variables go back once it is off",
        );
    }
    Ok(())
}

/// Nothing is kept for it any more, but for the file that it does not use.
fn finish(ground: &dyn Ground, journal: &Journal, record: &Record) -> Result<()> {
    // Written down before what it relied on goes.
    journal.save(record)?;
    let why = pin(record);
    for build in [Some(&record.to), record.from.as_ref()].into_iter().flatten() {
        ground.let_go(&record.guest, build, &why)?;
    }
    Ok(())
}
