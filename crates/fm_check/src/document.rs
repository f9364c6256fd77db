//! The documents of a check and of a matrix.

use fm_api::Schema;
use fm_api::v1::check as api;
use fm_api::v1::check::{FindingDocument, FindingEvidence, MatrixCell, MatrixReason, PhaseDocument, Phases};
use fm_judge::{Effect, Finding, ObservedValue, Phase, PhaseVerdict};
use fm_remedy::Remedy;
use fm_transfer::outcome;

use crate::actions::action;
use crate::checked::{Candidate, Checked};
use crate::pairs::{Cell, Reason};

/// How an interface puts into words what the judge gives as data. By default no command and no option is named.
#[derive(Debug, Clone, Copy)]
pub struct Wording {
    /// What to do.
    pub remedy: fn(&Remedy) -> String,
    /// Where a value was read.
    pub evidence: fn(&fm_judge::Evidence) -> String,
}

impl Default for Wording {
    fn default() -> Self {
        Self {
            remedy: |remedy| remedy.advice.to_string(),
            evidence: ToString::to_string,
        }
    }
}

/// What no file and no memory of firmware shows.
const NOT_JUDGED: [&str; 3] = [
    "the state of devices, but for breaks that are known",
    "processor models",
    "disks, networks and rights on the destination",
];

/// The document of `checked`.
#[must_use]
pub fn check_document(checked: &Checked, wording: Wording) -> api::Check {
    let phase = |phase| phase_document(checked.verdict.phase(phase), wording);
    api::Check {
        schema: Schema::default(),
        source: checked.source.clone(),
        destination: checked.destination.clone(),
        outcome: outcome(checked.verdict.outcome()),
        phases: Phases {
            live_migration: phase(Phase::LiveMigration),
            warm_reset: phase(Phase::WarmReset),
            cold_boot: phase(Phase::ColdBoot),
        },
        assumptions: checked.assumptions.clone(),
        not_judged: NOT_JUDGED.map(str::to_owned).to_vec(),
        candidates: checked.candidates.iter().map(Into::into).collect(),
    }
}

impl From<&Candidate> for api::CheckedBuild {
    fn from(candidate: &Candidate) -> Self {
        Self {
            code: candidate.code.clone(),
            live_migration: outcome(candidate.live_migration),
            warm_reset: outcome(candidate.warm_reset),
            cold_boot: outcome(candidate.cold_boot),
        }
    }
}

/// The document of one phase.
#[must_use]
pub fn phase_document(verdict: &PhaseVerdict, wording: Wording) -> PhaseDocument {
    let finding = |finding| finding_document(finding, wording);
    PhaseDocument {
        outcome: outcome(verdict.outcome()),
        findings: verdict.findings().iter().map(finding).collect(),
    }
}

/// The document of one finding.
fn finding_document(finding: &Finding, wording: Wording) -> FindingDocument {
    let value = |side: &Option<ObservedValue>| side.as_ref().map(|observed| observed.value.clone());
    let evidence = |side: &Option<ObservedValue>| {
        let observed = side.as_ref()?;
        Some((wording.evidence)(&observed.evidence))
    };
    FindingDocument {
        code: finding.code.into(),
        outcome: outcome(finding.outcome),
        subject: finding.subject.clone(),
        source: value(&finding.source),
        destination: value(&finding.destination),
        evidence: FindingEvidence {
            source: evidence(&finding.source),
            destination: evidence(&finding.destination),
        },
        why: finding.why.clone(),
        remedy: finding.remedy.as_ref().map(wording.remedy),
        actions: finding
            .remedy
            .iter()
            .flat_map(|remedy| remedy.actions.iter().map(action))
            .collect(),
        qemu_message: finding.qemu_message.clone(),
        effect: finding.effect.map(effect),
    }
}

const fn effect(effect: Effect) -> api::ColdBootEffect {
    match effect {
        Effect::Kept => api::ColdBootEffect::Kept,
        Effect::FirstBootLost => api::ColdBootEffect::FirstBootLost,
        Effect::Volatile => api::ColdBootEffect::Volatile,
        Effect::PartlyLost => api::ColdBootEffect::PartlyLost,
        Effect::Recreated => api::ColdBootEffect::Recreated,
        Effect::DeadUntouched => api::ColdBootEffect::DeadUntouched,
        Effect::DeadWritten => api::ColdBootEffect::DeadWritten,
        Effect::DeadErased => api::ColdBootEffect::DeadErased,
    }
}

const fn phase(phase: Phase) -> api::Phase {
    match phase {
        Phase::LiveMigration => api::Phase::LiveMigration,
        Phase::WarmReset => api::Phase::WarmReset,
        Phase::ColdBoot => api::Phase::ColdBoot,
    }
}

impl From<&Cell> for MatrixCell {
    fn from(cell: &Cell) -> Self {
        Self {
            from: cell.from,
            to: cell.to,
            live_migration: outcome(cell.live_migration),
            warm_reset: outcome(cell.warm_reset),
            cold_boot: outcome(cell.cold_boot),
            reasons: cell.reasons.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Reason> for MatrixReason {
    fn from(reason: &Reason) -> Self {
        Self {
            phase: phase(reason.phase),
            code: reason.code.to_owned(),
            subject: reason.subject.clone(),
        }
    }
}
