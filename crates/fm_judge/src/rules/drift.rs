//! The same path with other bytes: what the file holds now is not what the guest runs.

use fm_remedy::{Action, Remedy};

use super::text;
use crate::finding::{FindingDraft, ObservedValue};
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (from, to) = (&pair.source.code, &pair.destination.code);
    if let (Some(runs), Some(holds)) = (from.sha256.fact(), from.next_boot_code.fact())
        && runs.value != holds.value
    {
        report.find(Phase::ColdBoot, Outcome::Caution, || {
            FindingDraft::about(
                "the source's firmware file",
                "the file was replaced under the running guest, so a cold boot at the source gets other firmware as well",
            )
            .source(Some(runs), text)
            .destination(Some(holds), text)
            .remedy(Remedy::new(
                "keep the bytes that the guest runs",
                Action::Capture { guest: None },
            ))
        });
    }
    let (Some(here), Some(there), Some(old), Some(new)) = (
        from.path.fact(),
        to.path.fact(),
        from.sha256.fact(),
        to.sha256.fact(),
    ) else {
        return;
    };
    if here.value == there.value && old.value != new.value {
        report.find(Phase::ColdBoot, Outcome::Caution, || {
            let mut draft = FindingDraft::about(
                alloc::format!("the path {}", here.value),
                "one path names different firmware on the two sides, so the guest's definition does not tell them apart",
            )
            .remedy(Remedy::new(
                "name the build by its digest: import it, and use the path of the stored copy",
                Action::ImportBuild {
                    code: None,
                    with_template: false,
                },
            ));
            draft.source = Some(ObservedValue::of(old, text));
            draft.destination = Some(ObservedValue::of(new, text));
            draft
        });
    }
}
