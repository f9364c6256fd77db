//! The block `isa-bios`, a copy of the end of flash that older PC machine types have.

use alloc::string::ToString;

use fm_remedy::{Action, Remedy, Setting};

use crate::finding::{AT_BLOCK_TABLE, FindingDraft, ObservedValue};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Facts, Outcome, Phase};

/// What a side has, and where that was read: from its blocks, else from its machine type.
fn has_block(facts: &Facts) -> Option<(bool, ObservedValue)> {
    let words = |has: bool| if has { "isa-bios" } else { "no isa-bios" };
    if let Some(blocks) = facts.blocks.fact() {
        let has = blocks.value.iter().any(|block| block.name == "isa-bios");
        return Some((
            has,
            ObservedValue {
                value: words(has).to_string(),
                evidence: blocks.evidence.clone(),
            },
        ));
    }
    let machine = facts.machine.fact()?;
    let has = machine.value.has_isa_bios_block()?;
    Some((
        has,
        ObservedValue {
            value: words(has).to_string(),
            evidence: machine
                .evidence
                .so(alloc::format!("that is what machine type {} has", machine.value)),
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
        let mut draft = FindingDraft::about(
            "the block isa-bios",
            "PC machine types up to 9.0 send the end of flash a second time, and the destination must have that block",
        );
        draft.source = Some(source);
        draft.destination = Some(destination);
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(match pair.source.machine.value() {
                Some(machine) => Remedy::new(
                    "start the destination on the source's machine type",
                    Action::Configure(Setting::MachineType(machine.to_string())),
                ),
                None => "start the destination on the source's machine type".into(),
            }).qemu(
            AT_BLOCK_TABLE,
            pair.source.stream_position("isa-bios", Some(0x2_0000)),
            messages::unknown_block("isa-bios"),
        )
    });
}
