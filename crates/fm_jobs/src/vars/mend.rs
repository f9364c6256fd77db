//! Mend and tidy stores offline: repair, compact, restore.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fm_formats::varstore::{Checks, Format, Ftw, State, Truth, VarStore};

use super::Error;
use super::backup::backups;
use super::change::Write;
use super::document::VarsChange;
use super::replace::{Target, copy_sparse};
use super::save::{Edit, Report};
use super::source::{self, Source};

/// Writes whatever can be saved of a damaged store as a sound one. Without `apply` it only says what it
/// would do.
///
/// # Errors
/// If there is nothing of a store left, or what is left cannot be written.
pub fn repair(write: &Write, apply: bool) -> Result<VarsChange, Error> {
    let edit = Edit::open(&write.path, write.even_if_in_use || !apply)?;
    let mut report = Report::default();
    if let Some(view) = edit.source.view()? {
        for damage in view.damage_found() {
            report.steps.push(damage.to_string());
        }
        if view.truth() == Truth::Spare {
            report.steps.push(
                "an interrupted reclaim left the valid store in the spare: it is put in its place".into(),
            );
        }
        for entry in view.entries() {
            match entry.state {
                State::Recovered => report.steps.push(format!(
                    "{}-{} at {:#x} lies behind damage, where the firmware does not look: saved",
                    entry.guid, entry.name, entry.offset
                )),
                State::InDeletedTransition => report.steps.push(format!(
                    "{}-{} at {:#x} was about to be replaced: kept",
                    entry.guid, entry.name, entry.offset
                )),
                State::Unknown if matches!(entry.raw_state, 0x3e | 0x3f) => report.notes.push(format!(
                    "a variable of {} at {:#x} has no name to keep it under: not carried",
                    entry.guid, entry.offset
                )),
                State::Unknown => report.notes.push(format!(
                    "{}-{} at {:#x} has a state that edk2 never writes ({:#04x}): not carried",
                    entry.guid, entry.name, entry.offset, entry.raw_state
                )),
                _ => {}
            }
        }
        if view.format() == Format::Blank {
            report
                .steps
                .push("the store is blank: it gets its headers".into());
        }
        if matches!(view.ftw(), Ftw::Abandoned) {
            report.steps.push("the FTW queue starts fresh".into());
        }
    }
    if report.steps.is_empty() {
        report.steps.push("nothing is wrong".into());
        return plan(&edit, report);
    }
    report.steps.push(format!(
        "a fresh store with {} variables is written",
        edit.variables.len()
    ));
    if apply {
        edit.commit(Checks::Representable, report)
    } else {
        plan(&edit, report)
    }
}

/// Does offline what the firmware's reclaim would do: drops deleted variables. Without `apply` it only says
/// what it would do.
///
/// # Errors
/// If the store is damaged or cannot be written.
pub fn compact(write: &Write, apply: bool) -> Result<VarsChange, Error> {
    let edit = Edit::open(&write.path, write.even_if_in_use || !apply)?;
    edit.source.refuse_damage()?;
    let mut report = Report::default();
    if let Some(view) = edit.source.view()? {
        let gone = view
            .entries()
            .iter()
            .filter(|entry| !entry.state.is_live())
            .count();
        report.steps.push(format!(
            "{gone} deleted or unfinished variables go, {} bytes are won: {} free before, {} after",
            view.reclaimable_bytes(),
            view.free_bytes(),
            view.free_bytes().saturating_add(view.reclaimable_bytes())
        ));
        if gone == 0 && view.truth() == Truth::Main {
            return plan(&edit, report);
        }
    }
    if apply {
        edit.commit(Checks::Representable, report)
    } else {
        plan(&edit, report)
    }
}

fn plan(edit: &Edit, report: Report) -> Result<VarsChange, Error> {
    edit.check(Checks::Representable)?;
    let view = edit.source.view()?;
    Ok(VarsChange {
        free_bytes: view.as_ref().map(VarStore::free_bytes),
        ..VarsChange::new(
            &edit.source.path,
            edit.source.layout()?,
            edit.variables.len(),
            report,
        )
    })
}

/// What to bring back.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The file.
    pub write: Write,
    /// The backup; left out, the newest that was kept of the file.
    pub backup: Option<PathBuf>,
}

/// Brings a backup back; what is there now becomes a backup itself.
///
/// # Errors
/// If there is no backup, or it is no variable store, or one of another kind that was not kept of this file.
pub fn restore(request: &RestoreRequest) -> Result<VarsChange, Error> {
    let path = &request.write.path;
    let backup = match &request.backup {
        Some(backup) => backup.clone(),
        None => backups(path)?
            .pop()
            .ok_or_else(|| Error::NoBackup { path: path.clone() })?,
    };
    let source = Source::read(&backup)?;
    let variables = source.variables()?;
    let mut report = Report::default();
    report.steps.push(format!("restored from {}", backup.display()));
    if let Some(damage) = source.view()?.and_then(|view| view.losing_damage().copied()) {
        report.notes.push(format!("the backup is damaged: {damage}"));
    }
    let target = if path.exists() {
        Target::existing(path, request.write.even_if_in_use)?
    } else {
        Target::output(path, false, false)?
    };
    let same = backup.canonicalize().unwrap_or_else(|_| backup.clone());
    if !backups(path)?.contains(&same) {
        refuse_other_kind(&target, &source)?;
    }
    let kept = target.replace(
        |file| copy_whole(&backup, file),
        |file| match Source::from_file(path, file).and_then(|source| source.variables()) {
            Ok(read) if read == variables => Ok(()),
            _ => Err(Error::Verify { path: path.clone() }),
        },
    )?;
    Ok(VarsChange {
        written: true,
        backup: kept.map(|path| path.display().to_string()),
        free_bytes: source.view()?.map(|view| view.free_bytes()),
        ..VarsChange::new(path, source.layout()?, variables.len(), report)
    })
}

/// A backup that flashmoor made of this very file may be of another layout: converting replaced it. Any other
/// file must be of the kind that the guest is set up for.
fn refuse_other_kind(target: &Target, backup: &Source) -> Result<(), Error> {
    let Some(old) = target.old().and_then(|old| old.try_clone().ok()) else {
        return Ok(());
    };
    // What cannot be read any more has no kind.
    let Ok(present) = Source::from_file(target.path(), &mut { old }) else {
        return Ok(());
    };
    let (is, was) = (present.kind()?, backup.kind()?);
    if is == was {
        return Ok(());
    }
    Err(Error::OtherBackup {
        path: target.path().to_path_buf(),
        backup: backup.path.clone(),
        why: format!("it is {was}, and the file is {is}"),
    })
}

fn copy_whole(from: &Path, to: &mut File) -> io::Result<()> {
    copy_sparse(&mut source::open(from)?, to, 0)
}
