//! A guest takes a build: step by step, each written down before it is done and fit to be done again.

use std::path::PathBuf;

use fm_adopt::libvirt::DefinedFirmware;
use fm_api::v1::fleet::{Digest, GuestTarget, ProgressState};
use fm_formats::Sha256;

use super::ground::{Ground, Judged};
use super::health;
use super::record::{Journal, Record, Vars};
use super::restart::{Restarts, restart};
use crate::Result;

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

fn digest(build: Sha256) -> Option<Digest> {
    build.to_string().parse().ok()
}

/// From nothing to a definition that names the build, or to the reason why not yet.
fn prepare(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let refuse = |record: &mut Record, why: &str| {
        record.set(ProgressState::Refused, why);
        journal.save(record)
    };
    let Some(domain) = ground.defined(&record.guest)? else {
        return refuse(record, "this host has no libvirt domain with its uuid");
    };
    if !domain.is_persistent {
        return refuse(record, "its libvirt domain has no definition that outlives it");
    }
    let Some(defined) = domain.build.and_then(digest) else {
        return refuse(record, "its libvirt domain is not adopted");
    };
    if defined == record.to {
        return named(ground, journal, record, &domain);
    }
    record.from = Some(defined);
    if domain.is_saved {
        record.wait("it is saved, and its next start goes on with what it ran");
        return Ok(());
    }
    if !ground.has(&record.to)? {
        record.wait("the build has not come to this host yet");
        return Ok(());
    }
    let converts = match record.judged {
        Some(converts) => converts,
        None => match ground.judge(&domain, &record.to)? {
            Judged::Not(why) => return refuse(record, &why),
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

/// Keeps the way back, and lets the definition name the build.
fn arm(
    ground: &dyn Ground,
    journal: &Journal,
    record: &mut Record,
    domain: &DefinedFirmware,
    converts: bool,
) -> Result<()> {
    let why = pin(record);
    if let Some(from) = &record.from {
        ground.keep(from, &why)?;
    }
    ground.keep(&record.to, &why)?;
    let vars = match (&domain.vars, converts) {
        (Some(path), true) => {
            let converted = beside(path, &record.to);
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

/// Where converted variables go: another name for each build, beside the old ones.
fn beside(path: &std::path::Path, build: &Digest) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".fm-{}", build.as_str().get(..12).unwrap_or_default()));
    name.into()
}

/// Copies the variables from before, unless the copy has them already.
fn copy(ground: &dyn Ground, journal: &Journal, record: &mut Record, path: PathBuf) -> Result<()> {
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

fn boots_in(ground: &dyn Ground, path: &std::path::Path) -> Result<Option<u32>> {
    Ok(ground
        .read(path)?
        .and_then(|bytes| fm_update::boots::in_store(&bytes)))
}

/// Its next start takes the build: whether that has come.
fn armed(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let converted = record.vars.as_ref().is_some_and(|vars| vars.converted.is_some());
    let Some(process) = ground.process(&record.guest)? else {
        // It has written until it was off.
        let own = record.vars.as_ref().filter(|vars| vars.converted.is_none());
        if let Some(path) = own.map(|vars| vars.path.clone()) {
            copy(ground, journal, record, path)?;
        }
        return restart(ground, journal, restarts, record, target);
    };
    if process.code.as_ref() == Some(&record.to) {
        record.process = Some(process.id);
        record.set(ProgressState::Booting, "it runs the build");
        restarts.began(record, ground.monotonic());
        record.is_ours_to_start = false;
        journal.save(record)?;
        return health::look(ground, journal, restarts, record, target.health_timeout_s);
    }
    if converted {
        // It was started before the definition changed, and writes to the variables from before.
        undo(ground, journal, record)?;
        record.wait("it was started on the old build before its definition changed");
        return journal.save(record);
    }
    if process.boots.is_some() && process.boots != record.boots {
        record.boots = process.boots;
        journal.save(record)?;
    }
    restart(ground, journal, restarts, record, target)
}

/// Lets the definition name what it named before. The guest has not run the build.
pub(super) fn undo(ground: &dyn Ground, journal: &Journal, record: &mut Record) -> Result<()> {
    let converted = record.vars.as_ref().and_then(|vars| vars.converted.clone());
    if let Some(from) = record.from.clone() {
        let own = record.vars.as_ref().map(|vars| vars.path.clone());
        let named = ground
            .defined(&record.guest)?
            .and_then(|domain| domain.build)
            .and_then(digest);
        if named.as_ref() == Some(&record.to) {
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
    let runs = process.as_ref().and_then(|process| process.code.clone());
    if record.state == ProgressState::Armed
        && let Some(process) = process.filter(|_| runs.as_ref() == Some(&record.to))
    {
        record.process = Some(process.id);
        record.set(ProgressState::Booting, "it runs the build");
        journal.save(record)?;
        return Ok(false);
    }
    undo(ground, journal, record)?;
    if record.is_ours_to_start && runs.is_none() {
        ground.start(&record.guest)?;
    }
    let why = pin(record);
    for build in [Some(&record.to), record.from.as_ref()].into_iter().flatten() {
        ground.let_go(&record.guest, build, &why)?;
    }
    journal.forget(&record.guest)?;
    Ok(true)
}
