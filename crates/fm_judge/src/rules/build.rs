//! Whether a cold boot gets the very bytes that the guest runs.

use super::{missing, name_firmware, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the firmware's digest";
    let (source, destination) = (
        pair.source.code.sha256.fact(),
        pair.destination.code.sha256.fact(),
    );
    let known = source.is_some() && destination.is_some();
    report.find(
        Phase::ColdBoot,
        if known { Outcome::Compatible } else { Outcome::Unknown },
        || {
            if !known {
                return missing(SUBJECT, source.is_none(), destination.is_none())
                    .source(source, text)
                    .destination(destination, text)
                    .remedy(name_firmware());
            }
            FindingDraft::about(
                SUBJECT,
                "a cold boot reads the file anew: equal digests mean nothing changes, and for others the findings beside this one say what does",
            )
            .source(source, text)
            .destination(destination, text)
        },
    );
}
