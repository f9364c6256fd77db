//! `flashmoor/check/1` and `flashmoor/matrix/1`: what a change of firmware does to guests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::firmware::Arch;
use super::remedy::Action;
use crate::{Schema, document, words};

/// What a firmware change does to a guest, phase by phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// `flashmoor/check/1`.
    pub schema: Schema<Check>,
    /// What was taken for the source, in words.
    pub source: String,
    /// What was taken for the destination.
    pub destination: String,
    /// The worst of all phases.
    pub outcome: Outcome,
    /// The phases.
    pub phases: Phases,
    /// What was not told, and taken to be so; the verdict holds where it is.
    pub assumptions: Vec<Assumption>,
    /// What is not looked at, and may stand against it all the same.
    pub not_judged: Vec<String>,
    /// Other firmware that the destination has, each with its outcome over all phases; empty unless the
    /// destination is a folder with a choice.
    pub candidates: Vec<CheckedBuild>,
}

document!(Check = "flashmoor/check/1");

impl Check {
    /// The phases with their names.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, &PhaseDocument)> {
        [
            (Phase::LiveMigration, &self.phases.live_migration),
            (Phase::WarmReset, &self.phases.warm_reset),
            (Phase::ColdBoot, &self.phases.cold_boot),
        ]
        .into_iter()
    }
}

/// The three moments at which firmware can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phases {
    /// The guest moves while it runs; restoring a saved guest is judged in the same way.
    pub live_migration: PhaseDocument,
    /// The guest resets where it arrived.
    pub warm_reset: PhaseDocument,
    /// A new QEMU process starts the guest from the destination's files.
    pub cold_boot: PhaseDocument,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseDocument {
    /// The worst of its findings.
    pub outcome: Outcome,
    /// What was found, the worst first.
    pub findings: Vec<FindingDocument>,
}

/// One judged fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingDocument {
    /// The stable code; `flashmoor explain CODE` prints its page.
    pub code: String,
    /// What will come of it.
    pub outcome: Outcome,
    /// What was compared.
    pub subject: String,
    /// The source's value; null if it is not known or there is none.
    pub source: Option<String>,
    /// The destination's value.
    pub destination: Option<String>,
    /// Where the values were read.
    pub evidence: FindingEvidence,
    /// Why it matters.
    pub why: String,
    /// What to do about it, in words.
    pub remedy: Option<String>,
    /// What carries that out, in the order in which it is done; a subject that is null is not known.
    pub actions: Vec<Action>,
    /// What QEMU prints when it is tried, without the program's name before it.
    pub qemu_message: Option<String>,
    /// What a cold boot does to the guest and its variables, where the finding foretells that.
    pub effect: Option<ColdBootEffect>,
}

impl FindingDocument {
    /// Whether people should see it: everything but what is simply in order.
    #[must_use]
    pub fn is_worth_saying(&self) -> bool {
        self.outcome != Outcome::Compatible || self.remedy.is_some()
    }
}

/// Where the values of a finding were read: files with offsets, QMP commands, /proc, options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingEvidence {
    /// The source's.
    pub source: Option<String>,
    /// The destination's.
    pub destination: Option<String>,
}

/// Something that was not told, and is taken to be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assumption {
    /// What it is about.
    pub subject: AssumedSubject,
    /// Which sides it holds for.
    pub side: AssumedSide,
    /// The architecture whose guests it is about.
    pub arch: Arch,
    /// What is assumed.
    pub value: String,
    /// Why this, in words.
    pub why: String,
}

/// What an assumption is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssumedSubject {
    /// The version of QEMU.
    Qemu,
    /// The machine type.
    Machine,
    /// The guest's variable store.
    Vars,
}

/// Which side an assumption is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssumedSide {
    /// Where the guest is.
    Source,
    /// Where it shall go.
    Destination,
    /// Both.
    Both,
}

/// A build that the destination has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedBuild {
    /// Its file.
    pub code: String,
    /// The outcome of a live migration.
    pub live_migration: Outcome,
    /// The outcome of a warm reset after it.
    pub warm_reset: Outcome,
    /// The outcome of a cold boot.
    pub cold_boot: Outcome,
}

/// `flashmoor/matrix/1`: every pair of builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Matrix {
    /// `flashmoor/matrix/1`.
    pub schema: Schema<Matrix>,
    /// The builds, by file.
    pub builds: Vec<String>,
    /// The sha256 of each build's CODE, in the order of `builds`: those with the same one differ at most in their template.
    pub digests: Vec<Option<String>>,
    /// What was not told, and taken to be so.
    pub assumptions: Vec<Assumption>,
    /// One for each pair, by source and then by destination; a build beside itself is left out.
    pub cells: Vec<MatrixCell>,
}

document!(Matrix = "flashmoor/matrix/1");

/// A pair of builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatrixCell {
    /// The source, as an index into `builds`.
    pub from: usize,
    /// The destination.
    pub to: usize,
    /// Outcome of a live migration.
    pub live_migration: Outcome,
    /// Outcome of a reset after it.
    pub warm_reset: Outcome,
    /// Outcome of a cold boot on the destination's build with the source's variables.
    pub cold_boot: Outcome,
    /// What decides each outcome that is not `compatible`, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<MatrixReason>,
}

/// One of the findings that decide a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatrixReason {
    /// The phase.
    pub phase: Phase,
    /// The finding's code.
    pub code: String,
    /// What was compared.
    pub subject: String,
}

words! {
    /// What will come of something; ordered from good to bad.
    Outcome {
        /// It works, and nothing that the guest could notice changes.
        Compatible = "compatible",
        /// It works, and something changes that somebody should know before.
        Caution = "caution",
        /// A fact is missing, so nothing is promised.
        Unknown = "unknown",
        /// It fails, or the guest does not survive it.
        Incompatible = "incompatible",
    }
}

words! {
    /// A moment at which firmware can change.
    Phase {
        /// The guest moves while it runs; restoring a saved guest is the same stream read later.
        LiveMigration = "live_migration",
        /// The guest resets, in the QEMU process that it moved to.
        WarmReset = "warm_reset",
        /// A new QEMU process starts the guest from the destination's files.
        ColdBoot = "cold_boot",
    }
}

words! {
    /// What a cold boot does to a guest and its variables.
    ColdBootEffect {
        /// It boots, and what it sets is kept.
        Kept = "kept",
        /// It boots with its variables, and what this boot writes is lost at the next.
        FirstBootLost = "first_boot_lost",
        /// It boots, and nothing that it sets is ever written; the store stays as it is.
        Volatile = "volatile",
        /// It boots without some of the variables that are in the file, and they are gone for good.
        PartlyLost = "partly_lost",
        /// It boots on a store that the firmware made anew, without its variables.
        Recreated = "recreated",
        /// It does not boot, and the store stays as it is.
        DeadUntouched = "dead_untouched",
        /// It does not boot; something was written into the store's file, but the variables are all there.
        DeadWritten = "dead_written",
        /// It does not boot, and the variables are gone.
        DeadErased = "dead_erased",
    }
}
