//! SMM builds that are 64-bit throughout, on a machine that offers suspend to RAM.

use fm_formats::image::{Arch, Feature};

use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};
use fm_remedy::{Action, Input, Remedy, Setting};

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
    // Which builds hang does not show in the binary, so more than a caution would be a guess.
    let off = to.s3.value() == Some(&false);
    let outcome = if off {
        Outcome::Compatible
    } else {
        Outcome::Caution
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about(
            "suspend to RAM",
            if off {
                "the machine does not offer S3, which 64-bit SMM builds of some years cannot handle"
            } else {
                "64-bit SMM builds of some years (2022.11 among them, 2025.02 not) hang at once on a machine that offers S3"
            },
        )
        .source(Some(features), super::text)
        .destination(to.s3.fact(), switch);
        if off {
            return draft;
        }
        draft.remedy(
            Remedy::new("start it without S3, and say so", Action::Configure(Setting::NoS3))
                .then(Action::Give(Input::S3("off"))),
        )
    });
}
