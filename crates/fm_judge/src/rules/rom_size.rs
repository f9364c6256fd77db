//! Option ROMs and other ROM blocks: their sizes follow the packages of the host, not the guest.

use fm_remedy::{Action, Input, Remedy, Setting};

use super::missing;
use crate::finding::{AT_BLOCK_TABLE, FindingDraft, ObservedValue};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Block, Evidence, Outcome, Phase};

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
    if let (Some(from), Some(roms)) = (source, pair.destination.roms.fact()) {
        for (index, block) in from.value.iter().enumerate() {
            if is_option_rom(&block.name) {
                by_file(report, (index, block), &from.evidence, roms);
            }
        }
        return;
    }
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
                .remedy(
                    Remedy::give(
                        "name the folder of the destination's option ROMs, or start its QEMU so that it waits for the guest and take its offer",
                        [Input::DestinationRoms],
                    )
                    .then(Action::Configure(Setting::AwaitMigration))
                    .then(Action::MakeOffer { guest: None }),
                )
        });
    }
}

/// A block against the file that the destination's host has for such a device. What the guest's definition
/// names itself (`romfile=`) goes along with it, and is not in the folder.
fn by_file(
    report: &mut Report,
    (index, block): (usize, &Block),
    evidence: &Evidence,
    roms: &crate::Fact<alloc::vec::Vec<Block>>,
) {
    // `0000:00:02.0/virtio-net-pci.rom` (QEMU `hw/pci/pci.c`, `pci_add_option_rom`).
    let device = block.name.rsplit('/').next().unwrap_or_default();
    let device = device.strip_suffix(".rom").unwrap_or(device);
    let there = roms.value.iter().find(|rom| rom.name == device);
    let outcome = match there {
        Some(rom) if rom.size_bytes == block.size_bytes => Outcome::Compatible,
        Some(_) => Outcome::Incompatible,
        None => Outcome::Unknown,
    };
    report.find(Phase::LiveMigration, outcome, || {
        let seen = |size_bytes: u64, evidence: &Evidence| ObservedValue {
            value: alloc::format!("{size_bytes:#x}"),
            evidence: evidence.clone(),
        };
        let mut draft = FindingDraft::about(
            alloc::format!("the block {}", block.name),
            match there {
                Some(_) => "the destination loads the option ROM of its own packages, and it must have the size that arrives",
                None => "the destination's folders hold no option ROM for this device, as far as its type tells",
            },
        );
        draft.source = Some(seen(block.size_bytes, evidence));
        draft.destination = there.map(|rom| seen(rom.size_bytes, &roms.evidence));
        let position = u64::try_from(index).unwrap_or(u64::MAX);
        match (outcome, there) {
            (Outcome::Incompatible, Some(rom)) => draft.remedy(give_rom()).qemu(
                AT_BLOCK_TABLE,
                position,
                messages::size_mismatch(&block.name, block.size_bytes, rom.size_bytes),
            ),
            (Outcome::Unknown, _) => draft.remedy(
                Remedy::new(
                    "start the destination's QEMU so that it waits for the guest, and take its offer",
                    Action::Configure(Setting::AwaitMigration),
                )
                .then(Action::MakeOffer { guest: None }),
            ),
            _ => draft,
        }
    });
}

fn give_rom() -> Remedy {
    Remedy::new(
        "give that device the source's ROM file: copy it over, and name the copy",
        Action::Configure(Setting::RomFile),
    )
}

/// `0000:00:02.0/virtio-net-pci.rom`: where the device sits, and what its memory is called there.
fn split(name: &str) -> Option<(&str, &str)> {
    let (place, memory) = name.rsplit_once('/')?;
    (!place.is_empty() && !name.starts_with('/')).then_some((place, memory))
}

/// Whether both are the same device's at different places.
fn is_same_device(one: &str, other: &str) -> bool {
    match (split(one), split(other)) {
        (Some((here, one)), Some((there, other))) => one == other && here != there,
        _ => false,
    }
}

/// A device that sits elsewhere needs no other file.
fn at_address(arriving: &str, local: &str) -> Remedy {
    let place = split(arriving).map_or(arriving, |(place, _)| place);
    let there = split(local).map_or(local, |(place, _)| place);
    // `0000:00:02.0`: domain, bus, slot, function. Only the latter two are the option's.
    let address = place.rsplit(':').next().unwrap_or(place);
    Remedy::new(
        alloc::format!(
            "put the device where it is at the source: it arrives for {place}, and there it sits at {there}"
        ),
        Action::Configure(Setting::DeviceAddress(address.into())),
    )
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
                let seen = |size_bytes: u64, evidence: &Evidence| ObservedValue {
                    value: alloc::format!("{size_bytes:#x}"),
                    evidence: evidence.clone(),
                };
                let mut draft = FindingDraft::about(
                    alloc::format!("the block {}", block.name),
                    "the destination must have every RAM block that arrives, in the same size",
                );
                draft.source = Some(seen(block.size_bytes, &from.evidence));
                draft.destination = local.map(|local| seen(local.size_bytes, &to.evidence));
                if fits {
                    return draft;
                }
                let message = match local {
                    Some(local) => messages::size_mismatch(&block.name, block.size_bytes, local.size_bytes),
                    None => messages::unknown_block(&block.name),
                };
                let elsewhere = to
                    .value
                    .iter()
                    .find(|other| is_same_device(&other.name, &block.name));
                let remedy = if let (None, Some(other)) = (local, elsewhere) {
                    at_address(&block.name, &other.name)
                } else if is_rom(&block.name) {
                    give_rom()
                } else {
                    "give the destination the same devices and memory sizes as the source".into()
                };
                draft
                    .remedy(remedy)
                    .qemu(AT_BLOCK_TABLE, u64::try_from(index).unwrap_or(u64::MAX), message)
            },
        );
    }
}
