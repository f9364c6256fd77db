//! What judging a change needs to know of guests and builds, in the words of a report.

use fm_api::v1::fleet::{BuildFacts, GuestFacts, Rest};
use fm_check::Images;
use fm_judge::{CodeUnit, Soundness, StoreState, VarsAccess};
use fm_store::Build;

/// Of a guest that runs; nothing if it cannot be looked at.
pub(super) fn of_guest(pid: u32, images: &Images) -> Option<GuestFacts> {
    let guest = fm_host::find(&pid.to_string()).ok()?;
    let facts = fm_check::guest_facts(&guest, images).ok()?;
    let vars = &facts.vars;
    let is_sound = || {
        let state = vars.state.value()? == &StoreState::Good;
        let whole = vars.damage.value().is_none_or(Vec::is_empty);
        let settled = vars.interrupted.value().is_none_or(Option::is_none);
        Some(state && whole && settled)
    };
    Some(GuestFacts {
        vars_size_bytes: vars.size_bytes.value().copied(),
        vars_used_bytes: vars.used_bytes.value().copied(),
        vars_largest_bytes: vars.largest_bytes.value().copied(),
        vars_sound: is_sound(),
        vars_authenticated: vars.authenticated.value().copied(),
        vars_keys: vars.keys.value().copied(),
        vars_kept: vars.access.value().map(|access| *access == VarsAccess::Written),
        smm: facts.smm.value().copied(),
        secure_flash: facts.secure_flash.value().copied(),
        s3: facts.s3.value().copied(),
        tpm: facts.tpm.value().copied(),
        confidential: facts.confidential.value().map(ToString::to_string),
        adopted: None,
        owner: None,
        rest: Rest::new(),
    })
}

/// Of a build in the store; nothing if it cannot be read as firmware.
pub(super) fn of_build(build: &Build) -> Option<BuildFacts> {
    let unit = fm_check::code_file(&build.code.path, None).ok()?;
    Some(of_code(&unit))
}

fn of_code(unit: &CodeUnit) -> BuildFacts {
    BuildFacts {
        arch: unit.arch.value().map(|arch| arch.name().to_owned()),
        early_arch: unit.early_arch.value().map(|arch| arch.name().to_owned()),
        layout: unit.layout.value().map(|layout| layout.name().to_owned()),
        features: unit
            .features
            .value()
            .map(|features| features.iter().map(|feature| feature.name().to_owned()).collect()),
        is_whole: unit.soundness.value().map(|found| *found == Soundness::Whole),
        finishes_reclaim: unit.finishes_reclaim.value().copied(),
        is_recent: unit.is_recent.value().copied(),
        checks_list: unit.checks_list.value().copied(),
    }
}
