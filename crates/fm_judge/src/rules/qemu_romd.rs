//! A flash command in flight, to a QEMU that forgets what mode the chip was in.

use super::text;
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Firmware, Outcome, Phase, QemuVersion};

/// Whether this release restores the chip's read mode when a guest arrives in the middle of a command.
fn restores_mode(qemu: QemuVersion) -> bool {
    (QemuVersion::new(10, 0, 13)..QemuVersion::new(10, 1, 0)).contains(&qemu)
        || qemu >= QemuVersion::new(11, 1, 1)
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let Some(to) = pair.destination.qemu.fact() else {
        return;
    };
    if pair.source.firmware.value() == Some(&Firmware::Bios) || restores_mode(to.value) {
        return;
    }
    // Nearly every QEMU in use has this, between equal versions too, and the window is one flash
    // command: it is said, but it does not make every live migration there is one of caution.
    report.find(Phase::LiveMigration, Outcome::Compatible, || {
        FindingDraft::about(
            "a flash command in flight",
            "this QEMU loses the chip's mode if switchover lands within a single flash command, and the guest's write then fails",
        )
        .source(pair.source.qemu.fact(), text)
        .destination(Some(to), text)
        .remedy("migrate while the guest writes no variables; QEMU 10.0.13 and 11.1.1 have the correction")
    });
}
