//! The size of CODE: the RAM block that QEMU refuses first when builds of two layouts meet.

use fm_remedy::{Action, Input, Remedy};

use super::{hex, missing, name_firmware};
use crate::facts::Unit;
use crate::finding::{AT_BLOCK_TABLE, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Firmware, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the size of CODE";
    let kinds = (pair.source.firmware.value(), pair.destination.firmware.value());
    if let (Some(from), Some(to)) = kinds
        && from != to
    {
        // Different blocks: another rule says so, and comparing their sizes means nothing.
        return;
    }
    let (source, destination) = (
        pair.source.code.size_bytes.fact(),
        pair.destination.code.size_bytes.fact(),
    );
    let (Some(from), Some(to)) = (source, destination) else {
        report.find(Phase::LiveMigration, Outcome::Unknown, || {
            missing(SUBJECT, source.is_none(), destination.is_none())
                .source(source, hex)
                .destination(destination, hex)
                .remedy(name_firmware())
        });
        return;
    };
    let same = from.value == to.value;
    if let (false, Some(chip_bytes)) = (same, super::flash_file::chip_bytes(pair.source)) {
        // Both chips have the board's size, whatever the files have; the rule on files speaks of the
        // destination's. A guest cannot have been started on one that does not fill its chip.
        if from.value != chip_bytes && !pair.source.blocks.is_known() {
            report.find(Phase::LiveMigration, Outcome::Unknown, || {
                FindingDraft::about(
                    SUBJECT,
                    "QEMU does not start with a file that does not fill its chip, so this is not what the guest runs",
                )
                .source(source, hex)
                .destination(destination, hex)
                .remedy(Remedy::give("name the padded file that the guest was started with", [Input::SourceCode]))
            });
        }
        return;
    }
    report.find(
        Phase::LiveMigration,
        if same { Outcome::Compatible } else { Outcome::Incompatible },
        || {
            let draft = FindingDraft::about(
                SUBJECT,
                "the source's CODE travels as a RAM block, and it only lands in a flash device of its own size",
            )
            .source(source, hex)
            .destination(destination, hex);
            if same {
                return draft;
            }
            let block = match kinds.0 {
                Some(Firmware::Bios) => "pc.bios",
                _ => pair.source.flash_block(Unit::Code),
            };
            draft.remedy(
                Remedy::new(
                    "make a landing of the right size at the destination",
                    Action::MakeOffer { guest: None },
                )
                .then(Action::Prepare {
                    offer: None,
                    with_vars: false,
                }),
            )
            .qemu(
                AT_BLOCK_TABLE,
                pair.source.stream_position(block, Some(from.value)),
                messages::size_mismatch(block, from.value, to.value),
            )
        },
    );
}
