//! Variables that a store of another layout has no room for.

use super::{hex, store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};
use fm_formats::image::Layout;
use fm_remedy::{Action, Remedy};

/// What a layout has room for: all variables together, and a single one with header and name.
///
/// Sources: edk2 `OvmfPkg/Include/Fdf/VarStore.fdf.inc` (store size less its header), and
/// `PcdMaxVariableSize`/`PcdMaxAuthVariableSize` in `OvmfPkg/OvmfPkgX64.dsc`, `ArmVirtPkg/ArmVirt.dsc.inc`.
fn room(layout: Layout) -> (u64, u64) {
    match layout {
        Layout::X86Size1M | Layout::X86Size2M => (0xdf9c, 0x2800),
        Layout::X86Size4M => (0x3_ff9c, 0x8400),
        Layout::ArmVirt | Layout::Riscv | Layout::Loongarch => (0x3_ff9c, 0x2800),
    }
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let Some(code) = pair.destination.code.layout.fact() else {
        return;
    };
    if !store_layout::uses_store(pair.destination) {
        return;
    }
    let vars = &pair.source.vars;
    let (all, one) = room(code.value);
    for (name, size, limit) in [
        ("the room for all variables", vars.used_bytes.fact(), all),
        (
            "the room for the largest variable",
            vars.largest_bytes.fact(),
            one,
        ),
    ] {
        let Some(size) = size else { continue };
        let fits = size.value <= limit;
        report.find(
            Phase::ColdBoot,
            if fits {
                Outcome::Compatible
            } else {
                Outcome::Incompatible
            },
            || {
                let draft = FindingDraft::about(
                    name,
                    "what the destination's layout has no room for cannot be taken along",
                )
                .source(Some(size), hex)
                .destination(Some(code), |layout| {
                    alloc::format!("{limit:#x} in layout {layout}")
                });
                if fits {
                    return draft;
                }
                draft.remedy(Remedy::new(
                    "see what is large and not needed, and delete that first",
                    Action::ListVars {
                        vars: subject(&vars.path),
                    },
                ))
            },
        );
    }
}
