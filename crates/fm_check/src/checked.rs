//! A verdict on two sides, and which of a destination's firmware it is on.

use fm_api::v1::check::Assumption;
use fm_judge::{Facts, Outcome, Phase, Verdict, judge};

use crate::side::Side;

/// A verdict, and what it is on. [`crate::check_document`] makes its document.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What was taken for the source, in words.
    pub source: String,
    /// What was taken for the destination.
    pub destination: String,
    /// What was found; remedies name the guest where it is known.
    pub verdict: Verdict,
    /// Other firmware that the destination has; empty unless the destination is a folder with a choice.
    pub candidates: Vec<Candidate>,
    /// What was not told, and taken to be so.
    pub assumptions: Vec<Assumption>,
}

/// A build that the destination has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its file.
    pub code: String,
    /// The outcome of a live migration.
    pub live_migration: Outcome,
    /// The outcome of a warm reset after it.
    pub warm_reset: Outcome,
    /// The outcome of a cold boot.
    pub cold_boot: Outcome,
}

impl Checked {
    pub(crate) fn new(
        source: &Side,
        destination: &Side,
        verdict: &Verdict,
        candidates: Vec<Candidate>,
    ) -> Self {
        Self {
            source: source.name.clone(),
            destination: destination.name.clone(),
            verdict: verdict.clone().with_remedies(|remedy| source.target.aim(remedy)),
            candidates,
            assumptions: Vec::new(),
        }
    }
}

/// The verdict on each side that the destination can be.
pub(crate) fn judged(source: &Side, sides: Vec<Side>) -> Vec<(Side, Verdict)> {
    let judge = |side: Side| {
        let verdict = judge(&source.facts, &side.facts);
        (side, verdict)
    };
    sides.into_iter().map(judge).collect()
}

/// The file that the guest's definition names is what it gets there; else the best there is.
pub(crate) fn chosen<'a>(source: &Side, judged: &'a [(Side, Verdict)]) -> Option<&'a (Side, Verdict)> {
    judged
        .iter()
        .find(|(side, _)| has_path_of(&source.facts, &side.facts))
        .or_else(|| judged.iter().min_by_key(|(_, verdict)| rank(verdict)))
}

/// Whether both sides' CODE has the same file name, so that a definition that moves finds this one.
fn has_path_of(source: &Facts, destination: &Facts) -> bool {
    let path = |facts: &Facts| facts.code.path.value().cloned();
    match (path(source), path(destination)) {
        (Some(from), Some(to)) => from == to,
        _ => false,
    }
}

/// What a user wants first: that the guest arrives, then that it boots again.
fn rank(verdict: &Verdict) -> (Outcome, Outcome) {
    (
        verdict.phase(Phase::LiveMigration).outcome(),
        verdict.phase(Phase::ColdBoot).outcome(),
    )
}

/// One of several that the destination has.
pub(crate) fn candidate(name: &str, verdict: &Verdict) -> Candidate {
    let outcome = |phase| verdict.phase(phase).outcome();
    Candidate {
        code: name.to_owned(),
        live_migration: outcome(Phase::LiveMigration),
        warm_reset: outcome(Phase::WarmReset),
        cold_boot: outcome(Phase::ColdBoot),
    }
}
