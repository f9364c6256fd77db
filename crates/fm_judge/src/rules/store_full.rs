//! Variables that a store of another layout has no room for.

use fm_formats::image::Layout;
use fm_remedy::{Action, Remedy};

use super::{hex, store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

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

/// With less room than this beside the live variables boots were seen that did not come to a console. The first boot of a guest
/// with hardly a device takes 0x2b24 bytes (Debian's OVMF 2022.11): with 0x2104 it came to no shell in a quarter of an hour,
/// with 0x4004 it did in 25 s.
const NEARLY_FULL_BYTES: u64 = 0x4000;

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let Some(code) = pair.destination.code.layout.fact() else {
        return;
    };
    if !store_layout::uses_store(pair.destination) {
        return;
    }
    let vars = &pair.source.vars;
    let (all, one) = room(code.value);
    if let Some(size) = vars.used_bytes.fact() {
        let free_bytes = all.checked_sub(size.value);
        let outcome = match free_bytes {
            None => Outcome::Incompatible,
            Some(..NEARLY_FULL_BYTES) => Outcome::Unknown,
            Some(_) => Outcome::Compatible,
        };
        report.find(Phase::ColdBoot, outcome, || {
            let draft = FindingDraft::about(
                "the room for all variables",
                if outcome == Outcome::Unknown {
                    "hardly any room is left for what a boot writes, and no reclaim can win more: builds were seen not to come to a console"
                } else {
                    "what the destination's layout has no room for cannot be taken along"
                },
            )
            .source(Some(size), hex)
            .destination(Some(code), |layout| alloc::format!("{all:#x} in layout {layout}"));
            if outcome == Outcome::Compatible {
                return draft;
            }
            draft.remedy(see_what_is_large(vars))
        });
    }
    let Some(size) = vars.largest_bytes.fact() else {
        return;
    };
    // The limit binds `SetVariable` alone: firmware reads and keeps what was written offline. In a store that is of the
    // layout already nothing changes.
    let changes = !vars
        .layout
        .value()
        .is_some_and(|layout| store_layout::same_store(*layout, code.value));
    let outcome = if size.value > one && changes {
        Outcome::Caution
    } else {
        Outcome::Compatible
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about(
            "the room for the largest variable",
            if size.value > one {
                "firmware reads and keeps a variable beyond its limit, but the guest itself cannot write it again"
            } else {
                "the guest can write its largest variable again"
            },
        )
        .source(Some(size), hex)
        .destination(Some(code), |layout| {
            alloc::format!("{one:#x} in layout {layout}")
        });
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(see_what_is_large(vars))
    });
}

fn see_what_is_large(vars: &crate::VarsUnit) -> Remedy {
    Remedy::new(
        "see what is large and not needed, and delete that first",
        Action::ListVars {
            vars: subject(&vars.path),
        },
    )
}
