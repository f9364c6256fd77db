//! What comes from outside, bounded: malformed ids are refused, long words for people are cut short.

use std::collections::BTreeSet;

use fm_api::v1::fleet::{
    Certificates, GuestRow, HeldBuild, HostPin, HostReport, LandingRow, MAX_ID_BYTES, Rest, Use, is_id,
};

use crate::{Error, Result};

/// The most bytes of a word for people: a guest's name, a reason.
const MAX_WORD_BYTES: usize = 256;
/// The most guests of one host.
pub(super) const MAX_GUEST_COUNT: usize = 8192;
/// The most uses, builds, landings and pins of one host, each.
const MAX_ROW_COUNT: usize = 16_384;
/// The most guests of one host that rollouts want something of, so that a transaction has room for them.
const MAX_PROGRESS_COUNT: usize = 1024;
/// The most labels of one host.
const MAX_LABEL_COUNT: usize = 32;
/// The most variables that are named of a guest that does not go back by itself.
const MAX_WRITTEN_COUNT: usize = 16;
/// The most different builds that one host needs.
const MAX_BUILD_COUNT: usize = 512;
/// The most bytes of members that this version does not know, in one row.
const MAX_REST_BYTES: usize = 2048;
/// The most generations of certificates in one variable.
const MAX_CERTIFICATE_COUNT: usize = 16;

/// The report as it may be kept.
pub(super) fn checked(mut report: HostReport) -> Result<HostReport> {
    let what = "the report";
    id(what, "instance", &report.instance)?;
    id(what, "boot_id", &report.boot_id)?;
    if let Some(mark) = &report.acknowledged {
        id(what, "acknowledged.term", &mark.term)?;
    }
    if let Some(recorded) = &report.recorded {
        id(what, "recorded.epoch", &recorded.epoch)?;
    }
    count("guests", report.guests.len(), MAX_GUEST_COUNT)?;
    count("uses", report.uses.len(), MAX_ROW_COUNT)?;
    count("builds", report.builds.len(), MAX_ROW_COUNT)?;
    count("landings", report.landings.len(), MAX_ROW_COUNT)?;
    count("pins", report.pins.len(), MAX_ROW_COUNT)?;
    count("rollouts", report.rollouts.len(), MAX_PROGRESS_COUNT)?;
    count("labels", report.labels.len(), MAX_LABEL_COUNT)?;
    for (key, value) in &mut report.labels {
        id(what, "labels", key)?;
        word(value);
    }
    let mut told = BTreeSet::new();
    for progress in &mut report.rollouts {
        id(what, "rollouts.guest", &progress.guest)?;
        id(what, "rollouts.rollout", &progress.rollout)?;
        words(&mut progress.evidence);
        progress.written.truncate(MAX_WRITTEN_COUNT);
        progress.written.iter_mut().for_each(word);
        self::rest(what, &progress.rest)?;
        if !told.insert((progress.guest.clone(), progress.rollout.clone())) {
            return Err(Error::invalid(
                what,
                format!("guest {} has come two ways with one rollout", progress.guest),
            ));
        }
    }
    rest(what, &report.rest)?;
    word(&mut report.agent_version);
    words(&mut report.name);
    let mut uuids = BTreeSet::new();
    for guest in &mut report.guests {
        self::guest(guest)?;
        if !uuids.insert(guest.uuid.clone()) {
            return Err(Error::invalid(
                what,
                format!("guest {} is in it twice", guest.uuid),
            ));
        }
    }
    let mut builds = BTreeSet::new();
    for Use { build, guest, .. } in &report.uses {
        builds.insert(build);
        guest
            .as_deref()
            .map_or(Ok(()), |guest| id(what, "uses.guest", guest))?;
    }
    count("builds needed", builds.len(), MAX_BUILD_COUNT)?;
    for HeldBuild {
        name, version, rest, ..
    } in &mut report.builds
    {
        words(name);
        words(version);
        self::rest(what, rest)?;
    }
    for LandingRow { id, guest, rest, .. } in &report.landings {
        self::id(what, "landings.id", id)?;
        guest
            .as_deref()
            .map_or(Ok(()), |guest| self::id(what, "landings.guest", guest))?;
        self::rest(what, rest)?;
    }
    for HostPin { reason, .. } in &mut report.pins {
        word(reason);
    }
    Ok(report)
}

fn guest(guest: &mut GuestRow) -> Result<()> {
    id("the report", "guests.uuid", &guest.uuid)?;
    for text in [
        &mut guest.name,
        &mut guest.layout,
        &mut guest.machine,
        &mut guest.qemu,
    ] {
        words(text);
    }
    if let Some(facts) = &mut guest.facts {
        words(&mut facts.confidential);
        if let Some(owner) = &mut facts.owner {
            words(&mut owner.pin);
            rest("the report", &owner.rest)?;
        }
    }
    if let Some(Certificates {
        pk,
        kek,
        db,
        dbx,
        rest,
    }) = &mut guest.certificates
    {
        for generations in [pk, kek, db, dbx] {
            generations.truncate(MAX_CERTIFICATE_COUNT);
            generations.iter_mut().for_each(word);
        }
        self::rest("the report", rest)?;
    }
    rest("the report", &guest.rest)
}

/// Whether a text can be an id: 1 to 64 printable ASCII characters without blanks and slashes.
pub(super) fn id(what: &str, member: &str, text: &str) -> Result<()> {
    if is_id(text) {
        Ok(())
    } else {
        let why = format!(
            "its {member} is not 1 to {MAX_ID_BYTES} printable characters without blanks and slashes"
        );
        Err(Error::invalid(what, why))
    }
}

/// Cuts a word for people short.
pub(super) fn word(text: &mut String) {
    if text.len() > MAX_WORD_BYTES {
        let end = (0..=MAX_WORD_BYTES).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
}

fn words(text: &mut Option<String>) {
    if let Some(text) = text {
        word(text);
    }
}

fn count(what: &str, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::TooLarge {
            what: format!("the report ({what})"),
            size: size as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

fn rest(what: &str, rest: &Rest) -> Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    let size = serde_json::to_vec(rest).map_or(usize::MAX, |bytes| bytes.len());
    if size > MAX_REST_BYTES {
        return Err(Error::TooLarge {
            what: format!("{what} (members of a newer version, in bytes)"),
            size: size as u64,
            limit: MAX_REST_BYTES as u64,
        });
    }
    Ok(())
}
