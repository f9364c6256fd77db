//! RAM blocks that are neither flash nor option ROMs: memory, video memory, a device's buffers.

use crate::report::{Pair, Report};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    super::rom_size::compare(pair, report, |name| {
        !super::rom_size::is_rom(name) && !is_named_elsewhere(name)
    });
}

/// Blocks that a rule of their own speaks of.
fn is_named_elsewhere(name: &str) -> bool {
    matches!(
        name,
        "system.flash0" | "system.flash1" | "virt.flash0" | "virt.flash1" | "pc.bios" | "isa-bios"
    )
}
