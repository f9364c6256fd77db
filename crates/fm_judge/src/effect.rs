//! What a cold boot does to a guest and to its variable store: what findings say, in a form that runs can be
//! held against.

use core::fmt;

/// What becomes of the guest and of its variables at a cold boot; ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It boots, and what it sets is kept.
    Kept,
    /// It boots with its variables, and what this boot writes is lost at the next.
    FirstBootLost,
    /// It boots, and nothing that it sets is ever written; the store stays as it is.
    Volatile,
    /// It boots without some of the variables that are in the file, and they are gone for good.
    PartlyLost,
    /// It boots on a store that the firmware made anew, without its variables.
    Recreated,
    /// It does not boot, and the store stays as it is.
    DeadUntouched,
    /// It does not boot; something was written into the store's file, but the variables are all there.
    DeadWritten,
    /// It does not boot, and the variables are gone.
    DeadErased,
}

impl Effect {
    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::FirstBootLost => "first_boot_lost",
            Self::Volatile => "volatile",
            Self::PartlyLost => "partly_lost",
            Self::Recreated => "recreated",
            Self::DeadUntouched => "dead_untouched",
            Self::DeadWritten => "dead_written",
            Self::DeadErased => "dead_erased",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
