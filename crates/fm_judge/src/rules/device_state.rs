//! Devices whose state one release of QEMU is known not to take from another, whatever the firmware.

use super::text;
use crate::finding::{AT_DEVICES, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase, QemuVersion};

/// A known break: releases of the source and of the destination, a device by a part of its ROM's name, and QEMU's words.
struct Break {
    from: core::ops::Range<QemuVersion>,
    to: core::ops::Range<QemuVersion>,
    device: &'static str,
    why: &'static str,
    message: &'static str,
}

/// Run: 10.0.13 to 11.1.3 fails so with a virtio-net device; 10.0 to 7.2, 7.2 to 11.1 and 11.1 to 10.0 do not.
const KNOWN: [Break; 1] = [Break {
    from: QemuVersion::new(10, 0, 13)..QemuVersion::new(10, 1, 0),
    to: QemuVersion::new(11, 1, 0)..QemuVersion::new(11, 2, 0),
    device: "virtio-net",
    why: "QEMU 11.1 refuses the queues of a virtio network card that QEMU 10.0 sends, whatever the firmware",
    message: messages::VIRTIO_QUEUE_TOO_LARGE,
}];

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let (Some(from), Some(to)) = (pair.source.qemu.fact(), pair.destination.qemu.fact()) else {
        return;
    };
    for known in KNOWN
        .iter()
        .filter(|known| known.from.contains(&from.value) && known.to.contains(&to.value))
    {
        // A device shows in the name of its option ROM; one without a ROM shows nowhere.
        let has_device = pair
            .source
            .blocks
            .value()
            .is_some_and(|blocks| blocks.iter().any(|block| block.name.contains(known.device)));
        let outcome = if has_device {
            Outcome::Incompatible
        } else {
            Outcome::Caution
        };
        report.find(Phase::LiveMigration, outcome, || {
            let draft = FindingDraft::about(alloc::format!("the state of {}", known.device), known.why)
                .source(Some(from), text)
                .destination(Some(to), text)
                .remedy(
                    "move the guest to a QEMU of its own release series, or start it anew at the destination",
                );
            if has_device {
                draft.qemu(AT_DEVICES, 0, known.message)
            } else {
                draft
            }
        });
    }
}
