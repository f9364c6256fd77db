//! One thing to try: which guest on which programs, and what is done with it.

use super::{PowerCut, Side, UpdateWay};

/// One thing to try.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: String,
    /// Which of the bench's QEMU programs runs the source, and which the destination.
    pub(super) qemu: [usize; 2],
    pub(super) source: Side,
    pub(super) destination: Option<Side>,
    pub(super) act: Act,
}

/// What is done with the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It is booted.
    Boot,
    /// It is booted, ended, and booted again.
    BootTwice,
    /// The same on the store that a power cut left.
    BootAfterPowerCut(PowerCut),
    /// It is migrated, and followed through its boot and a reset at the destination if it is to be.
    Migrate { follow: bool },
    /// Its store is converted for the destination's build, and booted there.
    Convert,
    /// Its CODE flash is overwritten: before its first instruction, or when it no longer executes there.
    Overwrite { from_start: bool },
    /// It sets a variable when the pages of its VARS have been sent.
    WriteLate,
    /// It is given the destination's build while it runs, and reset.
    Update(UpdateWay),
}
