//! A cold boot on a store that is not the guest's own.

use fm_remedy::{Action, Remedy};

use super::{store_layout, subject, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some(own), Some(other)) = (
        pair.source.vars.sha256.fact(),
        pair.destination.vars.sha256.fact(),
    ) else {
        return;
    };
    if !store_layout::uses_store(pair.destination) {
        return;
    }
    let same = own.value == other.value;
    report.find(
        Phase::ColdBoot,
        if same {
            Outcome::Compatible
        } else {
            Outcome::Caution
        },
        || {
            let draft = FindingDraft::about(
                "the content of VARS",
                if same {
                    "the guest's own variables are there"
                } else {
                    "the destination's file holds other variables than the guest has now: it boots with those"
                },
            )
            .source(Some(own), text)
            .destination(Some(other), text);
            if same {
                return draft;
            }
            draft.remedy(Remedy::new(
                "see what differs",
                Action::DiffVars {
                    from: subject(&pair.source.vars.path),
                    to: subject(&pair.destination.vars.path),
                },
            ))
        },
    );
}
