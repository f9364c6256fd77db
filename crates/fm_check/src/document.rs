//! The document of a check: `flashmoor/check/1`.

use fm_judge::{Finding, ObservedValue, Outcome, Phase, PhaseVerdict};
use fm_remedy::{Action, Remedy};
use schemars::JsonSchema;
use serde::Serialize;

use crate::assumptions::Assumption;
use crate::checked::{Candidate, Checked};

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

/// What a firmware change does to a guest, phase by phase.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Check {
    /// `flashmoor/check/1`.
    pub schema: String,
    /// What was taken for the source, in words.
    pub source: String,
    /// What was taken for the destination.
    pub destination: String,
    /// The worst of all phases: `compatible`, `caution`, `unknown` or `incompatible`.
    pub outcome: String,
    /// The phases.
    pub phases: Phases,
    /// What was not told, and taken to be so; the verdict holds where it is.
    pub assumptions: Vec<Assumption>,
    /// What is not looked at, and may stand against it all the same.
    pub not_judged: Vec<&'static str>,
    /// Other firmware that the destination has, each with its outcome over all phases; empty unless the
    /// destination is a folder with a choice.
    pub candidates: Vec<Candidate>,
}

/// The three moments at which firmware can change.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Phases {
    /// The guest moves while it runs; restoring a saved guest is judged in the same way.
    pub live_migration: PhaseDocument,
    /// The guest resets where it arrived.
    pub warm_reset: PhaseDocument,
    /// A new QEMU process starts the guest from the destination's files.
    pub cold_boot: PhaseDocument,
}

/// One phase.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PhaseDocument {
    /// The worst of its findings.
    pub outcome: String,
    /// What was found, the worst first.
    pub findings: Vec<FindingDocument>,
}

/// One judged fact.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FindingDocument {
    /// The stable code; `flashmoor explain CODE` prints its page.
    pub code: String,
    /// What will come of it.
    pub outcome: String,
    /// What was compared.
    pub subject: String,
    /// The source's value; null if it is not known or there is none.
    pub source: Option<String>,
    /// The destination's value.
    pub destination: Option<String>,
    /// Where the values were read.
    pub evidence: Evidence,
    /// Why it matters.
    pub why: String,
    /// What to do about it, in words.
    pub remedy: Option<String>,
    /// What carries that out, in the order in which it is done; a subject that is null is not known.
    pub actions: Vec<Action>,
    /// What QEMU prints when it is tried, without the program's name before it.
    pub qemu_message: Option<String>,
    /// What a cold boot does to the guest and its variables, where the finding foretells that: `kept`,
    /// `volatile` (boots, nothing is ever written), `recreated` (boots without its variables),
    /// `dead_untouched`, `dead_written` (the variables are still in the store), `dead_erased`.
    pub effect: Option<String>,
}

/// Where the values of a finding were read: files with offsets, QMP commands, /proc, options.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Evidence {
    /// The source's.
    pub source: Option<String>,
    /// The destination's.
    pub destination: Option<String>,
}

impl Check {
    /// The document of `checked`.
    #[must_use]
    pub fn new(checked: &Checked, wording: Wording) -> Self {
        let phase = |phase| PhaseDocument::new(checked.verdict.phase(phase), wording);
        Self {
            schema: "flashmoor/check/1".into(),
            source: checked.source.clone(),
            destination: checked.destination.clone(),
            outcome: checked.verdict.outcome().to_string(),
            phases: Phases {
                live_migration: phase(Phase::LiveMigration),
                warm_reset: phase(Phase::WarmReset),
                cold_boot: phase(Phase::ColdBoot),
            },
            assumptions: checked.assumptions.clone(),
            not_judged: NOT_JUDGED.to_vec(),
            candidates: checked.candidates.clone(),
        }
    }

    /// The phases with their names.
    pub fn phases(&self) -> impl Iterator<Item = (&'static str, &PhaseDocument)> {
        [
            (Phase::LiveMigration.name(), &self.phases.live_migration),
            (Phase::WarmReset.name(), &self.phases.warm_reset),
            (Phase::ColdBoot.name(), &self.phases.cold_boot),
        ]
        .into_iter()
    }
}

impl PhaseDocument {
    /// The document of one phase.
    #[must_use]
    pub fn new(verdict: &PhaseVerdict, wording: Wording) -> Self {
        let finding = |finding| FindingDocument::new(finding, wording);
        Self {
            outcome: verdict.outcome().to_string(),
            findings: verdict.findings().iter().map(finding).collect(),
        }
    }
}

impl FindingDocument {
    /// The document of one finding.
    #[must_use]
    pub fn new(finding: &Finding, wording: Wording) -> Self {
        let value = |side: &Option<ObservedValue>| side.as_ref().map(|observed| observed.value.clone());
        let evidence = |side: &Option<ObservedValue>| {
            let observed = side.as_ref()?;
            Some((wording.evidence)(&observed.evidence))
        };
        Self {
            code: finding.code.into(),
            outcome: finding.outcome.to_string(),
            subject: finding.subject.clone(),
            source: value(&finding.source),
            destination: value(&finding.destination),
            evidence: Evidence {
                source: evidence(&finding.source),
                destination: evidence(&finding.destination),
            },
            why: finding.why.clone(),
            remedy: finding.remedy.as_ref().map(wording.remedy),
            actions: finding
                .remedy
                .iter()
                .flat_map(|remedy| remedy.actions.clone())
                .collect(),
            qemu_message: finding.qemu_message.clone(),
            effect: finding.effect.map(|effect| effect.to_string()),
        }
    }

    /// Whether people should see it: everything but what is simply in order.
    #[must_use]
    pub fn is_worth_saying(&self) -> bool {
        self.outcome != Outcome::Compatible.name() || self.remedy.is_some()
    }
}
