//! A reclaim of the variables that a power cut or a kill interrupted: which builds finish it, and what the others lose.
//!
//! 'The spare is the truth' is edk2's protocol. Builds with FaultTolerantWritePei (the SMM ones) hold to it; the
//! others read the main area before `FaultTolerantWriteDxe` restores it, and the flash driver, which comes first,
//! makes everything anew where the volume header is gone.

use alloc::string::ToString;

use fm_formats::image::{Arch, Feature};
use fm_varstore::{Damage, DamageKind, Interrupted};

use fm_remedy::{Action, Remedy};

use super::store_damage::{Speaker, of_main, speaker};
use super::{missing, store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Facts, Outcome, Phase};

const SUBJECT: &str = "an interrupted rewrite of the variables";

/// What it comes to: the outcome, what becomes of guest and variables where runs show it, and why.
type Foretold = (Outcome, Option<Effect>, &'static str);

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    queue(to, report);
    let Some(interrupted) = to.vars.interrupted.fact() else {
        return;
    };
    let Some(how_far) = interrupted.value else { return };
    if !store_layout::uses_store(to) {
        return;
    }
    let remedy = || remedy(to, "put the whole copy into its place first");
    let (Some(arch), Some(finishes)) = (to.code.arch.value(), to.code.finishes_reclaim.value()) else {
        report.find(Phase::ColdBoot, Outcome::Unknown, || {
            missing(SUBJECT, false, true)
                .destination(Some(interrupted), words)
                .remedy(remedy())
        });
        return;
    };
    let whole = foretell(how_far, *arch, *finishes, to.code.is_recent.value().copied());
    let (outcome, effect, why) =
        main_list(how_far, *arch, *finishes, to).map_or(whole, |told| told.max(whole));
    report.find(Phase::ColdBoot, outcome, || {
        let mut told = FindingDraft::about(SUBJECT, why).destination(Some(interrupted), words);
        told.effect = effect;
        if outcome == Outcome::Compatible {
            return told;
        }
        told.remedy(remedy())
    });
}

fn remedy(to: &Facts, advice: &'static str) -> Remedy {
    Remedy::new(
        advice,
        Action::RepairVars {
            vars: subject(&to.vars.path),
        },
    )
}

/// A queue that has the firmware put something over the main area that is no copy of its variables.
fn queue(to: &Facts, report: &mut Report) {
    let Some(damage) = to.vars.damage.fact().filter(|_| store_layout::uses_store(to)) else {
        return;
    };
    let wrong = damage
        .value
        .iter()
        .filter(|damage| speaker(damage.kind) == Speaker::Interrupted);
    for one in wrong {
        let (outcome, effect, why) = overwritten(one.kind, to);
        report.find(Phase::ColdBoot, outcome, || {
            let mut told = FindingDraft::about(SUBJECT, why).destination(Some(damage), |_| one.to_string());
            told.effect = effect;
            told.remedy(remedy(to, "have the queue start fresh first"))
        });
    }
}

fn overwritten(kind: DamageKind, to: &Facts) -> Foretold {
    let smm = to
        .code
        .features
        .value()
        .map(|features| features.has(Feature::Smm));
    let effect = match (kind, to.code.arch.value(), smm) {
        (DamageKind::SpareDamaged, Some(Arch::Aarch64), _) => Some(Effect::DeadErased),
        (DamageKind::SpareDamaged, Some(arch), Some(true)) if arch.is_x86() => Some(Effect::DeadErased),
        (DamageKind::SpareDamaged, Some(arch), Some(false)) if arch.is_x86() => Some(Effect::Recreated),
        (DamageKind::FtwForeign, Some(arch), Some(false)) if arch.is_x86() => Some(Effect::PartlyLost),
        _ => None,
    };
    let why = match kind {
        DamageKind::SpareDamaged => {
            "the firmware puts what is in the spare over the variables, and it is no store: the guest dies of it or boots with all variables lost"
        }
        _ => "the firmware puts what is in the spare over a part of the variables: what lay there is lost",
    };
    (Outcome::Incompatible, effect, why)
}

/// What a list in the main area comes to that is not as a power cut leaves it, where the build reads it before the whole
/// copy is put over it.
fn main_list(how_far: Interrupted, arch: Arch, finishes: bool, to: &Facts) -> Option<Foretold> {
    if how_far == Interrupted::MainErased || arch == Arch::Riscv64 {
        return None;
    }
    if to.vars.main_damage.value().is_none() {
        return Some((
            Outcome::Unknown,
            None,
            "what is left in the main area is not known, and the build looks at it first",
        ));
    }
    let inside = of_main(to)
        .iter()
        .filter(|damage| speaker(damage.kind) == Speaker::List);
    if !arch.is_x86() {
        return inside
            .filter_map(|damage| walked(damage, to.code.checks_list.value().copied()))
            .max();
    }
    // Builds with FaultTolerantWritePei do not read it; half a list costs the others what is not in it, whatever its end.
    let reads = !finishes && matches!(how_far, Interrupted::MainOld | Interrupted::MainFull);
    inside.filter(|_| reads).filter_map(read_on_x86).max()
}

/// Source: edk2 `OvmfPkg/VirtNorFlashDxe/VirtNorFlashFvb.c`, `ValidateFvHeader`: the flash driver comes before the
/// fault-tolerant write.
fn walked(damage: &Damage, walks: Option<bool>) -> Option<Foretold> {
    match (damage.kind, walks) {
        (DamageKind::HeaderTorn | DamageKind::NameTwice | DamageKind::CertRecord, _) => None,
        // The names pass the check.
        (DamageKind::Gap | DamageKind::NameSplit | DamageKind::NameBlank, _) => Some((
            Outcome::Unknown,
            None,
            "no run shows what the flash driver makes of such a main area before the whole copy is put in its place",
        )),
        (_, Some(true)) => Some((
            Outcome::Incompatible,
            Some(Effect::Recreated),
            "the flash driver walks the list in the main area as it starts, takes it for a broken store, and makes a new one over the whole copy in the spare: the guest boots with all variables lost",
        )),
        (_, None | Some(false)) => Some((
            Outcome::Unknown,
            None,
            "builds since edk2-stable202402 make a new store for what is left in the main area, without any variable; whether this build is one of them does not show",
        )),
    }
}

fn read_on_x86(damage: &Damage) -> Option<Foretold> {
    match damage.kind {
        DamageKind::NameUnterminated | DamageKind::StateImpossible | DamageKind::HeaderTorn => None,
        DamageKind::Gap
        | DamageKind::NameEmpty
        | DamageKind::NameBlank
        | DamageKind::NameTwice
        | DamageKind::VariableCut => Some((
            Outcome::Incompatible,
            None,
            "a build without FaultTolerantWritePei reads the main area, whose list is damaged, while the whole copy is put over it, and never comes to a console",
        )),
        _ => Some((
            Outcome::Unknown,
            None,
            "a build without FaultTolerantWritePei reads the main area, whose list is damaged, while the whole copy is put over it; no run shows what that comes to",
        )),
    }
}

fn foretell(how_far: Interrupted, arch: Arch, finishes: bool, recent: Option<bool>) -> Foretold {
    match (how_far, arch.is_x86()) {
        (Interrupted::MainErased, true) => (
            Outcome::Incompatible,
            Some(Effect::DeadErased),
            "the flash driver finds no volume header, erases everything, the whole copy in the spare too, and the guest dies",
        ),
        (Interrupted::MainErased, false) => (
            Outcome::Incompatible,
            Some(Effect::Recreated),
            "the flash driver finds no volume header and makes a new store over the whole copy in the spare: the guest boots with all variables lost",
        ),
        (_, false) if arch == Arch::Riscv64 => (
            Outcome::Incompatible,
            Some(Effect::DeadUntouched),
            "builds for RISC-V die when they are to put the whole copy in its place, at every start, and write nothing",
        ),
        (_, false) => (
            Outcome::Compatible,
            Some(Effect::Kept),
            "the firmware puts the whole copy in its place before it reads variables",
        ),
        (how_far, true) if finishes && how_far != Interrupted::MainWritten => (
            Outcome::Compatible,
            Some(Effect::Kept),
            "the build has FaultTolerantWritePei and reads the whole copy in the spare",
        ),
        (Interrupted::MainHeaders, true) => (
            Outcome::Incompatible,
            Some(Effect::Recreated),
            "a build without FaultTolerantWritePei reads the main area, where not one variable is yet: the guest boots with all variables lost",
        ),
        (Interrupted::MainHalf, true) => (
            Outcome::Incompatible,
            Some(Effect::PartlyLost),
            "a build without FaultTolerantWritePei reads the half-written main area, and what is only in the whole copy is lost",
        ),
        (Interrupted::MainFull, true) if recent == Some(false) => (
            Outcome::Incompatible,
            Some(Effect::DeadWritten),
            "a build without FaultTolerantWritePei takes the old main area, which is full, for what is there while the whole copy is put over it, and never comes to a console; the variables stay",
        ),
        (Interrupted::MainFull, true) => (
            Outcome::Unknown,
            None,
            "a build without FaultTolerantWritePei takes the old main area, which is full, for what is there while the whole copy is put over it; what this one comes to is not recorded",
        ),
        (Interrupted::MainOld, true) => (
            Outcome::Caution,
            Some(Effect::FirstBootLost),
            "a build without FaultTolerantWritePei reads the old main area while the whole copy is put over it: the variables stay, and what the first boot writes is lost at the next",
        ),
        (Interrupted::MainWritten, true) => (
            Outcome::Compatible,
            Some(Effect::Kept),
            "the copy is in its place already, and puts nothing else there when it is written once more",
        ),
    }
}

fn words(interrupted: &Option<Interrupted>) -> alloc::string::String {
    match interrupted {
        None => "none",
        Some(Interrupted::MainWritten) => "the whole copy in the spare, the main area the same",
        Some(Interrupted::MainOld) => "the whole copy in the spare, the main area old",
        Some(Interrupted::MainFull) => "the whole copy in the spare, the main area old and full",
        Some(Interrupted::MainHalf) => "the whole copy in the spare, the main area half written",
        Some(Interrupted::MainHeaders) => {
            "the whole copy in the spare, the main area with its headers and no variable"
        }
        Some(Interrupted::MainErased) => "the whole copy in the spare, the main area erased",
    }
    .into()
}
