//! The processor mode of the early phases: 32-bit in `IA32X64` builds, which most encrypted guests cannot run.

use fm_formats::image::Arch;
use fm_remedy::{Action, Remedy};

use super::text;
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Confidential, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some(from), Some(to)) = (
        pair.source.code.early_arch.fact(),
        pair.destination.code.early_arch.fact(),
    ) else {
        // The modes matter to encrypted guests only; their rule asks for what it needs.
        return;
    };
    // Plain SEV works below a 32-bit PEI phase, where all memory counts as private. SEV-ES needs the
    // exception handlers of a 64-bit SEC phase, SEV-SNP builds on it, and TDX starts in 64-bit mode
    // (edk2 `OvmfPkg/ResetVector`).
    let needs_64_bit = matches!(
        pair.source.confidential.value(),
        Some(Confidential::SevEs | Confidential::SevSnp | Confidential::Tdx)
    );
    let outcome = if needs_64_bit && to.value == Arch::Ia32 {
        Outcome::Incompatible
    } else {
        Outcome::Compatible
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about(
            "the processor mode of SEC and PEI",
            "the guest's system never sees it, but SEV-ES, SEV-SNP and TDX guests must start in 64-bit mode",
        )
        .source(Some(from), text)
        .destination(Some(to), text);
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            "use a firmware that is X64 throughout, as this shows",
            Action::Inspect { path: None },
        ))
    });
}
