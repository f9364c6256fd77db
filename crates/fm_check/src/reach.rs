//! The judge's answers for guests that run here: where they could go, and what a cold boot would bring.

use std::path::Path;

use fm_api::v1::inspect::ImageFormat;
use fm_host::{FlashFormat, FlashUnit, Guest};
use fm_images::inspect::Flash;
use fm_judge::{CodeUnit, Evidence, Facts, Firmware, Format, Known, Phase, PhaseVerdict};

use crate::checked::{Checked, chosen, judged};
use crate::gather::{self, Options, SideSpec};
use crate::guest::{self, Images};
use crate::next_boot_code::{self, NextBootUnknown};
use crate::remedy_target::RemedyTarget;
use crate::side::Side;
use crate::{Error, Result, image};

/// A host that guests could go to, looked at once for all of them.
#[derive(Debug)]
pub struct Destination {
    spec: SideSpec,
    sides: Vec<Side>,
    images: Images,
}

impl Destination {
    /// The host whose firmware is `path`: a folder of files or descriptors, a descriptor, a CODE file or an
    /// offer; `qemu` is the version of its QEMU.
    ///
    /// # Errors
    /// If there is no firmware, or it cannot be read.
    pub fn open(path: &Path, qemu: Option<&str>, store: Option<&Path>) -> Result<Self> {
        let spec = SideSpec {
            code: Some(path.display().to_string()),
            qemu: qemu.map(str::to_owned),
            ..SideSpec::default()
        };
        Ok(Self {
            sides: gather::sides(&spec, store)?,
            spec,
            images: Images::default(),
        })
    }

    /// What comes of a migration of `guest` to there: all phases, judged on the file that the guest's
    /// definition names, or else on the best that is there.
    ///
    /// # Errors
    /// If the guest may not be read, or contradicts itself.
    pub fn judge(&self, guest: &Guest) -> Result<Option<Checked>> {
        let source = guest::from_running(guest, &self.images)?;
        verdict(&source, self.sides.clone(), &self.spec)
    }
}

/// What is known of a guest that runs: what it runs, its variables, its machine.
///
/// # Errors
/// If the guest may not be read.
pub fn guest_facts(guest: &Guest, images: &Images) -> Result<Facts> {
    Ok(guest::from_running(guest, images)?.facts)
}

/// What a cold boot of `guest` brings: its own variables, on what its CODE file holds now.
///
/// # Errors
/// If the guest may not be read, or its file holds something else than firmware. Nothing if it cannot be told
/// what the file holds.
pub fn cold_boot(guest: &Guest, images: &Images) -> Result<Option<PhaseVerdict>> {
    let source = guest::from_running(guest, images)?;
    let unit = guest.flash_unit(0)?;
    let mut code = match next_boot_code::bytes(guest, unit) {
        Ok(bytes) => code_of(&bytes, unit)?,
        Err(NextBootUnknown::Gone) => CodeUnit {
            present: Known::new(false, Evidence::File(unit.location.clone()).part("which is gone")),
            ..CodeUnit::default()
        },
        Err(_) => return Ok(None),
    };
    // as the guest's definition has it, whatever way it is reached from here
    code.path = Known::new(unit.location.clone(), "the guest's command line");
    let side = Side {
        name: unit.location.clone(),
        facts: Facts {
            qemu: source.facts.qemu.clone(),
            firmware: Known::new(Firmware::Flash, "the guest's command line"),
            code,
            ..Facts::default()
        },
        target: RemedyTarget::Nobody,
    };
    let checked = verdict(&source, vec![side], &SideSpec::default())?;
    Ok(checked.map(|checked| checked.verdict.phase(Phase::ColdBoot).clone()))
}

fn code_of(bytes: &[u8], unit: &FlashUnit) -> Result<CodeUnit> {
    let path = || unit.location.clone().into();
    let file = Evidence::File(unit.location.clone());
    let code = image::code_of(&Flash::from_bytes(bytes, ImageFormat::Raw), &file, None)
        .map_err(|why| Error::NotFirmware { path: path(), why })?;
    let mut code = code.ok_or_else(|| Error::NoCode { path: path() })?;
    let format = match unit.format {
        FlashFormat::Qcow2 => Format::Qcow2,
        _ => Format::Raw,
    };
    code.format = Known::new(format, file.part("its first bytes"));
    Ok(code)
}

fn verdict(source: &Side, sides: Vec<Side>, spec: &SideSpec) -> Result<Option<Checked>> {
    let sides = gather::adapted(sides, spec, &Options::default(), source)?;
    let judged = judged(source, sides);
    let chosen = chosen(source, &judged);
    Ok(chosen.map(|(side, verdict)| Checked::new(source, side, verdict, Vec::new())))
}
