//! SMM builds need a machine with system management mode; the others must not meet secure flash.

use fm_formats::image::Feature;
use fm_remedy::{Action, Input, Remedy, Setting};

use super::text;
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Fact, Features, MachineFamily, Outcome, Phase};

fn without_secure_flash() -> Remedy {
    Remedy::new(
        "use an SMM build, or start it without protection of flash",
        Action::Configure(Setting::SecureFlash(false)),
    )
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the renderer of a fact takes a reference
fn switch(on: &bool) -> alloc::string::String {
    if *on { "on" } else { "off" }.into()
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    // After a live migration the source's build runs on the destination's machine: the guest arrives with
    // the mode that it was in, and the reset is what meets the machine.
    if let Some(features) = pair.source.code.features.fact() {
        machine(pair, report, Phase::WarmReset, features);
    }
    if let Some(features) = to.code.features.fact() {
        machine(pair, report, Phase::ColdBoot, features);
    }
}

fn machine(pair: &Pair<'_>, report: &mut Report, phase: Phase, features: &Fact<Features>) {
    let to = pair.destination;
    let needs = features.value.has(Feature::Smm);
    if needs
        && to
            .machine
            .value()
            .is_some_and(|machine| machine.family() == MachineFamily::I440fx)
    {
        report.find(phase, Outcome::Incompatible, || {
            FindingDraft::about(
                "system management mode",
                "only q35 has the memory that SMM builds need",
            )
            .source(Some(features), text)
            .destination(to.machine.fact(), text)
            .remedy(Remedy::new(
                "use a build without SMM, or a machine that has that mode",
                Action::Configure(Setting::Q35WithSmm),
            ))
        });
    }
    let outcome = match (needs, to.smm.value()) {
        (true, Some(true)) | (false, _) => Outcome::Compatible,
        (true, Some(false)) => Outcome::Incompatible,
        (true, None) => Outcome::Unknown,
    };
    report.find(phase, outcome, || {
        let draft = FindingDraft::about(
            "system management mode",
            match outcome {
                Outcome::Incompatible => {
                    "an SMM build does not come up on a machine without system management mode"
                }
                Outcome::Unknown => {
                    "the build needs system management mode, and whether the machine has it is not known"
                }
                _ => "the machine has what the build needs",
            },
        )
        .source(Some(features), text)
        .destination(to.smm.fact(), switch);
        if outcome == Outcome::Compatible {
            return draft;
        }
        let draft = draft.remedy(
            Remedy::new(
                "use a build without SMM, or start it on a machine that has that mode and say so",
                Action::Configure(Setting::Q35WithSmm),
            )
            .then(Action::Give(Input::Smm("on"))),
        );
        if (outcome, phase) == (Outcome::Incompatible, Phase::ColdBoot) {
            return draft.effect(Effect::DeadUntouched);
        }
        draft
    });
    let outcome = match (needs, to.secure_flash.value()) {
        (true, Some(true)) | (false, Some(false) | None) => Outcome::Compatible,
        (true, Some(false)) => Outcome::Caution,
        // A guest that arrived goes on; a cold boot never writes a variable.
        (false, Some(true)) if phase == Phase::WarmReset => Outcome::Caution,
        (false, Some(true)) => Outcome::Incompatible,
        (true, None) => Outcome::Unknown,
    };
    report.find(phase, outcome, || {
        let draft = FindingDraft::about(
            "secure flash",
            match (needs, outcome) {
                (_, Outcome::Compatible) => "the machine protects flash as the build expects",
                (true, Outcome::Caution) => "the guest's system could write the variable store past Secure Boot",
                (true, _) => "the build expects that only management mode writes flash, and whether it does is not known",
                (false, _) => "a build without SMM cannot write flash that only management mode may write: variables are silently volatile",
            },
        )
        .source(Some(features), text)
        .destination(to.secure_flash.fact(), switch);
        match (needs, outcome) {
            (_, Outcome::Compatible) => draft,
            (true, _) => draft.remedy(
                Remedy::new(
                    "start it so that only management mode writes flash, and say so",
                    Action::Configure(Setting::SecureFlash(true)),
                )
                .then(Action::Give(Input::SecureFlash("on"))),
            ),
            (false, _) if phase == Phase::ColdBoot => draft.remedy(without_secure_flash()).effect(Effect::Volatile),
            (false, _) => draft.remedy(without_secure_flash()),
        }
    });
}
