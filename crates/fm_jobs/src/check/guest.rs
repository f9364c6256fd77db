//! Facts of a guest from its offer: what it runs, read from its memory, here or on another host.

use std::fs;
use std::path::Path;

use fm_formats::Sha256;
use fm_judge::{Block, CodeUnit, Facts, Firmware, Format, Known};

use super::gather::{Side, machine};
use super::image;
use crate::Result;
use crate::offer::{self, Offer};

/// A running guest: its offer says what runs, its monitor is not asked unless it was named.
pub(super) fn from_guest(selector: &str, store: Option<&Path>) -> Result<Side> {
    let offer = offer::offer(selector)?;
    let mut side = from_offer(&offer, &format!("guest {selector}, read from its memory"), store)?;
    // Only here is the file that is named the guest's own.
    if let Some(path) = &offer.code.path
        && let Ok(bytes) = fs::read(path)
    {
        side.facts.code.on_disk = Known::new(Sha256::of(&bytes), path.display().to_string());
    }
    Ok(side)
}

/// An offer in a file, of a guest that may be on another host.
pub(super) fn from_offer_file(path: &Path, store: Option<&Path>) -> Result<Side> {
    from_offer(&offer::read(path)?, &path.display().to_string(), store)
}

fn from_offer(offer: &Offer, evidence: &str, store: Option<&Path>) -> Result<Side> {
    let mut facts = Facts::default();
    let at = |what: &str| format!("{evidence}, {what}");
    if let Ok(version) = offer.qemu_version.parse() {
        facts.qemu = Known::new(version, at("qemu_version"));
    }
    if let Some(name) = &offer.machine {
        machine(&mut facts, name, &at("machine"))?;
    }
    facts.firmware = Known::new(Firmware::Flash, at("code"));
    let digest = offer.code_digest()?;
    facts.code = known_build(&digest, offer, store).unwrap_or_default();
    facts.code.sha256 = Known::new(digest, at("code.sha256"));
    facts.code.size_bytes = Known::new(offer.code.size_bytes, at("code.size_bytes"));
    facts.code.format = format_of(offer.code.format.as_deref(), &at("code.format"));
    facts.code.path = Known::default();
    if let Some(path) = &offer.code.path {
        facts.code.path = Known::new(path.display().to_string(), at("code.path"));
    }
    facts.vars.present = Known::new(offer.vars.is_some(), at("vars"));
    if let Some(vars) = &offer.vars {
        // The file holds what the guest wrote last, unless it is on another host.
        if let Some(path) = vars.path.as_deref().filter(|path| path.is_file())
            && let Ok(unit) = image::vars_file(path)
            && unit
                .sha256
                .value()
                .is_some_and(|found| found.to_string() == vars.sha256)
        {
            facts.vars = unit;
        }
        facts.vars.size_bytes = Known::new(vars.size_bytes, at("vars.size_bytes"));
        facts.vars.format = format_of(vars.format.as_deref(), &at("vars.format"));
        facts.vars.present = Known::new(true, at("vars"));
    }
    if offer.blocks_complete {
        let blocks = offer.blocks.iter().map(|block| Block {
            name: block.name.clone(),
            size_bytes: block.size_bytes,
        });
        facts.blocks = Known::new(blocks.collect(), at("blocks"));
        facts.deduce()?;
    }
    Ok(Side {
        name: evidence.to_owned(),
        facts,
    })
}

/// What the bytes of this digest show, if this host has them: in the store, or in the file that is named.
fn known_build(digest: &Sha256, offer: &Offer, store: Option<&Path>) -> Option<CodeUnit> {
    let stored = crate::store::open(store)
        .ok()
        .and_then(|store| store.build(digest).ok().flatten())
        .map(|build| build.code.path);
    stored
        .into_iter()
        .chain(offer.code.path.clone())
        .filter_map(|path| image::code_file(&path).ok())
        .find(|unit| unit.sha256.value() == Some(digest))
}

fn format_of(word: Option<&str>, evidence: &str) -> Known<Format> {
    match word {
        Some("raw") => Known::new(Format::Raw, evidence),
        Some("qcow2") => Known::new(Format::Qcow2, evidence),
        _ => Known::default(),
    }
}
