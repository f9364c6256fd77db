//! Variables in QEMU's `uefi-vars` device against variables in flash.

use fm_formats::image::Feature;
use fm_remedy::{Action, ConvertTarget, Remedy};

use super::{subject, text};
use crate::finding::{AT_START, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase, QemuVersion};

/// The release whose `uefi-vars` device came first (QEMU `hw/uefi`).
const HAS_DEVICE: QemuVersion = QemuVersion::new(10, 0, 0);
/// The release that began to migrate a variable's digest, in a subsection.
const SENDS_DIGEST: QemuVersion = QemuVersion::new(11, 1, 0);

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (from, to) = (pair.source, pair.destination);
    let (old, new) = (from.code.features.fact(), to.code.features.fact());
    let (had, has) = (
        old.is_some_and(|fact| fact.value.has(Feature::PvVars)),
        new.is_some_and(|fact| fact.value.has(Feature::PvVars)),
    );
    if let (true, Some(source), Some(destination)) = (had, from.qemu.fact(), to.qemu.fact()) {
        let outcome = if destination.value < HAS_DEVICE {
            Outcome::Incompatible
        } else if (source.value < SENDS_DIGEST) != (destination.value < SENDS_DIGEST) {
            Outcome::Caution
        } else {
            Outcome::Compatible
        };
        report.find(Phase::LiveMigration, outcome, || {
            let draft = FindingDraft::about(
                "the uefi-vars device",
                match outcome {
                    Outcome::Incompatible => "variables live in a device that QEMU before 10.0 does not have",
                    Outcome::Caution => "only QEMU from 11.1 on sends a variable's digest, so it is lost or refused on the way",
                    _ => "both sides send the same state of the device",
                },
            )
            .source(Some(source), text)
            .destination(Some(destination), text);
            if outcome == Outcome::Compatible {
                return draft;
            }
            let draft = draft.remedy(Remedy::new(
                "use the same QEMU release on both sides, as this prints it",
                Action::ShowQemuVersion,
            ));
            if outcome == Outcome::Incompatible {
                return draft.qemu(AT_START, 0, messages::no_such_device("uefi-vars-x64"));
            }
            draft
        });
    }
    // A store in JSON says it by itself, whichever build wrote it.
    if let (Some(json), Some(new)) = (from.vars.in_device.fact().filter(|fact| fact.value), new) {
        let outcome = if has {
            Outcome::Compatible
        } else {
            Outcome::Incompatible
        };
        report.find(Phase::ColdBoot, outcome, || {
            let draft = FindingDraft::about(
                "where variables are kept",
                match has {
                    true => "the build reads the variables of QEMU's uefi-vars device, and that is what is brought",
                    false => "the build reads variables from flash, and what is brought is JSON of QEMU's uefi-vars device",
                },
            )
            .source(Some(json), |_| "JSON".into())
            .destination(Some(new), text);
            if has { draft } else { draft.remedy(convert(pair)) }
        });
        return;
    }
    if let (Some(old), Some(new)) = (old, new)
        && had != has
    {
        report.find(Phase::ColdBoot, Outcome::Incompatible, || {
            FindingDraft::about(
                "where variables are kept",
                "one build keeps variables in flash and the other in the uefi-vars device, so the guest's are not found",
            )
            .source(Some(old), text)
            .destination(Some(new), text)
            .remedy(convert(pair))
        });
    }
}

fn convert(pair: &Pair<'_>) -> Remedy {
    Remedy::new(
        "convert the store between the two forms",
        Action::ConvertVars {
            vars: subject(&pair.source.vars.path),
            target: Some(ConvertTarget::For(subject(&pair.destination.code.path))),
        },
    )
}
