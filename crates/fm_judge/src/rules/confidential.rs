//! Encrypted guests: the firmware is part of what they attest, and they do not migrate this way.

use super::text;
use crate::finding::Told;
use crate::report::{Pair, Report};
use crate::{Confidential, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (source, destination) = (
        pair.source.confidential.fact(),
        pair.destination.confidential.fact(),
    );
    let Some(from) = source else {
        return;
    };
    if from.value == Confidential::No && destination.is_none_or(|to| to.value == Confidential::No) {
        return;
    }
    report.find(Phase::LiveMigration, Outcome::Incompatible, || {
        Told::about(
            "memory encryption",
            "the host cannot read the memory of an encrypted guest, so QEMU does not migrate it",
        )
        .source(source, text)
        .destination(destination, text)
        .remedy("shut the guest down and cold-boot it at the destination")
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
        let told = Told::about("launch measurement", why)
            .source(source, text)
            .destination(pair.destination.code.features.fact(), text);
        if outcome == Outcome::Compatible {
            return told;
        }
        told.remedy("keep the guest's build, or give the verifier the new measurement before")
    });
}
