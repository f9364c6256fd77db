//! Features that the guest's firmware has and the destination's lacks.

use fm_formats::image::Feature;
use fm_remedy::{Action, Remedy};

use super::{missing, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Confidential, Features, Outcome, Phase};

/// What a guest may depend on, and why it matters; Secure Boot and SMM have rules of their own.
const DEPENDED_ON: &[(Feature, &str)] = &[
    (
        Feature::Tpm2,
        "the TPM is no longer measured into or offered to the guest",
    ),
    (
        Feature::Tpm1,
        "the TPM 1.2 is no longer measured into or offered to the guest",
    ),
    (
        Feature::CcMeasurement,
        "the boot is no longer measured for attestation",
    ),
    (Feature::Tls, "boot over HTTPS is gone"),
    (Feature::HttpBoot, "boot over HTTP is gone"),
    (Feature::Iscsi, "boot from iSCSI is gone"),
    (Feature::PxeBoot, "boot from the network is gone"),
    (Feature::Ipv6, "network boot over IPv6 is gone"),
    (
        Feature::Shell,
        "the built-in shell, and boot entries that start it, are gone",
    ),
    (Feature::Csm, "systems that boot in BIOS mode do not start"),
    (Feature::Sev, "the guest cannot be encrypted with SEV"),
    (Feature::SevEs, "the guest cannot be encrypted with SEV-ES"),
    (Feature::SevSnp, "the guest cannot be encrypted with SEV-SNP"),
    (
        Feature::SevHashes,
        "kernel and command line are no longer part of SEV's measurement",
    ),
    (Feature::Tdx, "the guest cannot be a TDX guest"),
];

/// What a guest that is known not to be encrypted cannot miss.
const ENCRYPTION: &[Feature] = &[
    Feature::Sev,
    Feature::SevEs,
    Feature::SevSnp,
    Feature::SevHashes,
    Feature::Tdx,
    Feature::CcMeasurement,
];

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (source, destination) = (
        pair.source.code.features.fact(),
        pair.destination.code.features.fact(),
    );
    let (Some(from), Some(to)) = (source, destination) else {
        report.find(Phase::ColdBoot, Outcome::Unknown, || {
            missing(
                "the features of the firmware",
                source.is_none(),
                destination.is_none(),
            )
            .source(source, text)
            .destination(destination, text)
            .remedy(Remedy::new(
                "name whole firmware files, and see what they can do",
                Action::Inspect { path: None },
            ))
        });
        return;
    };
    let mut lost = from.value.without(to.value);
    if pair.source.confidential.value() == Some(&Confidential::No) {
        lost = lost.without(ENCRYPTION.iter().copied().collect());
    }
    let mut any = false;
    for &(feature, why) in DEPENDED_ON.iter().filter(|(feature, _)| lost.has(*feature)) {
        any = true;
        report.find(Phase::ColdBoot, Outcome::Caution, || {
            FindingDraft::about(alloc::format!("the feature {feature}"), why)
                .source(Some(from), text)
                .destination(Some(to), text)
                .remedy(
                    Remedy::new(
                        alloc::format!("if the guest needs it, keep its build, or choose one with {feature}"),
                        Action::Capture { guest: None },
                    )
                    .then(Action::Inspect {
                        path: super::subject(&pair.destination.code.path),
                    }),
                )
        });
    }
    if !any {
        report.find(Phase::ColdBoot, Outcome::Compatible, || {
            let gained: Features = to.value.without(from.value);
            FindingDraft::about(
                "the features of the firmware",
                alloc::format!("nothing is lost; gained: {gained}"),
            )
            .source(Some(from), text)
            .destination(Some(to), text)
        });
    }
}
