//! The block `isa-bios`, a copy of the end of flash that older PC machine types have.

use alloc::string::ToString;

use crate::finding::{AT_BLOCK_TABLE, Seen, Told};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Facts, Outcome, Phase};

/// What a side has, and where that was read: from its blocks, else from its machine type.
fn has_block(facts: &Facts) -> Option<(bool, Seen)> {
    let words = |has: bool| if has { "isa-bios" } else { "no isa-bios" };
    if let Some(blocks) = facts.blocks.fact() {
        let has = blocks.value.iter().any(|block| block.name == "isa-bios");
        return Some((
            has,
            Seen {
                value: words(has).to_string(),
                evidence: blocks.evidence.clone(),
            },
        ));
    }
    let machine = facts.machine.fact()?;
    let has = machine.value.has_isa_bios_block()?;
    Some((
        has,
        Seen {
            value: words(has).to_string(),
            evidence: alloc::format!("machine type {}, {}", machine.value, machine.evidence),
        },
    ))
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some((from, source)), Some((to, destination))) =
        (has_block(pair.source), has_block(pair.destination))
    else {
        // Without block lists this is a question of the machine type, and that rule says what is missing.
        return;
    };
    // A block that only the destination has is left as it is.
    let outcome = if from && !to {
        Outcome::Incompatible
    } else {
        Outcome::Compatible
    };
    report.find(Phase::LiveMigration, outcome, || {
        let mut told = Told::about(
            "the block isa-bios",
            "PC machine types up to 9.0 send the end of flash a second time, and the destination must have that block",
        );
        told.source = Some(source);
        told.destination = Some(destination);
        if outcome == Outcome::Compatible {
            return told;
        }
        told.remedy("start the destination on the source's machine type").qemu(
            AT_BLOCK_TABLE,
            pair.source.stream_position("isa-bios", Some(0x2_0000)),
            messages::unknown_block("isa-bios"),
        )
    });
}
