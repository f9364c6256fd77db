//! Option ROMs and other ROM blocks: their sizes follow the packages of the host, not the guest.

use super::missing;
use crate::finding::{AT_BLOCK_TABLE, Seen, Told};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Block, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (source, destination) = (pair.source.blocks.fact(), pair.destination.blocks.fact());
    if source.is_some() && destination.is_some() {
        compare(pair, report, is_rom);
        return;
    }
    // Memory and devices follow the guest's definition; option ROMs follow the packages of the host.
    let Some(known) = source.or(destination) else {
        return;
    };
    if known.value.iter().any(|block| is_option_rom(&block.name)) {
        report.find(Phase::LiveMigration, Outcome::Unknown, || {
            let names = |blocks: &alloc::vec::Vec<Block>| {
                let names: alloc::vec::Vec<_> = blocks
                    .iter()
                    .filter(|block| is_option_rom(&block.name))
                    .map(|block| block.name.as_str())
                    .collect();
                names.join(", ")
            };
            missing("the size of option ROMs", source.is_none(), destination.is_none())
                .source(source, names)
                .destination(destination, names)
                .remedy("start the destination's QEMU with -incoming defer and take its offer: flashmoor offer GUEST")
        });
    }
}

/// Whether a block is a device's option ROM, loaded from a file of the host.
fn is_option_rom(name: &str) -> bool {
    name.ends_with(".rom") && name != "pc.rom"
}

/// Whether a block holds a ROM image.
pub(super) fn is_rom(name: &str) -> bool {
    name.ends_with(".rom") || name.starts_with("/rom@")
}

/// Whether QEMU lets the block shrink and grow: what is loaded with a maximum size, such as ACPI tables
/// (QEMU `hw/core/loader.c`, `rom_set_mr`).
fn is_resizable(name: &str) -> bool {
    name.starts_with("/rom@")
}

/// Compares all blocks that `wanted` names, where both sides' blocks are known.
pub(super) fn compare(pair: &Pair<'_>, report: &mut Report, wanted: fn(&str) -> bool) {
    let (source, destination) = (pair.source.blocks.fact(), pair.destination.blocks.fact());
    let (Some(from), Some(to)) = (source, destination) else {
        return;
    };
    for (index, block) in from
        .value
        .iter()
        .enumerate()
        .filter(|(_, block)| wanted(&block.name))
    {
        let local = to.value.iter().find(|local| local.name == block.name);
        let fits =
            local.is_some_and(|local| local.size_bytes == block.size_bytes || is_resizable(&block.name));
        report.find(
            Phase::LiveMigration,
            if fits {
                Outcome::Compatible
            } else {
                Outcome::Incompatible
            },
            || {
                let seen = |size_bytes: u64, evidence: &str| Seen {
                    value: alloc::format!("{size_bytes:#x}"),
                    evidence: evidence.into(),
                };
                let mut told = Told::about(
                    alloc::format!("the block {}", block.name),
                    "the destination must have every RAM block that arrives, in the same size",
                );
                told.source = Some(seen(block.size_bytes, &from.evidence));
                told.destination = local.map(|local| seen(local.size_bytes, &to.evidence));
                if fits {
                    return told;
                }
                let message = match local {
                    Some(local) => messages::size_mismatch(&block.name, block.size_bytes, local.size_bytes),
                    None => messages::unknown_block(&block.name),
                };
                let remedy = if is_rom(&block.name) {
                    "give that device the source's ROM file: copy it over and say -device …,romfile=FILE"
                } else {
                    "give the destination the same devices and memory sizes as the source"
                };
                told.remedy(remedy)
                    .qemu(AT_BLOCK_TABLE, u64::try_from(index).unwrap_or(u64::MAX), message)
            },
        );
    }
}
