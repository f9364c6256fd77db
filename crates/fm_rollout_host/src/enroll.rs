//! A guest's keys gain certificates: in a new file beside the old one, while it is off, so that the old one is the way back.

use fm_api::v1::fleet::{CertificateSet, GuestTarget, ProgressState};
use fm_formats::Sha256;

use super::ground::{Ground, Keys};
use super::health;
use super::record::{Journal, Record, Vars};
use super::restart::{Restarts, restart};
use super::take::{KEYS, SAVED, armed, beside, boots_in, domain, keep, pinned, refuse};
use crate::Result;

const ARMED: &str = "its next start has the certificates";

/// Takes the guest one step further.
pub(super) fn enroll(
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

fn prepare(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let known = target.certificates.filter(|set| *set != CertificateSet::Unknown);
    let Some(certificates) = known else {
        record.wait("this version does not know the certificates that are wanted");
        return Ok(());
    };
    let Some((domain, defined)) = domain(ground, journal, record)? else {
        return Ok(());
    };
    if record.new_vars().is_some() && domain.vars.as_deref() == record.new_vars() {
        // Killed between the definition and the word of it.
        record.set(ProgressState::Armed, ARMED);
        return journal.save(record);
    }
    if let Some(why) = pinned(&domain) {
        return refuse(journal, record, &why);
    }
    record.certificates = Some(certificates);
    record.from = Some(defined.clone());
    record.to = defined;
    if domain.is_saved {
        record.wait(SAVED);
        return Ok(());
    }
    let Some(path) = &domain.vars else {
        return refuse(
            journal,
            record,
            "its variables are in no file that this host can replace",
        );
    };
    match ground.keys(&domain, certificates)? {
        Keys::Gain => {}
        Keys::Not(why) => return refuse(journal, record, &why),
        Keys::Have => {
            record.set(
                ProgressState::Healthy,
                "its keys had the certificates when this host was asked",
            );
            return journal.save(record);
        }
    }
    if domain.is_running {
        record.wait("its keys gain the certificates once it is off");
        return restart(ground, journal, restarts, record, target);
    }
    keep(ground, record)?;
    let enrolled = beside(path, &format!("{KEYS}{}", certificates.name()));
    record.vars = Some(Vars {
        path: path.clone(),
        converted: Some(enrolled.clone()),
        copy: None,
    });
    record.boots = boots_in(ground, path)?;
    // From here on it is known that the file beside is ours.
    journal.save(record)?;
    if let Some(why) = ground.enroll(path, &enrolled, certificates)? {
        record.vars = None;
        return refuse(journal, record, &why);
    }
    // What the guest writes since is held against what it was given, in which keys differ from before.
    if let Some(bytes) = ground.read(&enrolled)? {
        journal.copy(&record.guest).write(&bytes, 0o600)?;
        if let Some(vars) = &mut record.vars {
            vars.copy = Some(Sha256::of(&bytes));
        }
        journal.save(record)?;
    }
    let now = ground.defined(&record.guest)?;
    if now.is_none_or(|now| now.is_running) {
        record.wait("it was started while its keys were changed");
        return Ok(());
    }
    ground.switch(&record.guest, &record.to, Some(&enrolled))?;
    record.set(ProgressState::Armed, ARMED);
    journal.save(record)
}
