//! What a warm reset at the destination runs: the source's firmware, if the guest can arrive at all.

use fm_remedy::{Action, Remedy};

use crate::finding::{FindingDraft, ObservedValue};
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let arrives = report.outcome(Phase::LiveMigration);
    let outcome = match arrives {
        Outcome::Compatible | Outcome::Caution => Outcome::Compatible,
        other => other,
    };
    report.find(Phase::WarmReset, outcome, || {
        let mut draft = FindingDraft::about(
            "the firmware after a reset",
            match outcome {
                Outcome::Compatible => {
                    "a reset never reads the file again: the guest boots the firmware that it arrived with"
                }
                Outcome::Unknown => {
                    "whether the guest can arrive is not known, so neither is what it would boot"
                }
                _ => "the guest does not arrive, so it resets at the source as before",
            },
        );
        draft.source = pair
            .source
            .code
            .sha256
            .fact()
            .map(|fact| ObservedValue::of(fact, super::text));
        draft.destination = draft.source.clone();
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            "settle the findings on live_migration first; each has its page",
            Action::Explain { code: None },
        ))
    });
}
