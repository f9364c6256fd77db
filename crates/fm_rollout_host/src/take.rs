//! A guest takes a build: step by step, each written down before it is done and fit to be done again.

use std::path::PathBuf;

use fm_adopt::libvirt::DefinedFirmware;
use fm_api::v1::fleet::{Digest, GuestTarget, ProgressState};
use fm_formats::Sha256;

use super::ground::{Ground, Judged, Update};
use super::health;
use super::record::{Journal, Record, Vars};
use super::restart::{Restarts, restart};
use crate::Result;

pub(super) const SAVED: &str = "it is saved, and its next start goes on with what it ran";
pub(super) const NOT_HERE: &str = "the build has not come to this host yet";

/// What is in the name of a file of variables whose keys have gained certificates.
pub(super) const KEYS: &str = ".fm-keys-";

/// Why both builds are kept.
pub(super) fn pin(record: &Record) -> String {
    format!("rollout {} of guest {}", record.rollout, record.guest)
}

/// Takes the guest one step further.
pub(super) fn take(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    match record.state {
        ProgressState::Waiting => prepare(ground, journal, restarts, record, target),
        ProgressState::Armed => armed(ground, journal, restarts, record, target),
        ProgressState::Booting | ProgressState::Failed => {
            health::look(ground, journal, restarts, record, target.health_timeout_s)
        }
        _ => Ok(()),
    }
}

pub(super) fn digest(build: Sha256) -> Digest {
    build.to_bytes().into()
}

/// The guest's domain, if it can be given something at all; refused if not.
pub(super) fn domain(
    ground: &dyn Ground,
    journal: &Journal,
    record: &mut Record,
) -> Result<Option<(DefinedFirmware, Digest)>> {
    let found = ground.defined(&record.guest)?;
    let why = match found {
        None => "this host has no libvirt domain with its uuid",
        Some(domain) if !domain.is_persistent => "its libvirt domain has no definition that outlives it",
        Some(domain) => match domain.build.map(digest) {
            Some(build) => return Ok(Some((domain, build))),
            None => "its libvirt domain is not adopted",
        },
    };
    refuse(journal, record, why)?;
    Ok(None)
}

/// It is not done, for this reason.
pub(super) fn refuse(journal: &Journal, record: &mut Record, why: &str) -> Result<()> {
    record.set(ProgressState::Refused, why);
    journal.save(record)
}

/// Why its owner wants nothing done, if so.
pub(super) fn pinned(domain: &DefinedFirmware) -> Option<String> {
    let why = domain.owner.as_ref()?.pin.as_ref()?;
    Some(match why.is_empty() {
        true => "its owner has pinned it in its definition".into(),
        false => format!("its owner has pinned it in its definition: {why}"),
    })
}

/// From nothing to a definition that names the build, or to the reason why not yet.
fn prepare(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let Some((domain, defined)) = domain(ground, journal, record)? else {
        return Ok(());
    };
    if defined == record.to {
        return named(ground, journal, record, &domain);
    }
    if let Some(why) = pinned(&domain) {
        return refuse(journal, record, &why);
    }
    record.from = Some(defined);
    if domain.is_saved {
        record.wait(SAVED);
        return Ok(());
    }
    if !ground.has(&record.to)? {
        record.wait(NOT_HERE);
        return Ok(());
    }
    let converts = match record.judged {
        Some(converts) => converts,
        None => match ground.judge(&domain, &record.to)? {
            Judged::Not(why) => return refuse(journal, record, &why),
            Judged::Later(why) => {
                record.wait(why);
                return Ok(());
            }
            Judged::Well { converts } => {
                record.judged = Some(converts);
                journal.save(record)?;
                converts
            }
        },
    };
    if converts && domain.is_running {
        record.wait("its variables are converted once it is off");
        return restart(ground, journal, restarts, record, target);
    }
    arm(ground, journal, record, &domain, converts)
}

/// The definition names the build already: this host has come so far before, or somebody else has.
fn named(
    ground: &dyn Ground,
    journal: &Journal,
    record: &mut Record,
    domain: &DefinedFirmware,
) -> Result<()> {
    if record.judged.is_some() {
        // Killed between the definition and the word of it.
        record.set(ProgressState::Armed, "its next start takes the build");
        return journal.save(record);
    }
    let process = ground.process(&record.guest)?;
    let runs = process.as_ref().and_then(|process| process.code.clone());
    if runs.as_ref() == Some(&record.to) {
        record.set(
            ProgressState::Healthy,
            "it ran the build when this host was asked",
        );
    } else if domain.is_running {
        // It came from another host, whose agent had changed its definition.
        record.boots = process.and_then(|process| process.boots);
        record.from = runs;
        record.set(
            ProgressState::Armed,
            "its definition named the build when this host was asked",
        );
    } else {
        record.wait("it is off, and its definition names the build already");
        return Ok(());
    }
    journal.save(record)
}

/// Keeps both builds.
pub(super) fn keep(ground: &dyn Ground, record: &Record) -> Result<()> {
    let why = pin(record);
    for build in record.from.iter().chain([&record.to]) {
        ground.keep(build, &why)?;
    }
    Ok(())
}

/// Keeps the way back, and lets the definition name the build.
fn arm(
    ground: &dyn Ground,
    journal: &Journal,
    record: &mut Record,
    domain: &DefinedFirmware,
    converts: bool,
) -> Result<()> {
    keep(ground, record)?;
    let vars = match (&domain.vars, converts) {
        (Some(path), true) => {
            let converted = beside(
                path,
                &format!(".fm-{}", record.to.as_str().get(..12).unwrap_or_default()),
            );
            record.vars = Some(Vars {
                path: path.clone(),
                converted: Some(converted.clone()),
                copy: None,
            });
            record.boots = boots_in(ground, path)?;
            // From here on it is known that the file beside is ours.
            journal.save(record)?;
            ground.convert(path, &converted, &record.to)?;
            Some(converted)
        }
        (Some(path), false) => {
            copy(ground, journal, record, path.clone())?;
            None
        }
        (None, _) => None,
    };
    if let Some(process) = ground.process(&record.guest)? {
        record.boots = process.boots.or(record.boots);
    }
    if converts {
        // It may have been started meanwhile, and write to what was converted.
        let now = ground.defined(&record.guest)?;
        if now.is_none_or(|now| now.is_running) {
            record.wait("it was started while its variables were converted");
            return Ok(());
        }
    }
    ground.switch(&record.guest, &record.to, vars.as_deref())?;
    record.set(ProgressState::Armed, "its next start takes the build");
    journal.save(record)
}

/// Where new variables go: another name for each thing that they are made for, beside the old ones.
pub(super) fn beside(path: &std::path::Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(what);
    name.into()
}

/// Copies the variables from before, unless the copy has them already.
pub(super) fn copy(ground: &dyn Ground, journal: &Journal, record: &mut Record, path: PathBuf) -> Result<()> {
    let Some(bytes) = ground.read(&path)? else {
        // libvirt makes them at the next start, and nothing is lost by going back.
        return Ok(());
    };
    let found = Sha256::of(&bytes);
    if record.vars.as_ref().and_then(|vars| vars.copy) != Some(found) {
        journal.copy(&record.guest).write(&bytes, 0o600)?;
        record.vars = Some(Vars {
            path,
            converted: None,
            copy: Some(found),
        });
    }
    record.boots = fm_update::boots::in_store(&bytes).or(record.boots);
    journal.save(record)
}

pub(super) fn boots_in(ground: &dyn Ground, path: &std::path::Path) -> Result<Option<u32>> {
    Ok(ground
        .read(path)?
        .and_then(|bytes| fm_update::boots::in_store(&bytes)))
}

/// Its next start takes the build: whether that has come.
pub(super) fn armed(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let converted = record.new_vars().is_some();
    let Some(process) = ground.process(&record.guest)? else {
        // It has written until it was off.
        let own = record.vars.as_ref().filter(|vars| vars.converted.is_none());
        if let Some(path) = own.map(|vars| vars.path.clone()) {
            copy(ground, journal, record, path)?;
        }
        return restart(ground, journal, restarts, record, target);
    };
    if record.is_taken_by(&process) {
        record.process = Some(process.id);
        record.set(ProgressState::Booting, started(record));
        restarts.began(record, ground.monotonic());
        record.is_ours_to_start = false;
        journal.save(record)?;
        return health::look(ground, journal, restarts, record, target.health_timeout_s);
    }
    if converted {
        // It was started before the definition changed, and writes to the variables from before.
        undo(ground, journal, record)?;
        record.wait("it was started as it was before its definition changed");
        return journal.save(record);
    }
    if process.boots.is_some() && process.boots != record.boots {
        record.boots = process.boots;
        journal.save(record)?;
    }
    restart(ground, journal, restarts, record, target)
}

/// What says that it has what is wanted.
pub(super) fn started(record: &Record) -> &'static str {
    match record.certificates {
        Some(_) => "it was started with its new keys",
        None => "it runs the build",
    }
}

/// Whether its memory has the build, and it has not reset since: it runs what it had before.
pub(super) fn waits_for_reset(ground: &dyn Ground, record: &Record) -> Result<bool> {
    Ok(record.at_reset && ground.given(&record.guest, &record.to)? == Some(Update::Pending))
}

/// Lets the definition, and the memory if that was given something, have what they had before. The guest has not run the
/// build.
pub(super) fn undo(ground: &dyn Ground, journal: &Journal, record: &mut Record) -> Result<()> {
    if waits_for_reset(ground, record)? {
        ground.take_back(&record.guest)?;
    }
    record.at_reset = false;
    let converted = record.new_vars().map(std::path::Path::to_owned);
    if let Some(from) = record.from.clone() {
        let own = record.vars.as_ref().map(|vars| vars.path.clone());
        let defined = ground.defined(&record.guest)?;
        let has_new = |domain: DefinedFirmware| match record.certificates {
            Some(_) => converted.is_some() && domain.vars == converted,
            None => domain.build.map(digest).as_ref() == Some(&record.to),
        };
        if defined.is_some_and(has_new) {
            ground.switch(
                &record.guest,
                &from,
                own.filter(|_| converted.is_some()).as_deref(),
            )?;
        }
    }
    if let Some(converted) = converted {
        ground.remove(&converted)?;
    }
    record.vars = None;
    journal.save(record)
}

/// Takes away what was prepared: nobody wants it any more. What runs the build already goes on with it.
pub(super) fn withdraw(ground: &dyn Ground, journal: &Journal, record: &mut Record) -> Result<bool> {
    let process = ground.process(&record.guest)?;
    let is_running = process.is_some();
    if (record.state == ProgressState::Armed || record.at_reset)
        && let Some(process) = process.filter(|process| record.is_taken_by(process))
        && !waits_for_reset(ground, record)?
    {
        record.process = Some(process.id);
        record.set(ProgressState::Booting, started(record));
        journal.save(record)?;
        return Ok(false);
    }
    undo(ground, journal, record)?;
    if record.is_ours_to_start && !is_running {
        ground.start(&record.guest)?;
    }
    let why = pin(record);
    for build in [Some(&record.to), record.from.as_ref()].into_iter().flatten() {
        ground.let_go(&record.guest, build, &why)?;
    }
    journal.forget(&record.guest)?;
    Ok(true)
}
