//! Mend and tidy stores offline: repair, compact, restore.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use fm_api::v1::vars::VarsChange;
use fm_files::{Place, backup};
use fm_varstore::{ActiveCopy, Checks, Format, Ftw, State, VarStore};

use crate::Error;
use crate::document;
use crate::journal::MAX_IMAGE_BYTES;
use crate::report::Report;
use crate::save::Edit;
use crate::source::{self, Source};
use crate::store_target::StoreTarget;
use crate::target::{Interrupted, NewContent, Target};

/// Writes whatever can be saved of a damaged store as a sound one.
///
/// # Errors
/// If there is nothing of a store left, or what is left cannot be written.
pub fn repair(write: &StoreTarget) -> Result<VarsChange, Error> {
    let edit = Edit::open(&looked_at(write))?;
    let mut report = Report::default();
    if let Some(view) = edit.source.view()? {
        for damage in view.damage_found() {
            report.steps.push(damage.to_string());
        }
        if view.active_copy() == ActiveCopy::Spare {
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
                State::Superseded if entry.raw_state == 0x3f => report.notes.push(format!(
                    "{}-{} is there more than once: the first is kept, which firmware reads; the one at {:#x} is not carried",
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
        return nothing_to_do(&edit, report);
    }
    report.steps.push(format!(
        "a fresh store with {} variables is written",
        edit.variables.len()
    ));
    edit.commit(Checks::Representable, report)
}

/// Does offline what the firmware's reclaim would do: drops deleted variables.
///
/// # Errors
/// If the store is damaged or cannot be written.
pub fn compact(write: &StoreTarget) -> Result<VarsChange, Error> {
    let edit = Edit::open(&looked_at(write))?;
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
        if gone == 0 && view.active_copy() == ActiveCopy::Main {
            return nothing_to_do(&edit, report);
        }
    }
    edit.commit(Checks::Representable, report)
}

/// A dry run touches nothing, and so looks at what is in use as well.
fn looked_at(write: &StoreTarget) -> StoreTarget {
    StoreTarget {
        even_if_in_use: write.even_if_in_use || write.dry_run,
        ..write.clone()
    }
}

fn nothing_to_do(edit: &Edit, report: Report) -> Result<VarsChange, Error> {
    edit.check(Checks::Representable)?;
    let view = edit.source.view()?;
    Ok(VarsChange {
        up_to_date: true,
        free_bytes: view.as_ref().map(VarStore::free_bytes),
        ..document::change(
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
    pub write: StoreTarget,
    /// The backup; left out, the newest that was kept of the file.
    pub backup: Option<PathBuf>,
}

/// Brings a backup back; what is there now becomes a backup itself.
///
/// # Errors
/// If there is no backup, or it is no variable store, or one of another kind that was not kept of this file.
pub fn restore(request: &RestoreRequest) -> Result<VarsChange, Error> {
    let path = &request.write.path;
    let target = if path.exists() {
        Target::existing(&request.write, Interrupted::Supersede)?
    } else {
        Target::output(&request.write, false)?
    };
    let Backup {
        path: backup,
        mut file,
        is_ours,
    } = Backup::find(&target, path, request.backup.as_deref())?;
    let source = Source::from_file(&backup, &mut file)?;
    let variables = source.variables()?;
    let mut report = Report::default();
    report.steps.push(format!("restored from {}", backup.display()));
    if let Some(damage) = source.view()?.and_then(|view| view.first_lossy_damage().copied()) {
        report.notes.push(format!("the backup is damaged: {damage}"));
    }
    if !is_ours {
        refuse_other_kind(&target, &source)?;
    }
    report.notes.extend(target.note());
    let bytes = read_whole(&backup, &mut file)?;
    // Of what lies behind the store on a device nothing was kept, and nothing is changed.
    let (is_device, written) = (target.is_device(), !target.is_dry_run());
    let content = match source.flash_bytes().filter(|_| is_device) {
        Some(len) => NewContent {
            bytes: bytes.get(..len).unwrap_or(&bytes),
            len_bytes: len as u64,
            keeps_rest: true,
        },
        None => NewContent::whole(&bytes),
    };
    let kept = target.replace(&content, |new| {
        match Source::from_file(path, new).and_then(|source| source.variables()) {
            Ok(read) if read == variables => Ok(()),
            Err(error @ Error::File { .. }) => Err(error),
            _ => Err(Error::Verify { path: path.clone() }),
        }
    })?;
    Ok(VarsChange {
        written,
        backup: kept.map(|path| path.display().to_string()),
        free_bytes: source.view()?.map(|view| view.free_bytes()),
        ..document::change(path, source.layout()?, variables.len(), report)
    })
}

/// All of a backup; no store is larger than its flash chip.
fn read_whole(path: &Path, file: &mut File) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

/// The file that comes back.
struct Backup {
    path: PathBuf,
    file: File,
    /// Whether it was kept of the file that it is to replace.
    is_ours: bool,
}

impl Backup {
    /// The one that was named, or the newest that was kept of the file. What bears a backup's name and is a link, or
    /// belongs to another user than the file, was not made by us: who may write to the folder put it there.
    fn find(target: &Target, path: &Path, named: Option<&Path>) -> Result<Self, Error> {
        let no_backup = || Error::NoBackup { path: path.into() };
        let kept = target.backups()?;
        let own = match (&kept, named) {
            (None, None) => return Err(no_backup()),
            (Some((place, owner_uid)), None) => {
                let newest = backup::list(place, *owner_uid)?.pop().ok_or_else(no_backup)?;
                Some((place, owner_uid, newest))
            }
            (Some((place, owner_uid)), Some(named)) => {
                own_name(place, named).map(|name| (place, owner_uid, name))
            }
            (None, Some(_)) => None,
        };
        if let Some((place, owner_uid, name)) = own {
            return Ok(Self {
                file: backup::open(place, &name, *owner_uid)?,
                path: named.map_or_else(|| place.folder().join(&name), Path::to_path_buf),
                is_ours: true,
            });
        }
        let path = named.unwrap_or(path).to_path_buf();
        let file = source::open(&path).map_err(|source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            file,
            is_ours: false,
        })
    }
}

/// The name of a file that lies beside the one at `place` and has the name of its backups.
fn own_name(place: &Place, named: &Path) -> Option<OsString> {
    let name = named
        .file_name()
        .filter(|name| backup::is_named_so(place, name))?;
    let folder = Place::at(named).ok()?;
    (folder.folder().identify().ok()? == place.folder().identify().ok()?).then(|| name.to_owned())
}

/// A backup that flashmoor made of this very file may be of another layout: converting replaced it. Any other
/// file must be of the kind that the guest is set up for.
fn refuse_other_kind(target: &Target, backup: &Source) -> Result<(), Error> {
    let Some(old) = target.old().and_then(|old| old.try_clone().ok()) else {
        return Ok(());
    };
    // What cannot be read any more has no kind.
    let Ok(present) = Source::from_sized(&target.path(), &mut { old }, target.size_bytes()) else {
        return Ok(());
    };
    let (is, was) = (present.kind()?, backup.kind()?);
    if is == was {
        return Ok(());
    }
    Err(Error::OtherBackup {
        path: target.path(),
        backup: backup.path.clone(),
        why: format!("it is {was}, and the file is {is}"),
    })
}
