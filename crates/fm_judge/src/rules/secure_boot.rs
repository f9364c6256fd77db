//! Secure Boot support lost or gained.

use fm_formats::image::{Arch, Feature};
use fm_remedy::{Action, Remedy};

use super::text;
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some(from), Some(to)) = (
        pair.source.code.features.fact(),
        pair.destination.code.features.fact(),
    ) else {
        return;
    };
    let (had, has) = (
        from.value.has(Feature::SecureBoot),
        to.value.has(Feature::SecureBoot),
    );
    let keys = pair.source.vars.keys.value() == Some(&true);
    let outcome = if had && !has {
        Outcome::Caution
    } else {
        Outcome::Compatible
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about(
            "Secure Boot",
            match (had, has) {
                (true, false) if keys => {
                    "keys are enrolled, but this build does not verify what it boots, and sealed secrets stay sealed"
                }
                (true, false) => "this build cannot verify what it boots",
                (false, true) => "this build can verify what it boots, once keys are enrolled",
                _ => "support for Secure Boot does not change",
            },
        )
        .source(Some(from), text)
        .destination(Some(to), text);
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            alloc::format!(
                "use a build with Secure Boot, such as {}, or keep the guest's build",
                match pair.source.code.arch.value() {
                    Some(Arch::Aarch64 | Arch::Arm) => "AAVMF_CODE.secboot.fd",
                    _ => "OVMF_CODE_4M.secboot.fd",
                }
            ),
            Action::Capture { guest: None },
        ))
    });
}
