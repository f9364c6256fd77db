//! Damage inside the list of variables: who reads on, who stops, and who makes a new store for it.

use alloc::string::ToString;
use alloc::vec::Vec;

use fm_formats::image::Feature;
use fm_varstore::{Damage, DamageKind};

use fm_remedy::{Action, Remedy};

use super::store_damage::{Speaker, speaker};
use super::{missing, store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Facts, Outcome, Phase};

const SUBJECT: &str = "the list of variables";

/// What damage comes to: the outcome, what becomes of guest and variables where runs show it, and why.
type Foretold = (Outcome, Option<Effect>, &'static str);

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    if !store_layout::uses_store(to) {
        return;
    }
    let Some(damage) = to.vars.damage.fact() else {
        return;
    };
    let inside: Vec<Damage> = damage
        .value
        .iter()
        .copied()
        .filter(|damage| speaker(damage.kind) == Speaker::List)
        .collect();
    unreached(to, &inside, report);
    if inside.is_empty() {
        return;
    }
    let remedy = || {
        Remedy::new(
            "mend it first, with a backup kept",
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
    for one in &inside {
        let (outcome, effect, why) = if arch.is_x86() {
            on_x86(one.kind, to, &inside)
        } else {
            on_virt(one.kind, to)
        };
        report.find(Phase::ColdBoot, outcome, || {
            let mut told = FindingDraft::about(SUBJECT, why).destination(Some(damage), |_| one.to_string());
            told.effect = effect;
            if outcome == Outcome::Compatible {
                return told;
            }
            if one.kind == DamageKind::CertRecord {
                return told.remedy(
                    "delete that variable, with a backup kept: the firmware makes a new one, and private authenticated variables have to be set again by their owners",
                );
            }
            told.remedy(remedy())
        });
    }
}

/// Variables that firmware does not reach, with nothing in the list that says why: they are never passed over.
fn unreached(to: &Facts, inside: &[Damage], report: &mut Report) {
    let Some(behind) = to.vars.behind_damage.fact().filter(|behind| behind.value > 0) else {
        return;
    };
    let ends = |damage: &Damage| matches!(damage.kind, DamageKind::Gap | DamageKind::VariableCut);
    if inside.iter().any(ends) {
        return;
    }
    report.find(Phase::ColdBoot, Outcome::Unknown, || {
        FindingDraft::about(
            SUBJECT,
            "variables lie where firmware does not look for them, and no run shows what becomes of them",
        )
        .destination(Some(behind), |count| alloc::format!("{count} variables"))
        .remedy(Remedy::new(
            "mend it first, with a backup kept",
            Action::RepairVars {
                vars: subject(&to.vars.path),
            },
        ))
    });
}

/// Whether variables lie behind damage.
fn loses(to: &Facts) -> bool {
    to.vars.behind_damage.value() != Some(&0)
}

/// Source: edk2 `MdeModulePkg/Universal/Variable/RuntimeDxe/VariableParsing.c`, `GetNextVariablePtr`,
/// `IsValidVariableHeader`: the sizes lead from one variable to the next, whatever name and state say.
fn on_x86(kind: DamageKind, to: &Facts, inside: &[Damage]) -> Foretold {
    let stops = inside.iter().any(|damage| damage.kind == DamageKind::Gap);
    match kind {
        DamageKind::NameUnterminated
        | DamageKind::NameOdd
        | DamageKind::StateImpossible
        | DamageKind::HeaderTorn => (
            Outcome::Caution,
            Some(Effect::Kept),
            "firmware for PCs reads on behind it: all other variables are there",
        ),
        DamageKind::NameSplit => split_on_x86(to),
        DamageKind::Gap if loses(to) => (
            Outcome::Incompatible,
            Some(Effect::PartlyLost),
            "the firmware stops reading there, and the first boot drops for good what lies behind",
        ),
        DamageKind::Gap => (
            Outcome::Caution,
            Some(Effect::Kept),
            "the firmware rewrites the whole store at its first boot, which can take minutes, and keeps the variables",
        ),
        // The header that a page of zeros cuts through looks like it; there the list ends.
        DamageKind::NameEmpty | DamageKind::NameBlank if stops => (
            Outcome::Caution,
            None,
            "the variable has lost its name and its content",
        ),
        DamageKind::NameEmpty | DamageKind::NameBlank => (
            Outcome::Incompatible,
            Some(Effect::DeadWritten),
            "whoever asks for all variables one after the other starts over at an empty name: the guest hangs as it boots",
        ),
        DamageKind::NameTwice => (
            Outcome::Incompatible,
            None,
            "whoever asks for all variables one after the other is sent back to the first of that name: the guest hangs as it boots",
        ),
        DamageKind::CertRecord => CERT_RECORD,
        DamageKind::VariableCut => (
            Outcome::Incompatible,
            Some(Effect::DeadUntouched),
            "the firmware follows a size that leads out of the store, and dies of it or never comes to a console, now and at every later boot",
        ),
        _ => (
            Outcome::Unknown,
            None,
            "no run shows what firmware makes of such a variable",
        ),
    }
}

/// edk2's shell, asked for all variables, ended at such a name; what lay behind it stayed in the store.
const SPLIT: Foretold = (
    Outcome::Caution,
    Some(Effect::Kept),
    "all variables stay, but whoever asks for them one after the other may not get past that name, and not see what lies behind it",
);

/// Who asks for the next variable hands the name over as far as its first terminator where the driver runs in system
/// management mode.
fn split_on_x86(to: &Facts) -> Foretold {
    let features = to.code.features.value();
    match features.map(|features| features.has(Feature::Smm)) {
        Some(true) => (
            Outcome::Incompatible,
            Some(Effect::DeadWritten),
            "whoever asks for all variables one after the other does not get past such a name in a build with system management mode: the guest hangs as it boots",
        ),
        Some(false) => SPLIT,
        None => (
            Outcome::Unknown,
            None,
            "a build with system management mode hangs on it, and whether this is one is not known",
        ),
    }
}

/// Debian's build of 2022.11 for PCs prints nothing any more where an entry has the length 0, and comes up where one has a
/// length that leaves the record.
const CERT_RECORD: Foretold = (
    Outcome::Unknown,
    None,
    "the firmware goes through it by its lengths as it starts: a build was seen that hangs where one is 0, and what others do is not known",
);

/// Source: edk2 `OvmfPkg/VirtNorFlashDxe/VirtNorFlashFvb.c`, `ValidateFvHeader`, since stable202402.
fn on_virt(kind: DamageKind, to: &Facts) -> Foretold {
    let walks = to.code.checks_list.value().copied();
    match (kind, walks) {
        (DamageKind::CertRecord, _) => CERT_RECORD,
        (DamageKind::NameTwice, _) => (
            Outcome::Incompatible,
            None,
            "whoever asks for all variables one after the other is sent back to the first of that name: the guest hangs as it boots",
        ),
        // Both pass the check, which looks at the last unit of a name.
        (DamageKind::NameBlank, _) => (
            Outcome::Incompatible,
            Some(Effect::DeadWritten),
            "whoever asks for all variables one after the other starts over at an empty name: the guest hangs as it boots",
        ),
        (DamageKind::NameSplit, _) => SPLIT,
        (_, None | Some(false)) => (
            Outcome::Unknown,
            None,
            "builds since edk2-stable202402 make a new store for it, without any variable; whether this build is one of them does not show",
        ),
        (DamageKind::Gap, Some(true)) if loses(to) => (
            Outcome::Incompatible,
            Some(Effect::PartlyLost),
            "the firmware stops reading there, and the first boot drops for good what lies behind",
        ),
        (DamageKind::Gap | DamageKind::HeaderTorn, Some(true)) => (
            Outcome::Caution,
            Some(Effect::Kept),
            "the firmware keeps the variables",
        ),
        (_, Some(true)) => (
            Outcome::Incompatible,
            Some(Effect::Recreated),
            "the flash driver walks the list as it starts, takes this for a broken store, and makes a new one: the guest boots with all variables lost",
        ),
    }
}
