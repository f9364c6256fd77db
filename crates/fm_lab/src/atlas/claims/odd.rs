//! What edk2 does with stores that no running firmware leaves.

use fm_judge::Effect;

use super::super::{Change, Group, VarsAccess};
use super::Claim;
use super::board::is_virt;
use super::two_boots::{effect, repaired};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        title: "What edk2 really does with an interrupted write: SMM builds and those for Arm and LoongArch finish it, the others do not",
        text: "A reclaim was interrupted with its copy whole in the spare and its main area old or half written. The protocol says that the spare counts. SMM builds have FaultTolerantWritePei, which reads it so, and builds for Arm and LoongArch put it in its place before they read variables; those for RISC-V die at it and write nothing. Builds for PCs without SMM read the main area first: half written, what is not in it is lost; old, the variables stay, but what the first boot writes is gone at the second.",
        group: Group::InterruptedWrite,
        speaks: |observation| {
            let effect = effect(observation)?;
            let finishes = observation.source.secure_flash || is_virt(observation);
            let riscv = observation.source.code.as_ref()?.name.contains("RISCV");
            match observation.source.vars.as_ref()?.change? {
                Change::SpareMainOld | Change::SpareMainHalf if riscv => {
                    Some(effect == Effect::DeadUntouched)
                }
                Change::SpareMainOld | Change::SpareMainHalf if finishes => Some(effect == Effect::Kept),
                Change::SpareMainOld => Some(effect == Effect::FirstBootLost),
                Change::SpareMainHalf => Some(effect == Effect::PartlyLost),
                _ => None,
            }
        },
    },
    Claim {
        title: "With its main area erased, an interrupted write costs every variable, whatever is in the spare",
        text: "The flash driver comes before the fault-tolerant write, finds no volume header and makes everything anew: builds for PCs die of it, those for `virt` machines boot on an empty store.",
        group: Group::InterruptedWrite,
        speaks: |observation| {
            let expected = if is_virt(observation) {
                Effect::Recreated
            } else {
                Effect::DeadErased
            };
            let erased = observation.source.vars.as_ref()?.change? == Change::SpareMainErased;
            Some(effect(observation)? == expected).filter(|_| erased)
        },
    },
    Claim {
        title: "A write that was interrupted before its copy was whole costs nothing",
        text: "The queue says so, and every build goes on with the main area.",
        group: Group::InterruptedWrite,
        speaks: |observation| {
            let begun = observation.source.vars.as_ref()?.change? == Change::SpareHalf;
            Some(effect(observation)? == Effect::Kept).filter(|_| begun)
        },
    },
    Claim {
        title: "After `vars repair` a store that was left by an interrupted write boots with every variable",
        text: "The same store, repaired before its first boot.",
        group: Group::InterruptedWrite,
        speaks: repaired,
    },
    Claim {
        title: "After `vars repair` a store with a damaged list boots with every variable that can be read",
        text: "The same store, repaired before its first boot.",
        group: Group::DamagedList,
        speaks: repaired,
    },
    Claim {
        title: "A page of zeros in the list costs what lies behind it, or everything",
        text: "The firmware stops reading there, and what lies behind is gone for good after the first boot; builds for `virt` machines since edk2-stable202402 make a new store for it.",
        group: Group::DamagedList,
        speaks: |observation| {
            let zeros = observation.source.vars.as_ref()?.change? == Change::ZeroPage;
            let effect = effect(observation)?;
            Some(matches!(effect, Effect::PartlyLost | Effect::Recreated)).filter(|_| zeros)
        },
    },
    Claim {
        title: "A block map of another block length kills builds for PCs and erases the store",
        text: "The flash driver compares it with its own blocks (`QemuFlashFvbServicesRuntimeDxe`, `FvbInitialize`).",
        group: Group::OddHeader,
        speaks: |observation| {
            let map = observation.source.vars.as_ref()?.change? == Change::BlockMap;
            Some(effect(observation)? == Effect::DeadErased).filter(|_| map && !is_virt(observation))
        },
    },
    Claim {
        title: "After `vars repair` a store with odd headers boots with every variable",
        text: "The same store, repaired before its first boot.",
        group: Group::OddHeader,
        speaks: repaired,
    },
    Claim {
        title: "A VARS file padded to 1 MiB kills builds for PCs, one padded to 4 MiB loses them their variables",
        text: "QEMU makes the flash as long as its file, and its end lies below CODE. Builds with SMM die of either.",
        group: Group::PaddedFile,
        speaks: |observation| {
            let effect = effect(observation)?;
            match observation.source.vars.as_ref()?.change? {
                Change::PaddedTo1M => Some(effect == Effect::DeadWritten),
                Change::PaddedTo4M if observation.source.secure_flash => {
                    Some(effect == Effect::DeadUntouched)
                }
                Change::PaddedTo4M => Some(effect == Effect::Volatile),
                _ => None,
            }
        },
    },
    Claim {
        title: "What is set on a snapshot of VARS is gone at the next start",
        text: "With `snapshot=on` every build comes up and finds its variables, and nothing reaches the file.",
        group: Group::NotWritten,
        speaks: |observation| {
            let snapshot = observation.source.vars_access? == VarsAccess::Snapshot;
            Some(effect(observation)? == Effect::Volatile).filter(|_| snapshot)
        },
    },
];
