//! The moments that a firmware change is judged for, and the four answers.

use core::fmt;

/// A moment in a guest's life at which its firmware can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The guest moves while it runs; restoring a saved guest is the same stream read later.
    LiveMigration,
    /// The guest resets, in the QEMU process that it moved to.
    WarmReset,
    /// A new QEMU process starts the guest from the destination's files.
    ColdBoot,
}

impl Phase {
    /// All of them, in the order in which a guest lives through them.
    pub const ALL: [Self; 3] = [Self::LiveMigration, Self::WarmReset, Self::ColdBoot];

    /// The name in documents: `live_migration`, `warm_reset`, `cold_boot`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LiveMigration => "live_migration",
            Self::WarmReset => "warm_reset",
            Self::ColdBoot => "cold_boot",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What will come of it; ordered from good to bad, and the worst decides.
///
/// `Unknown` is worse than `Caution`, because what is not known may be anything; `Incompatible` is
/// worse than `Unknown`, because no missing fact can undo a failure that is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It works, and nothing that the guest could notice changes.
    Compatible,
    /// It works, and something changes that somebody should know before.
    Caution,
    /// A fact is missing, so nothing is promised.
    Unknown,
    /// It fails, or the guest does not survive it.
    Incompatible,
}

impl Outcome {
    /// All of them, from good to bad.
    pub const ALL: [Self; 4] = [Self::Compatible, Self::Caution, Self::Unknown, Self::Incompatible];

    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Caution => "caution",
            Self::Unknown => "unknown",
            Self::Incompatible => "incompatible",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
