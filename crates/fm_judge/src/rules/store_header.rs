//! Headers of the store that say what no build writes: which of it firmware minds.

use alloc::string::ToString;

use fm_formats::image::{Arch, Feature};
use fm_varstore::{DamageKind, Geometry};

use fm_remedy::{Action, Remedy};

use super::store_damage::{Speaker, of_main, speaker};
use super::{missing, store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Facts, Outcome, Phase};

type Foretold = (Outcome, Option<Effect>, &'static str);

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the headers of the variable store";
    let to = pair.destination;
    if !store_layout::uses_store(to) {
        return;
    }
    let Some(damage) = to.vars.damage.fact() else {
        return;
    };
    // Flash drivers look at the main area, whatever the spare holds.
    let odd = damage
        .value
        .iter()
        .chain(of_main(to))
        .filter(|damage| speaker(damage.kind) == Speaker::Header);
    for one in odd {
        let remedy = || {
            Remedy::new(
                "write the store anew with the headers of its layout, a backup kept",
                Action::RepairVars {
                    vars: subject(&to.vars.path),
                },
            )
        };
        let Some(arch) = to.code.arch.value() else {
            report.find(Phase::ColdBoot, Outcome::Unknown, || {
                missing(SUBJECT, false, true).remedy(remedy())
            });
            return;
        };
        let (outcome, effect, why) = match one.kind {
            DamageKind::BlockMap => block_map(*arch),
            DamageKind::StoreSize => store_size(one.len_bytes, arch.is_x86(), to),
            DamageKind::VolumeAttributes => attributes(one.len_bytes, to),
            _ => (
                Outcome::Unknown,
                None,
                "no run shows what firmware makes of such a header",
            ),
        };
        report.find(Phase::ColdBoot, outcome, || {
            let mut told = FindingDraft::about(SUBJECT, why).destination(Some(damage), |_| one.to_string());
            told.effect = effect;
            if outcome == Outcome::Compatible {
                return told;
            }
            told.remedy(remedy())
        });
    }
}

/// Source: edk2 `OvmfPkg/QemuFlashFvbServicesRuntimeDxe/FwBlockService.c`, `FvbInitialize`, which compares the block
/// map with the length of its own blocks.
fn block_map(arch: Arch) -> Foretold {
    if arch == Arch::Aarch64 {
        (
            Outcome::Compatible,
            Some(Effect::Kept),
            "firmware for Arm does not look at the block map",
        )
    } else if arch.is_x86() {
        (
            Outcome::Incompatible,
            Some(Effect::DeadErased),
            "the flash driver takes blocks of another length for a broken volume, erases the store, and the guest dies",
        )
    } else {
        (
            Outcome::Unknown,
            None,
            "no run shows what firmware makes of such a block map",
        )
    }
}

/// How far beyond the store's area a size was seen to do no harm to a build without SMM.
const SEEN_BEYOND_BYTES: u64 = 0x1_0048;
/// No flash chip of a guest is as large: what names more was seen to lead firmware out of its memory.
const BEYOND_ALL_BYTES: u64 = 0x1000_0000;

/// What firmware for PCs makes of a size that lies `beyond_bytes` over its own area.
fn large_store_size(beyond_bytes: u64, to: &Facts) -> Foretold {
    let is_smm = to
        .code
        .features
        .value()
        .map(|features| features.has(Feature::Smm));
    match is_smm {
        Some(true) => (
            Outcome::Incompatible,
            Some(Effect::DeadUntouched),
            "builds with SMM follow a size that leads out of the store, die of it at every start, and write nothing",
        ),
        Some(false) if beyond_bytes <= SEEN_BEYOND_BYTES => (
            Outcome::Compatible,
            Some(Effect::Kept),
            "firmware takes no more than its own area for the store, and writes the size anew with its next reclaim",
        ),
        Some(false) if beyond_bytes >= BEYOND_ALL_BYTES => (
            Outcome::Incompatible,
            None,
            "firmware follows a size that leads out of its memory, and starts over for ever",
        ),
        _ => (
            Outcome::Unknown,
            None,
            "no run shows what firmware makes of a size so far beyond its area",
        ),
    }
}

/// Attributes of the volume that no build writes.
fn attributes(written: u64, to: &Facts) -> Foretold {
    let is_smm = to
        .code
        .features
        .value()
        .map(|features| features.has(Feature::Smm));
    if written == 0 && is_smm == Some(true) {
        return (
            Outcome::Incompatible,
            None,
            "builds with SMM die of a volume that may be neither read nor written",
        );
    }
    (
        Outcome::Unknown,
        None,
        "no run shows what firmware makes of such attributes",
    )
}

/// What the firmware makes of the size that the store header names.
fn store_size(named_bytes: u64, x86: bool, to: &Facts) -> Foretold {
    let expected = to
        .code
        .layout
        .value()
        .map(|layout| u64::from(Geometry::of(*layout).store_size_bytes()));
    match expected {
        Some(expected) if x86 && named_bytes > expected => {
            large_store_size(named_bytes.saturating_sub(expected), to)
        }
        _ if x86 && to.code.is_recent.value() == Some(&false) => (
            Outcome::Incompatible,
            Some(Effect::DeadWritten),
            "builds of before edk2-stable202405 find the store full: they print nothing and never come up",
        ),
        _ if x86 => (
            Outcome::Unknown,
            None,
            "builds differ: some boot, some find the store full, print nothing and damage it",
        ),
        _ => (
            Outcome::Incompatible,
            Some(Effect::Recreated),
            "the flash driver takes another size for a broken store and makes a new one: the guest boots with all variables lost",
        ),
    }
}
