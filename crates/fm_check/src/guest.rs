//! Facts of a guest from its offer: what it runs, read from its memory, here or on another host.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fm_api::v1::inspect::ImageFormat;
use fm_formats::Sha256;
use fm_formats::image::CpuMode;
use fm_host::{Guest, GuestMemory};
use fm_images::inspect::{Cache, Flash};
use fm_judge::{Block, CodeUnit, Evidence, Facts, Firmware, Format, Known, VarsUnit};
use fm_transfer::offer::{self, Offer};

use crate::command_line::command_line;
use crate::machine_option::machine;
use crate::remedy_target::RemedyTarget;
use crate::side::Side;
use crate::{Result, bios, image, next_boot_code};

/// What builds show, by digest: fifty guests of one build have it taken apart once.
#[derive(Debug, Default)]
pub struct Images(Mutex<Vec<(Sha256, Option<CodeUnit>)>>);

impl Images {
    fn unit(&self, digest: &Sha256, look: impl FnOnce() -> Option<CodeUnit>) -> Option<CodeUnit> {
        // held while looking: a second thread that wants the same build waits for it
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, unit)) = seen.iter().find(|(known, _)| known == digest) {
            return unit.clone();
        }
        let unit = look();
        seen.push((*digest, unit.clone()));
        unit
    }
}

/// A running guest: its offer says what runs, its monitor is not asked unless it was named.
pub(super) fn from_guest(selector: &str) -> Result<Side> {
    if let Some(side) = bios::from_guest(&fm_host::find(selector)?)? {
        return Ok(side);
    }
    let (guest, memory, offer) = offer::found(selector)?;
    let evidence = Evidence::GuestMemory(format!("guest {selector}"));
    of_offered(&guest, &memory, &offer, &evidence, &Images::default())
}

/// The same for a guest that was found before, and never with a question to its monitor.
pub(super) fn from_running(guest: &Guest, images: &Images) -> Result<Side> {
    let memory = guest.memory()?;
    let offer = offer::of_guest(guest, &memory, None)?;
    let evidence = Evidence::GuestMemory(guest.label());
    of_offered(guest, &memory, &offer, &evidence, images)
}

fn of_offered(
    guest: &Guest,
    memory: &GuestMemory,
    offer: &Offer,
    evidence: &Evidence,
    images: &Images,
) -> Result<Side> {
    let digest = offer::code_digest(offer)?;
    let code = images.unit(&digest, || {
        let short: String = offer.build.chars().take(12).collect();
        let bytes = flash(guest, memory, 0)?;
        image::code_of(
            &Flash::from_bytes(&bytes, ImageFormat::Raw),
            &Evidence::Build(short),
            None,
        )
        .ok()
        .flatten()
    });
    let mut side = from_offer(offer, evidence, code)?;
    if offer.vars.is_some()
        && let Some(bytes) = flash(guest, memory, 1)
        && let Ok(unit) = image::vars_of(&bytes, &evidence.part("vars"))
    {
        // how its file is encoded does not show in memory
        let old = side.facts.vars;
        side.facts.vars = VarsUnit {
            path: old.path,
            format: old.format,
            declared_format: old.declared_format,
            ..unit
        };
    }
    side.target = RemedyTarget::of_guest(guest);
    command_line(guest, &mut side.facts);
    // Only here is the file that is named the guest's own.
    if let Some(path) = &offer.code.path
        && let Ok((digest, _)) = next_boot_code::digest(guest, guest.flash_unit(0)?)
    {
        side.facts.code.next_boot_code = Known::new(digest, Evidence::File(path.display().to_string()));
    }
    Ok(side)
}

fn flash(guest: &Guest, memory: &GuestMemory, unit: u32) -> Option<Vec<u8>> {
    let region = guest.flash_region(memory, unit).ok()?;
    guest.read_region(memory, unit, region, u64::MAX).ok()
}

/// An offer in a file, of a guest that may be on another host.
pub(super) fn from_offer_file(path: &Path, store: Option<&Path>, cache: Option<&Cache>) -> Result<Side> {
    let offer = offer::read(path)?;
    let evidence = Evidence::Offer(path.display().to_string());
    let code = known_build(&offer::code_digest(&offer)?, &offer, store, cache);
    let mut side = from_offer(&offer, &evidence, code)?;
    side.target = match offer.saved {
        true => RemedyTarget::Saved,
        false => RemedyTarget::Offered {
            offer: path.to_owned(),
            name: offer.guest.name.clone(),
        },
    };
    // The file that it names may be here, and hold what the guest wrote last.
    if let Some(vars) = &offer.vars
        && let Some(path) = vars.path.as_deref().filter(|path| path.is_file())
        && let Ok(unit) = image::vars_file(path)
        && unit.sha256.value().map(ToString::to_string).as_ref() == Some(&vars.sha256)
    {
        let (format, size_bytes) = (side.facts.vars.format, side.facts.vars.size_bytes);
        side.facts.vars = VarsUnit {
            format,
            size_bytes,
            ..unit
        };
    }
    Ok(side)
}

fn from_offer(offer: &Offer, evidence: &Evidence, code: Option<CodeUnit>) -> Result<Side> {
    let mut facts = Facts::default();
    let at = |field: &'static str| evidence.part(field);
    if let Ok(version) = offer.qemu_version.parse() {
        facts.qemu = Known::new(version, at("qemu_version"));
    }
    if let Some(name) = &offer.machine {
        machine(&mut facts, name, &at("machine"))?;
    }
    facts.firmware = Known::new(Firmware::Flash, at("code"));
    facts.code = code.unwrap_or_else(|| offered_code(offer, &at));
    facts.code.sha256 = Known::new(offer::code_digest(offer)?, at("code.sha256"));
    facts.code.size_bytes = Known::new(offer.code.size_bytes, at("code.size_bytes"));
    facts.code.format = format_of(offer.code.format.as_deref(), at("code.format"));
    facts.code.path = Known::default();
    if let Some(path) = &offer.code.path {
        facts.code.path = Known::new(path.display().to_string(), at("code.path"));
    }
    facts.vars.present = Known::new(offer.vars.is_some(), at("vars"));
    if let Some(vars) = &offer.vars {
        facts.vars.size_bytes = Known::new(vars.size_bytes, at("vars.size_bytes"));
        facts.vars.format = format_of(vars.format.as_deref(), at("vars.format"));
        if let Some(path) = &vars.path {
            facts.vars.path = Known::new(path.display().to_string(), at("vars.path"));
        }
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
        name: evidence.to_string(),
        facts,
        target: RemedyTarget::Nobody,
    })
}

/// What the offer itself says of a build that is not at hand; those of saved guests do.
fn offered_code(offer: &Offer, at: &dyn Fn(&'static str) -> Evidence) -> CodeUnit {
    let mut unit = CodeUnit::default();
    let Some(firmware) = &offer.firmware else {
        return unit;
    };
    let arch = firmware.arch.as_deref().and_then(|name| name.parse().ok());
    let evidence = ["firmware.arch", "firmware.cpu_mode"].map(at);
    let cpu_mode = firmware.cpu_mode.as_deref().and_then(CpuMode::named);
    image::arches(&mut unit, arch, cpu_mode, evidence);
    if let Some(layout) = firmware.layout.as_deref().and_then(|name| name.parse().ok()) {
        unit.layout = Known::new(layout, at("firmware.layout"));
    }
    // Of a newer host, perhaps, which knows features that this one does not.
    let known = firmware.features.iter().filter_map(|name| name.parse().ok());
    unit.features = Known::new(known.collect(), at("firmware.features"));
    unit
}

/// What the bytes of this digest show, if this host has them: in the store, or in the file that is named.
fn known_build(
    digest: &Sha256,
    offer: &Offer,
    store: Option<&Path>,
    cache: Option<&Cache>,
) -> Option<CodeUnit> {
    let stored = fm_store::verbs::open(store)
        .ok()
        .and_then(|store| store.build(digest).ok().flatten())
        .map(|build| build.code.path);
    stored
        .into_iter()
        .chain(offer.code.path.clone())
        .filter_map(|path| image::code_file(&path, cache).ok())
        .find(|unit| unit.sha256.value() == Some(digest))
}

fn format_of(word: Option<&str>, evidence: Evidence) -> Known<Format> {
    match word {
        Some("raw") => Known::new(Format::Raw, evidence),
        Some("qcow2") => Known::new(Format::Qcow2, evidence),
        _ => Known::default(),
    }
}
