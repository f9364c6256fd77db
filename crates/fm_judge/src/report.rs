//! Where rules put what they find; words are made only when somebody wants to read them.

use alloc::vec::Vec;

use crate::finding::Told;
use crate::{Facts, Finding, Outcome, Phase};

/// The two sides that rules compare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) source: &'a Facts,
    pub(crate) destination: &'a Facts,
}

/// Collects outcomes, and findings if they are wanted.
#[derive(Debug)]
pub(crate) struct Report {
    code: &'static str,
    worst: [Option<Outcome>; 3],
    findings: Option<Vec<Finding>>,
}

impl Report {
    pub(crate) fn new(wants_findings: bool) -> Self {
        Self {
            code: "",
            worst: [None; 3],
            findings: wants_findings.then(Vec::new),
        }
    }

    /// The rule that speaks from now on.
    pub(crate) fn enter(&mut self, code: &'static str) {
        self.code = code;
    }

    /// Notes a finding; `told` is not called when only outcomes are wanted.
    pub(crate) fn find(&mut self, phase: Phase, outcome: Outcome, told: impl FnOnce() -> Told) {
        let worst = match phase {
            Phase::LiveMigration => &mut self.worst[0],
            Phase::WarmReset => &mut self.worst[1],
            Phase::ColdBoot => &mut self.worst[2],
        };
        *worst = (*worst).max(Some(outcome));
        if let Some(findings) = &mut self.findings {
            let told = told();
            findings.push(Finding {
                code: self.code,
                phase,
                outcome,
                subject: told.subject,
                source: told.source,
                destination: told.destination,
                why: told.why,
                remedy: told.remedy,
                qemu_message: told.qemu_message,
                effect: told.effect,
                order: told.order,
            });
        }
    }

    /// The worst outcome so far; a phase of which nothing was found is unknown.
    pub(crate) fn outcome(&self, phase: Phase) -> Outcome {
        match phase {
            Phase::LiveMigration => self.worst[0],
            Phase::WarmReset => self.worst[1],
            Phase::ColdBoot => self.worst[2],
        }
        .unwrap_or(Outcome::Unknown)
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings.unwrap_or_default()
    }
}
