//! A flash write in flight, from a QEMU that sends it to one that cannot take it.

use super::text;
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Firmware, Outcome, Phase, QemuVersion};

/// The first release that sends the subsection `pflash_cfi01_blk_write` while a buffered write is under
/// way (QEMU `hw/block/pflash_cfi01.c`, commit 284a7ee2e290).
const SENDS_WRITES: QemuVersion = QemuVersion::new(9, 0, 0);

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some(from), Some(to)) = (pair.source.qemu.fact(), pair.destination.qemu.fact()) else {
        return;
    };
    if pair.source.firmware.value() == Some(&Firmware::Bios)
        || from.value < SENDS_WRITES
        || to.value >= SENDS_WRITES
    {
        return;
    }
    report.find(Phase::LiveMigration, Outcome::Caution, || {
        FindingDraft::about(
            "a flash write in flight",
            "QEMU before 9.0 refuses the stream if the guest is in the middle of writing a variable at switchover",
        )
        .source(Some(from), text)
        .destination(Some(to), text)
        .remedy("if it fails the guest runs on at the source: try again, best when nothing writes variables")
    });
}
