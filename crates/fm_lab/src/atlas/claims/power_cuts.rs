//! What edk2 does with a store that a power cut left, each cut out of what that build was recorded writing.

use fm_judge::Effect;

use super::super::{Group, Observation, PowerCut};
use super::Claim;
use super::board::is_virt;
use super::two_boots::{effect, repaired};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        title: "What edk2 really does with a write that a power cut interrupts: SMM builds and those for Arm and LoongArch finish it",
        text: "Each build was recorded writing: it booted on a nearly full store, reclaimed it, and replaced a variable. As many of its own writes as a power cut would have let through were put over the store from before. Wherever it comes in a reclaim, before the main area is touched or while the list is written again, these builds come up with every variable, at the first boot and at the second.",
        group: Group::PowerCut,
        speaks: |observation| {
            let finishes =
                (observation.source.secure_flash || is_virt(observation)) && !is_riscv(observation);
            Some(effect(observation)? == Effect::Kept).filter(|_| finishes && has_headers(observation))
        },
    },
    Claim {
        title: "A power cut while the list is written again costs builds for PCs without SMM what is not written yet",
        text: "They have no FaultTolerantWritePei: the main area is read before the whole copy is put over it. With half of the list written the guest comes up with that half; with not one variable written it comes up with none, and with half of the first one's name written it takes that half for a variable.",
        group: Group::PowerCut,
        speaks: |observation| {
            let lost = match observation.source.power_cut? {
                PowerCut::MainFirstVariable => Effect::Recreated,
                PowerCut::MainHalf | PowerCut::MainFirstName => Effect::PartlyLost,
                _ => return None,
            };
            Some(effect(observation)? == lost).filter(|_| is_plain_pc(observation))
        },
    },
    Claim {
        title: "A power cut when the copy is complete and the main area not yet touched keeps those builds from their console",
        text: "They take the old main area, which is full, for what is there, while the copy is put over it. The guest of 2022.11 takes processor time and prints nothing, at the first boot and at the second; the variables stay. With the copy half written, or with the main area written, nothing is lost.",
        group: Group::PowerCut,
        speaks: |observation| {
            let expected = match observation.source.power_cut? {
                PowerCut::SpareComplete => Effect::DeadWritten,
                PowerCut::SpareHalf | PowerCut::MainWritten | PowerCut::MainComplete => Effect::Kept,
                _ => return None,
            };
            Some(effect(observation)? == expected).filter(|_| is_plain_pc(observation))
        },
    },
    Claim {
        title: "Builds for RISC-V die of a reclaim that a power cut interrupted, once its copy is complete",
        text: "They die when they are to put the copy in its place, at every start, and write nothing. Even where the main area is written and only the note of it is missing.",
        group: Group::PowerCut,
        speaks: |observation| {
            let dies = matches!(
                observation.source.power_cut?,
                PowerCut::SpareComplete | PowerCut::MainHalf | PowerCut::MainWritten
            );
            Some(effect(observation)? == Effect::DeadUntouched).filter(|_| dies && is_riscv(observation))
        },
    },
    Claim {
        title: "A power cut while the volume header is gone costs every build every variable, with the whole copy in the spare",
        text: "A reclaim erases the main area before it writes it. The flash driver finds no volume header and makes everything anew: builds for PCs die of it, with SMM and without, those for `virt` machines come up on an empty store.",
        group: Group::PowerCut,
        speaks: |observation| {
            let expected = if is_virt(observation) {
                Effect::Recreated
            } else {
                Effect::DeadErased
            };
            let gone = matches!(
                observation.source.power_cut?,
                PowerCut::MainErasing | PowerCut::MainErased | PowerCut::MainHeader
            );
            Some(effect(observation)? == expected).filter(|_| gone)
        },
    },
    Claim {
        title: "Old builds for Arm erase the store to write one variable, and a power cut then costs all of them for good",
        text: "The flash driver of 2022.11 writes what is longer than 128 bytes, or crosses such a boundary, by erasing the block and writing it again (`NorFlashWriteSingleBlock`). The block is the whole main area, and there is no copy in the spare: nothing can be repaired. That of 2025.02 erases in a reclaim alone.",
        group: Group::PowerCut,
        speaks: |observation| {
            let erased = observation.source.power_cut? == PowerCut::BlockErased;
            Some(effect(observation)? == Effect::Recreated).filter(|_| erased)
        },
    },
    Claim {
        title: "A power cut while a variable is replaced costs none, whichever build",
        text: "The old value counts until the new one is whole.",
        group: Group::PowerCut,
        speaks: |observation| {
            let replaces = matches!(
                observation.source.power_cut?,
                PowerCut::OldMarked
                    | PowerCut::NewHeader
                    | PowerCut::NewHeaderValid
                    | PowerCut::NewData
                    | PowerCut::NewAdded
            );
            Some(effect(observation)? == Effect::Kept).filter(|_| replaces)
        },
    },
    Claim {
        title: "After `vars repair` a store that a power cut left boots with every variable that is left anywhere in it",
        text: "The same store, repaired before its first boot, whatever that would have come to. Nothing is left where an old build for Arm had erased its block.",
        group: Group::PowerCut,
        speaks: repaired,
    },
];

/// Whether power was cut in a reclaim with the headers of the store in the main area.
fn has_headers(observation: &Observation) -> bool {
    matches!(
        observation.source.power_cut,
        Some(
            PowerCut::SpareHalf
                | PowerCut::SpareComplete
                | PowerCut::MainFirstVariable
                | PowerCut::MainFirstName
                | PowerCut::MainHalf
                | PowerCut::MainWritten
                | PowerCut::MainComplete
        )
    )
}

fn is_plain_pc(observation: &Observation) -> bool {
    !is_virt(observation) && !observation.source.secure_flash
}

fn is_riscv(observation: &Observation) -> bool {
    let code = observation.source.code.as_ref();
    code.is_some_and(|code| code.name.contains("RISCV"))
}
