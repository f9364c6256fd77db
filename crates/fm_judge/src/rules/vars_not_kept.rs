//! A VARS device whose writes QEMU refuses or drops: variables that do not last.

use fm_formats::image::{Arch, Feature};

use super::{store_layout, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Facts, Outcome, Phase, VarsAccess};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    let Some(access) = to.vars.access.fact() else {
        return;
    };
    if !store_layout::uses_store(to) || access.value == VarsAccess::Written {
        return;
    }
    let remedy = "leave out readonly=on, snapshot=on and -snapshot for the VARS drive";
    let (outcome, effect, why) = foretell(access.value, to);
    report.find(Phase::ColdBoot, outcome, || {
        let mut draft =
            FindingDraft::about("what becomes of what the guest writes", why).destination(Some(access), text);
        draft.effect = effect;
        draft.remedy(remedy)
    });
}

fn foretell(access: VarsAccess, to: &Facts) -> (Outcome, Option<Effect>, &'static str) {
    let volatile = |why| (Outcome::Caution, Some(Effect::Volatile), why);
    let dead = |why| (Outcome::Incompatible, Some(Effect::DeadUntouched), why);
    let unknown = (
        Outcome::Unknown,
        None,
        "the VARS device takes no writes; no run shows what such a build makes of that",
    );
    if access != VarsAccess::ReadOnly {
        return volatile(
            "QEMU drops what the guest writes to VARS when it ends: nothing that the guest sets lasts",
        );
    }
    let smm = to
        .code
        .features
        .value()
        .map(|features| features.has(Feature::Smm));
    match (to.code.arch.value(), smm, to.code.is_recent.value()) {
        (Some(Arch::Aarch64), ..) => {
            dead("the VARS device takes no writes, and firmware for Arm waits for them without end")
        }
        (Some(arch), Some(false), _) | (Some(arch), _, Some(false)) if arch.is_x86() => {
            volatile("the VARS device takes no writes: nothing that the guest sets lasts")
        }
        (Some(arch), Some(true), Some(true)) if arch.is_x86() => {
            dead("the VARS device takes no writes, and SMM builds since edk2-stable202405 die of that")
        }
        _ => unknown,
    }
}
