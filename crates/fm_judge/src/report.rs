//! Where rules put what they find; words are made only when somebody wants to read them.

use alloc::vec::Vec;

use crate::finding::FindingDraft;
use crate::{Facts, Finding, Outcome, Phase};

/// The two sides that rules compare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) source: &'a Facts,
    pub(crate) destination: &'a Facts,
}

/// A rule: the code of its findings, the page that explains them, the phases that it speaks of, and the function.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) code: &'static str,
    pub(crate) page: &'static str,
    pub(crate) phases: &'static [Phase],
    pub(crate) run: fn(&Pair<'_>, &mut Report),
}

/// Collects outcomes of the phases that are asked for, and findings if they are wanted.
#[derive(Debug)]
pub(crate) struct Report {
    asked: &'static [Phase],
    rule: Option<&'static Rule>,
    worst: [Option<Outcome>; 3],
    findings: Option<Vec<Finding>>,
}

impl Report {
    pub(crate) fn new(asked: &'static [Phase], wants_findings: bool) -> Self {
        Self {
            asked,
            rule: None,
            worst: [None; 3],
            findings: wants_findings.then(Vec::new),
        }
    }

    /// Whether one of these phases is asked for.
    pub(crate) fn asks(&self, phases: &[Phase]) -> bool {
        phases.iter().any(|phase| self.asked.contains(phase))
    }

    /// The rule that speaks from now on.
    pub(crate) fn enter(&mut self, rule: &'static Rule) {
        self.rule = Some(rule);
    }

    /// Notes a finding of a phase that is asked for; `told` is not called when only outcomes are wanted.
    pub(crate) fn find(&mut self, phase: Phase, outcome: Outcome, draft: impl FnOnce() -> FindingDraft) {
        if let Some(rule) = self.rule {
            let says_so = rule.phases.contains(&phase);
            debug_assert!(says_so, "{} does not say that it speaks of {phase}", rule.code);
        }
        if !self.asks(&[phase]) {
            return;
        }
        let worst = match phase {
            Phase::LiveMigration => &mut self.worst[0],
            Phase::WarmReset => &mut self.worst[1],
            Phase::ColdBoot => &mut self.worst[2],
        };
        *worst = (*worst).max(Some(outcome));
        if let Some(findings) = &mut self.findings {
            let draft = draft();
            findings.push(Finding {
                code: self.rule.map_or("", |rule| rule.code),
                phase,
                outcome,
                subject: draft.subject,
                source: draft.source,
                destination: draft.destination,
                why: draft.why,
                remedy: draft.remedy,
                qemu_message: draft.qemu_message,
                effect: draft.effect,
                order: draft.order,
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
