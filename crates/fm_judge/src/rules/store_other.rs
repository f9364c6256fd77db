//! A cold boot on a store that is not the guest's own.

use super::{named, store_layout, text};
use crate::finding::Told;
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
            let told = Told::about(
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
                return told;
            }
            told.remedy(alloc::format!(
                "see what differs: flashmoor vars diff {} {}",
                named(&pair.source.vars.path, "VARS"),
                named(&pair.destination.vars.path, "OTHER")
            ))
        },
    );
}
