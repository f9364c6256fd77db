//! The findings of all phases, and the outcome that follows from them.

use alloc::vec::Vec;

use fm_remedy::Remedy;

use crate::report::{Pair, Report};
use crate::{Effect, Facts, Finding, Outcome, Phase, rules};

/// What the change does in each phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    phases: [PhaseVerdict; 3],
}

/// What the change does in one phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseVerdict {
    phase: Phase,
    findings: Vec<Finding>,
}

impl Verdict {
    /// The part of one phase.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> &PhaseVerdict {
        let [live_migration, warm_reset, cold_boot] = &self.phases;
        match phase {
            Phase::LiveMigration => live_migration,
            Phase::WarmReset => warm_reset,
            Phase::ColdBoot => cold_boot,
        }
    }

    /// All phases, in the order in which a guest lives through them.
    pub fn phases(&self) -> impl Iterator<Item = &PhaseVerdict> {
        self.phases.iter()
    }

    /// The same with `aim` applied to each remedy, which a rule gives without knowing whose guest it speaks of.
    #[must_use]
    pub fn with_remedies(mut self, aim: impl Fn(Remedy) -> Remedy) -> Self {
        for finding in self.phases.iter_mut().flat_map(|phase| &mut phase.findings) {
            finding.remedy = finding.remedy.take().map(&aim);
        }
        self
    }

    /// The worst of all phases.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.phases
            .iter()
            .map(PhaseVerdict::outcome)
            .max()
            .unwrap_or(Outcome::Unknown)
    }
}

impl PhaseVerdict {
    /// Which phase it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The worst finding decides; a phase without findings is unknown.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.findings
            .iter()
            .map(|finding| finding.outcome)
            .max()
            .unwrap_or(Outcome::Unknown)
    }

    /// What was found, the worst first; QEMU meets equally bad ones in this order.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What becomes of the guest and its variables: the worst that a finding foretells.
    #[must_use]
    pub fn effect(&self) -> Option<Effect> {
        self.findings.iter().filter_map(|finding| finding.effect).max()
    }

    /// What QEMU says first when the move is tried although it is incompatible.
    #[must_use]
    pub fn qemu_message(&self) -> Option<&str> {
        self.findings
            .iter()
            .filter(|finding| finding.outcome == Outcome::Incompatible)
            .find_map(|finding| finding.qemu_message.as_deref())
    }
}

/// Judges what happens to the guest on `source` when it goes to `destination`.
#[must_use]
pub fn judge(source: &Facts, destination: &Facts) -> Verdict {
    let mut report = Report::new(&Phase::ALL, true);
    rules::run(&Pair { source, destination }, &mut report);
    let mut phases = Phase::ALL.map(|phase| PhaseVerdict {
        phase,
        findings: Vec::new(),
    });
    for finding in report.into_findings() {
        for part in &mut phases {
            if part.phase == finding.phase {
                part.findings.push(finding);
                break;
            }
        }
    }
    for part in &mut phases {
        part.findings.sort_by(|a, b| {
            (b.outcome.cmp(&a.outcome))
                .then_with(|| a.order.cmp(&b.order))
                .then_with(|| a.code.cmp(b.code))
                .then_with(|| a.subject.cmp(&b.subject))
        });
    }
    Verdict { phases }
}

/// As [`judge`], without words, for callers that judge very many pairs: the outcomes of a live migration and of a reset
/// after it.
#[must_use]
pub fn arrival(source: &Facts, destination: &Facts) -> [Outcome; 2] {
    let phases = &[Phase::LiveMigration, Phase::WarmReset];
    let mut report = Report::new(phases, false);
    rules::run(&Pair { source, destination }, &mut report);
    phases.map(|phase| report.outcome(phase))
}

/// The same of a cold boot.
#[must_use]
pub fn cold_boot(source: &Facts, destination: &Facts) -> Outcome {
    let mut report = Report::new(&[Phase::ColdBoot], false);
    rules::run(&Pair { source, destination }, &mut report);
    report.outcome(Phase::ColdBoot)
}
