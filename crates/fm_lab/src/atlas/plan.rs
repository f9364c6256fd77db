//! What the atlas tries, in an order in which the most telling come first: made from what the files are and which
//! machines the QEMU programs make, whatever they are called.

mod boots;
mod migrations;
mod odd;
mod sides;
#[cfg(test)]
mod tests;
mod updates;
mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bench::Bench;
use super::step::Step;
use crate::Arch;

/// What observations have in common; one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Every build on every store.
    ColdBoot,
    /// Stores that are blank or damaged.
    DamagedStore,
    /// Every build to every build, between QEMU versions.
    BuildMigration,
    /// Machines that differ in something else than the build.
    MachineMigration,
    /// Stores converted from one layout to another, and booted there.
    Conversion,
    /// Guests whose CODE flash is overwritten while they run.
    Overwritten,
    /// Guests that write a variable while they migrate.
    LateWrite,
    /// Stores that a power cut left in the midst of a reclaim.
    InterruptedWrite,
    /// Stores with damage inside their list of variables.
    DamagedList,
    /// Stores whose headers say something odd.
    OddHeader,
    /// Files that are longer than the store in them.
    PaddedFile,
    /// Files that QEMU may not write to.
    NotWritten,
    /// Guests that are given another build while they run.
    Updated,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::InterruptedWrite,
        Self::DamagedList,
        Self::OddHeader,
        Self::PaddedFile,
        Self::NotWritten,
        Self::Conversion,
        Self::Overwritten,
        Self::LateWrite,
        Self::Updated,
        Self::DamagedStore,
        Self::MachineMigration,
        Self::BuildMigration,
        Self::ColdBoot,
    ];

    /// The name of its file, without the ending.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ColdBoot => "cold_boot",
            Self::DamagedStore => "damaged_store",
            Self::BuildMigration => "build_migration",
            Self::MachineMigration => "machine_migration",
            Self::Conversion => "conversion",
            Self::Overwritten => "overwritten",
            Self::LateWrite => "late_write",
            Self::InterruptedWrite => "interrupted_write",
            Self::DamagedList => "damaged_list",
            Self::OddHeader => "odd_header",
            Self::PaddedFile => "padded_file",
            Self::NotWritten => "not_written",
            Self::Updated => "updated",
        }
    }
}

/// What a group tries on a bench, and what of it cannot be tried there, each with the reason.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) lacks: Vec<String>,
}

/// The plan of a group for what this bench has.
pub(super) fn plan(group: Group, bench: &Bench) -> Plan {
    let mut plan = Plan::default();
    if bench.kvm && group != Group::Updated {
        plan.lack("it is recorded under emulation, which any host can repeat");
        return plan;
    }
    for arch in Arch::ALL {
        match group {
            Group::ColdBoot => boots::cold_boots(bench, arch, &mut plan),
            Group::DamagedStore => boots::damaged_stores(bench, arch, &mut plan),
            Group::BuildMigration => migrations::builds(bench, arch, &mut plan),
            Group::MachineMigration => migrations::machines(bench, arch, &mut plan),
            Group::Conversion => boots::conversions(bench, arch, &mut plan),
            Group::Overwritten => migrations::overwritten(bench, arch, &mut plan),
            Group::LateWrite => migrations::late_writes(bench, arch, &mut plan),
            Group::Updated => updates::updates(bench, arch, &mut plan),
            Group::InterruptedWrite
            | Group::DamagedList
            | Group::OddHeader
            | Group::PaddedFile
            | Group::NotWritten => odd::stores(group, bench, arch, &mut plan),
        }
    }
    plan
}

impl Plan {
    fn lack(&mut self, what: impl Into<String>) {
        self.lacks.push(what.into());
    }
}
