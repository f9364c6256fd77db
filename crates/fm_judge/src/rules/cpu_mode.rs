//! The processor mode of the early phases: 32-bit in `IA32X64` builds, which encrypted guests cannot run.

use super::text;
use crate::finding::Told;
use crate::report::{Pair, Report};
use crate::{Confidential, Outcome, Phase};
use fm_formats::image::Arch;

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some(from), Some(to)) = (
        pair.source.code.early_arch.fact(),
        pair.destination.code.early_arch.fact(),
    ) else {
        // The modes matter to encrypted guests only; their rule asks for what it needs.
        return;
    };
    let encrypted = pair
        .source
        .confidential
        .value()
        .is_some_and(|kind| *kind != Confidential::No);
    let outcome = if encrypted && to.value == Arch::Ia32 {
        Outcome::Incompatible
    } else {
        Outcome::Compatible
    };
    report.find(Phase::ColdBoot, outcome, || {
        let told = Told::about(
            "the processor mode of SEC and PEI",
            "the guest's system never sees it, but SEV and TDX guests must start in 64-bit mode",
        )
        .source(Some(from), text)
        .destination(Some(to), text);
        if outcome == Outcome::Compatible {
            return told;
        }
        told.remedy("use a firmware that is X64 throughout")
    });
}
