//! Encrypted guests: the firmware is part of what they attest, and they do not migrate this way.

use fm_formats::image::Feature;
use fm_remedy::{Action, Input, Remedy};

use super::text;
use crate::finding::{AT_START, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Confidential, Evidence, Features, Outcome, Phase};

const ENCRYPTIONS: [Feature; 4] = [Feature::Sev, Feature::SevEs, Feature::SevSnp, Feature::Tdx];

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (source, destination) = (
        pair.source.confidential.fact(),
        pair.destination.confidential.fact(),
    );
    let Some(from) = source else {
        assumed(pair, report);
        return;
    };
    if from.value == Confidential::No && destination.is_none_or(|to| to.value == Confidential::No) {
        report.find(Phase::LiveMigration, Outcome::Compatible, || {
            FindingDraft::about("memory encryption", "the guest's memory is not encrypted")
                .source(source, text)
                .destination(destination, text)
        });
        return;
    }
    report.find(Phase::LiveMigration, Outcome::Incompatible, || {
        let draft = FindingDraft::about(
            "memory encryption",
            "the host cannot read the memory of an encrypted guest, so QEMU does not migrate it",
        )
        .source(source, text)
        .destination(destination, text)
        .remedy(Remedy::new(
            "shut the guest down and cold-boot it at the destination",
            Action::ShutDown { guest: None },
        ));
        match from.value {
            Confidential::Sev | Confidential::SevEs => draft.qemu(AT_START, 0, messages::SEV_BLOCKER),
            _ => draft,
        }
    });
    if from.value == Confidential::No {
        return;
    }
    let supported = match (from.value.feature(), pair.destination.code.features.value()) {
        (Some(feature), Some(features)) => Some(features.has(feature)),
        _ => None,
    };
    let same = match (
        pair.source.code.sha256.value(),
        pair.destination.code.sha256.value(),
    ) {
        (Some(from), Some(to)) => Some(from == to),
        _ => None,
    };
    let (outcome, why) = match (supported, same) {
        (Some(false), _) => (
            Outcome::Incompatible,
            "the firmware has no support for this encryption and does not come up",
        ),
        (_, Some(true)) => (
            Outcome::Compatible,
            "the same bytes give the same launch measurement",
        ),
        (Some(true), Some(false)) => (
            Outcome::Caution,
            "the launch measurement covers the firmware, so attestation fails until the new value is known",
        ),
        _ => (
            Outcome::Unknown,
            "whether the firmware supports this encryption is not known",
        ),
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about("launch measurement", why)
            .source(source, text)
            .destination(pair.destination.code.features.fact(), text);
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            "give the verifier the new measurement before, or keep the guest's build",
            Action::Capture { guest: None },
        ))
    });
}

/// Files do not show whether a guest is encrypted. Hardly any is, so that it is not is assumed, and said
/// where the firmware could do it.
fn assumed(pair: &Pair<'_>, report: &mut Report) {
    let able = pair
        .source
        .code
        .features
        .value()
        .is_none_or(|features: &Features| ENCRYPTIONS.iter().any(|kind| features.has(*kind)));
    report.find(Phase::LiveMigration, Outcome::Compatible, || {
        let mut draft = FindingDraft::about(
            "memory encryption",
            "nothing says whether the guest's memory is encrypted; it is taken not to be, and an encrypted guest does not migrate",
        );
        draft.source = Some(crate::ObservedValue {
            value: "none".into(),
            evidence: Evidence::Assumed("assumed: neither a command line nor the request says otherwise".into()),
        });
        if able {
            return draft.remedy(Remedy::give("if it is, say so", [Input::Confidential]));
        }
        draft
    });
}
