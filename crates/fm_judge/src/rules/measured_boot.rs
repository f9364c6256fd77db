//! Measured boot: which PCRs change at a cold boot, and who notices.

use super::text;
use crate::finding::Told;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};
use fm_formats::image::Feature;

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (from, to) = (&pair.source.code, &pair.destination.code);
    let (Some(old), Some(new)) = (from.sha256.fact(), to.sha256.fact()) else {
        // The rule on the build asks for the digests.
        return;
    };
    if pair.source.tpm.value() == Some(&false) {
        return;
    }
    let measures = |unit: &crate::CodeUnit| {
        unit.features
            .value()
            .is_none_or(|features| features.has(Feature::Tpm2) || features.has(Feature::Tpm1))
    };
    if !measures(from) && !measures(to) {
        return;
    }
    let volumes = match (from.measured.value(), to.measured.value()) {
        (Some(old), Some(new)) => old == new,
        _ => false,
    };
    let outcome = if old.value == new.value || volumes {
        Outcome::Compatible
    } else {
        Outcome::Caution
    };
    report.find(Phase::ColdBoot, outcome, || {
        let told = Told::about(
            "measured boot",
            match outcome {
                Outcome::Compatible => "the measured volumes are the same, so PCR 0 keeps its value",
                _ => "PCR 0 changes, and PCR 2, 4 and 7 may: disk encryption that is bound to them asks for its recovery key",
            },
        )
        .source(Some(old), text)
        .destination(Some(new), text);
        if outcome == Outcome::Compatible {
            return told;
        }
        told.remedy(
            "suspend it in the guest before the cold boot: manage-bde -protectors -disable C: (BitLocker), systemd-cryptenroll (LUKS)",
        )
    });
}
