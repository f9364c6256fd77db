//! What the atlas tries, in an order in which the most telling come first: made from what the files are and which
//! machines the QEMU programs make, whatever they are called.

mod boots;
mod migrations;
mod odd;
mod power_cuts;
mod sides;
#[cfg(test)]
mod tests;
mod updates;
mod words;

use super::Group;
use super::bench::Bench;
use super::step::Step;
use crate::Arch;

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
            Group::PowerCut => power_cuts::stores(bench, arch, &mut plan),
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
