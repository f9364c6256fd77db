//! Measured boot: which PCRs change at a cold boot, and who notices.
//!
//! What goes where: TCG PC Client Platform Firmware Profile, section 3.3.4. PCR 0 the firmware's own volumes
//! (edk2 `SecurityPkg/Tcg/Tcg2Pei`), PCR 1 the platform's configuration, PCR 7 whether Secure Boot is on and
//! PK, KEK, db and dbx (edk2 `SecurityPkg/Tcg/Tcg2Dxe`, `MeasureAllSecureVariables`).

use alloc::string::String;
use alloc::vec::Vec;

use fm_formats::image::Feature;
use fm_remedy::{Action, Remedy};

use super::text;
use crate::finding::{FindingDraft, ObservedValue};
use crate::report::{Pair, Report};
use crate::{CodeUnit, Facts, Known, Outcome, Phase};

/// What is measured into a PCR, on both sides, and why it changes.
struct Change {
    pcr: &'static str,
    why: &'static str,
    source: Option<ObservedValue>,
    destination: Option<ObservedValue>,
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (from, to) = (pair.source, pair.destination);
    let (Some(old), Some(new)) = (from.code.sha256.fact(), to.code.sha256.fact()) else {
        // The rule on the build asks for the digests.
        return;
    };
    if from.tpm.value() == Some(&false) || (!measures(&from.code) && !measures(&to.code)) {
        return;
    }
    let other_build = old.value != new.value;
    let same_volumes = matches!(
        (from.code.measured.value(), to.code.measured.value()),
        (Some(old), Some(new)) if old == new
    );
    let volumes = other_build && !same_volumes;
    let machine = differ(&from.machine, &to.machine);
    let support = secure_boot(from) != secure_boot(to);
    let keys = differ(&from.vars.secure_boot, &to.vars.secure_boot);
    if !(volumes || machine || support || keys) {
        report.find(Phase::ColdBoot, Outcome::Compatible, || {
            FindingDraft::about(
                "measured boot",
                "what is measured of the firmware, of its Secure Boot keys and of the machine is the same on both sides",
            )
            .source(Some(old), text)
            .destination(Some(new), text)
        });
        return;
    }
    report.find(Phase::ColdBoot, Outcome::Caution, || {
        let mut changes: Vec<Change> = Vec::new();
        if volumes {
            changes.push(Change {
                pcr: "PCR 0",
                why: "the firmware's volumes",
                source: Some(ObservedValue::of(old, text)),
                destination: Some(ObservedValue::of(new, text)),
            });
        }
        if machine {
            changes.push(Change {
                pcr: "PCR 1",
                why: "the machine",
                source: from.machine.fact().map(|fact| ObservedValue::of(fact, text)),
                destination: to.machine.fact().map(|fact| ObservedValue::of(fact, text)),
            });
        }
        if support {
            changes.push(Change {
                pcr: "PCR 7",
                why: "whether Secure Boot is supported",
                source: from
                    .code
                    .features
                    .fact()
                    .map(|fact| ObservedValue::of(fact, text)),
                destination: to.code.features.fact().map(|fact| ObservedValue::of(fact, text)),
            });
        } else if keys {
            changes.push(Change {
                pcr: "PCR 7",
                why: "the Secure Boot keys",
                source: from
                    .vars
                    .secure_boot
                    .fact()
                    .map(|fact| ObservedValue::of(fact, text)),
                destination: to
                    .vars
                    .secure_boot
                    .fact()
                    .map(|fact| ObservedValue::of(fact, text)),
            });
        }
        draft(changes, volumes)
    });
}

fn draft(changes: Vec<Change>, volumes: bool) -> FindingDraft {
    let list: Vec<String> = changes
        .iter()
        .map(|change| alloc::format!("{} ({})", change.pcr, change.why))
        .collect();
    let more = if volumes {
        ", and PCR 2 and 4 may, which hold drivers and boot loaders that the firmware brings"
    } else {
        ""
    };
    let verb = if list.len() == 1 { "changes" } else { "change" };
    let mut draft = FindingDraft::about(
        "measured boot",
        alloc::format!(
            "{} {verb}{more}: disk encryption that is bound to them asks for its recovery key",
            list.join(", ")
        ),
    );
    if let Some(first) = changes.into_iter().next() {
        draft.source = first.source;
        draft.destination = first.destination;
    }
    draft.remedy(
        Remedy::new(
            "have the recovery key at hand; before the cold boot, suspend BitLocker in the guest, and with LUKS see that a passphrase is enrolled besides the TPM",
            Action::SuspendBitLocker,
        )
        .then(Action::ListLuksKeys),
    )
}

fn measures(unit: &CodeUnit) -> bool {
    unit.features
        .value()
        .is_none_or(|features| features.has(Feature::Tpm2) || features.has(Feature::Tpm1))
}

/// Whether both are known and not the same.
fn differ<T: PartialEq>(one: &Known<T>, other: &Known<T>) -> bool {
    matches!((one.value(), other.value()), (Some(one), Some(other)) if one != other)
}

fn secure_boot(facts: &Facts) -> Option<bool> {
    facts
        .code
        .features
        .value()
        .map(|features| features.has(Feature::SecureBoot))
}
