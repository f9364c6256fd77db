//! The words of which the names of steps are made.

use super::super::{Change, PowerCut};
use crate::Arch;

/// What is said where an architecture has builds and no QEMU, or the reverse.
pub(super) fn word_of(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86",
        arch => arch.name(),
    }
}

/// What a changed file is called by.
pub(super) fn word(change: Change) -> &'static str {
    match change {
        Change::Erased => "erased",
        Change::Zeros => "zeroed",
        Change::VolumeDamaged => "with a damaged volume header",
        Change::StoreDamaged => "with a damaged store header",
        Change::WithoutFtw => "without FTW header",
        Change::Plain => "in plain form",
        Change::Cut => "cut",
        Change::Halved => "halved",
        Change::Qcow2 => "as qcow2",
        Change::Filled => "filled",
        Change::NearlyFull => "nearly full",
        Change::SpareMainOld => "with a whole spare, the main area old",
        Change::SpareMainErased => "with a whole spare, the main area erased",
        Change::SpareMainHalf => "with a whole spare, the main area half written",
        Change::SpareHalf => "with half a spare, the main area old",
        Change::NameUnterminated => "with a name without terminator",
        Change::NameEmpty => "with an empty name",
        Change::NameBlank => "with a name that begins with its terminator",
        Change::NameSplit => "with a name with a terminator in its midst",
        Change::NameOdd => "with a name of an odd size",
        Change::StateOdd => "with an impossible state",
        Change::DataBeyond => "with data beyond the store",
        Change::HeaderTorn => "with a torn header",
        Change::ZeroPage => "with a page of zeros",
        Change::FreeZeros => "with zeros behind the list",
        Change::BlockMap => "with another block map",
        Change::VolumeAttributes => "with odd attributes",
        Change::StoreSizeSmall => "with a small store size",
        Change::StoreSizeFull => "with a store size without room",
        Change::StoreSizeLarge => "with a large store size",
        Change::PaddedTo1M => "padded to 1 MiB",
        Change::PaddedTo4M => "padded to 4 MiB",
    }
}

/// What a store is called by that a power cut left.
pub(super) fn word_of_cut(cut: PowerCut) -> &'static str {
    match cut {
        PowerCut::SpareHalf => "half of the copy is in the spare",
        PowerCut::SpareComplete => "the copy in the spare is complete",
        PowerCut::MainErasing => "one block of the main area is erased",
        PowerCut::MainErased => "the main area is erased",
        PowerCut::MainHeader => "half of the volume header is written",
        PowerCut::MainFirstVariable => "half of the first variable's header is written",
        PowerCut::MainFirstName => "half of the first variable's name is written",
        PowerCut::MainHalf => "half of the list is written",
        PowerCut::MainWritten => "the main area is written",
        PowerCut::MainComplete => "the main area is complete",
        PowerCut::BlockErased => "a block is erased to write a variable",
        PowerCut::OldMarked => "the old value is marked",
        PowerCut::NewHeader => "half of the new value's header is written",
        PowerCut::NewHeaderValid => "the new value's header is valid",
        PowerCut::NewData => "half of the new value is written",
        PowerCut::NewAdded => "the new value is added",
    }
}
