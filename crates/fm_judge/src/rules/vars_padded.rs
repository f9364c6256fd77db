//! A VARS file that is longer than the store in it: PCs map flash by the file's length.

use fm_formats::image::Feature;

use fm_remedy::Remedy;

use super::{hex, store_layout};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    let (Some(size), Some(layout), Some(arch)) = (
        to.vars.size_bytes.fact(),
        to.vars.layout.fact(),
        to.code.arch.value(),
    ) else {
        return;
    };
    let own = layout.value.vars_size_bytes();
    // The `virt` boards have chips of one size, and other rules speak of files that do not fill them.
    if !store_layout::uses_store(to) || !arch.is_x86() || !layout_is_pc(layout.value) || size.value <= own {
        return;
    }
    // Where the firmware looks are the file's last bytes: padding alone if that is as long as a store, which is a blank
    // one to it, else the store's own end.
    let smm = to
        .code
        .features
        .value()
        .is_some_and(|features| features.has(Feature::Smm));
    let effect = match (size.value >= own.saturating_mul(2), smm) {
        (true, false) => Effect::Volatile,
        (true, true) => Effect::DeadUntouched,
        (false, _) => Effect::DeadWritten,
    };
    report.find(Phase::ColdBoot, Outcome::Incompatible, || {
        FindingDraft::about(
            "the length of the VARS file",
            "QEMU makes the flash device as long as its file and puts its end below CODE, so the store lies lower than the firmware looks for it",
        )
        .source(Some(layout), |layout| {
            alloc::format!("a store of {:#x} bytes, layout {layout}", layout.vars_size_bytes())
        })
        .destination(Some(size), hex)
        .effect(effect)
        .remedy(Remedy::advice(alloc::format!(
            "give QEMU the store's own length, size={own} on its raw node, or cut the file to {own} bytes (`truncate -s`)"
        )))
    });
}

fn layout_is_pc(layout: fm_formats::image::Layout) -> bool {
    use fm_formats::image::Layout::{X86Size1M, X86Size2M, X86Size4M};
    matches!(layout, X86Size1M | X86Size2M | X86Size4M)
}
