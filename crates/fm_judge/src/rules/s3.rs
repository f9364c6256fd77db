//! SMM builds that are 64-bit throughout, on a machine that offers suspend to RAM.

use fm_formats::image::{Arch, Feature};
use fm_remedy::{Action, Input, Remedy, Setting};

use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Outcome, Phase};

#[allow(clippy::trivially_copy_pass_by_ref)] // the renderer of a fact takes a reference
fn switch(on: &bool) -> alloc::string::String {
    if *on { "S3 on" } else { "S3 off" }.into()
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    let (Some(features), Some(early)) = (to.code.features.fact(), to.code.early_arch.fact()) else {
        return;
    };
    if !features.value.has(Feature::Smm) || early.value != Arch::X86_64 {
        return;
    }
    let (offers, handles) = (to.s3.value().copied(), to.code.is_recent.value().copied());
    let outcome = match (offers, handles) {
        (Some(false), _) | (_, Some(true)) => Outcome::Compatible,
        (Some(true), Some(false)) => Outcome::Incompatible,
        _ => Outcome::Unknown,
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about(
            "suspend to RAM",
            match (outcome, offers) {
                (Outcome::Compatible, Some(false)) => {
                    "the machine does not offer S3, which 64-bit SMM builds of many years cannot handle"
                }
                (Outcome::Compatible, _) => "the build is young enough to come up on a machine that offers S3",
                (Outcome::Incompatible, _) => {
                    "64-bit SMM builds of its age hang on a machine that offers S3, before they print or write anything"
                }
                _ => "64-bit SMM builds of many years hang on a machine that offers S3, and whether this one is or does is not known",
            },
        )
        .source(Some(features), super::text)
        .destination(to.s3.fact(), switch);
        if outcome == Outcome::Compatible {
            return draft;
        }
        let draft = draft.remedy(
            Remedy::new("start it without S3, and say so", Action::Configure(Setting::NoS3))
                .then(Action::Give(Input::S3("off"))),
        );
        if outcome == Outcome::Incompatible {
            return draft.effect(Effect::DeadUntouched);
        }
        draft
    });
}
