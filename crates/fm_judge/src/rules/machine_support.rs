//! Whether the destination's QEMU has the machine type at all.

use super::text;
use crate::finding::{AT_START, Told};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

/// QEMU removes a machine type when it is six years old, which is six major versions
/// (QEMU `docs/about/deprecated.rst`, "Versioned machine types").
const YEARS_KEPT: u16 = 6;

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some(machine), Some(qemu)) = (pair.destination.machine.fact(), pair.destination.qemu.fact()) else {
        // What is missing is said by the rules on machine type and QEMU version.
        return;
    };
    let Some(version) = machine.value.version() else {
        return;
    };
    let outcome = if version > (qemu.value.major, qemu.value.minor) {
        Outcome::Incompatible
    } else if version.0.saturating_add(YEARS_KEPT) < qemu.value.major {
        Outcome::Unknown
    } else {
        Outcome::Compatible
    };
    for phase in [Phase::LiveMigration, Phase::ColdBoot] {
        report.find(phase, outcome, || {
            let told = Told::about(
                "the machine type in the destination's QEMU",
                match outcome {
                    Outcome::Incompatible => "a QEMU does not know the machine types of later versions and does not start",
                    Outcome::Unknown => "QEMU removes machine types after six years, so this one may be gone",
                    _ => "QEMU keeps the machine types of earlier versions for six years",
                },
            )
            .source(Some(machine), text)
            .destination(Some(qemu), text);
            match outcome {
                Outcome::Incompatible => told
                    .remedy(alloc::format!(
                        "use QEMU {}.{} or later at the destination, or cold-boot the guest on an older machine type",
                        version.0, version.1
                    ))
                    .qemu(AT_START, 0, messages::unsupported_machine(machine.value.name(), qemu.value)),
                Outcome::Unknown => told.remedy("ask that QEMU: qemu-system-x86_64 -machine help"),
                _ => told,
            }
        });
    }
}
