//! What a cold boot on one side comes to, as the findings of one code foretell it.

use fm_formats::image::Feature;
use fm_judge::{Effect, Facts, Features, Finding, Known, Outcome, Phase, judge};

/// What a cold boot on this side comes to, as the findings of one code say, the worst first.
pub(crate) fn findings(to: &Facts, code: &str) -> Vec<Finding> {
    let verdict = judge(to, to);
    let all = verdict.phase(Phase::ColdBoot).findings().iter();
    all.filter(|finding| finding.code == code).cloned().collect()
}

/// The same as answers and effects.
pub(crate) fn foretold(to: &Facts, code: &str) -> Vec<(Outcome, Option<Effect>)> {
    let all = findings(to, code);
    all.iter()
        .map(|finding| (finding.outcome, finding.effect))
        .collect()
}

/// What a build can do that is known to need system management mode, or not to, or of which that is not known.
pub(crate) fn smm(is_smm: Option<bool>) -> Known<Features> {
    match is_smm {
        None => Known::default(),
        Some(true) => Known::new([Feature::Smm].into_iter().collect(), "modules"),
        Some(false) => Known::new(Features::default(), "modules"),
    }
}

/// A flag of the build that is known or not.
pub(crate) fn is(flag: Option<bool>) -> Known<bool> {
    flag.map_or_else(Known::default, |flag| Known::new(flag, "CODE"))
}
