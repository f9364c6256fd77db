//! A reclaim of the variables that a power cut or a kill interrupted: which builds finish it, and what the others lose.
//!
//! 'The spare is the truth' is edk2's protocol. Builds with FaultTolerantWritePei (the SMM ones) hold to it; the
//! others read the main area before `FaultTolerantWriteDxe` restores it, and the flash driver, which comes first,
//! makes everything anew where the volume header is gone.

use fm_formats::image::Arch;
use fm_formats::varstore::Interrupted;

use fm_remedy::{Action, Remedy};

use super::{missing, store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "an interrupted rewrite of the variables";
    let to = pair.destination;
    let Some(interrupted) = to.vars.interrupted.fact() else {
        return;
    };
    let Some(how_far) = interrupted.value else { return };
    if !store_layout::uses_store(to) {
        return;
    }
    let remedy = || {
        Remedy::new(
            "put the whole copy into its place first",
            Action::RepairVars {
                vars: subject(&to.vars.path),
            },
        )
    };
    let (Some(arch), Some(finishes)) = (to.code.arch.value(), to.code.finishes_reclaim.value()) else {
        report.find(Phase::ColdBoot, Outcome::Unknown, || {
            missing(SUBJECT, false, true)
                .destination(Some(interrupted), words)
                .remedy(remedy())
        });
        return;
    };
    let (outcome, effect, why) = foretell(how_far, *arch, *finishes, to.code.is_recent.value().copied());
    report.find(Phase::ColdBoot, outcome, || {
        let mut told = FindingDraft::about(SUBJECT, why).destination(Some(interrupted), words);
        told.effect = effect;
        if outcome == Outcome::Compatible {
            return told;
        }
        told.remedy(remedy())
    });
}

fn foretell(
    how_far: Interrupted,
    arch: Arch,
    finishes: bool,
    recent: Option<bool>,
) -> (Outcome, Option<Effect>, &'static str) {
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
