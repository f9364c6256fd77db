//! Firmware in flash against firmware given with `-bios`.

use fm_formats::image::Feature;
use fm_remedy::{Action, Remedy, Setting};

use super::{missing, name_firmware, text};
use crate::facts::Unit;
use crate::finding::{AT_BLOCK_TABLE, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Firmware, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "how the machine gets its firmware";
    let (source, destination) = (pair.source.firmware.fact(), pair.destination.firmware.fact());
    let (Some(from), Some(to)) = (source, destination) else {
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            report.find(phase, Outcome::Unknown, || {
                missing(SUBJECT, source.is_none(), destination.is_none())
                    .source(source, text)
                    .destination(destination, text)
                    .remedy(name_firmware())
            });
        }
        return;
    };
    let same = from.value == to.value;
    report.find(
        Phase::LiveMigration,
        if same { Outcome::Compatible } else { Outcome::Incompatible },
        || {
            let draft = FindingDraft::about(SUBJECT, "flash and -bios are different RAM blocks, and the destination must have every block that arrives")
                .source(source, text)
                .destination(destination, text);
            if same {
                return draft;
            }
            let (block, remedy) = match from.value {
                Firmware::Bios => (
                    "pc.bios",
                    Remedy::new(
                        "start the destination with firmware in ROM, from a file of the same size",
                        Action::Configure(Setting::Bios),
                    ),
                ),
                Firmware::Flash => (
                    pair.source.flash_block(Unit::Code),
                    Remedy::new(
                        "start the destination with CODE and VARS as two flash devices",
                        Action::Configure(Setting::FlashDevices),
                    ),
                ),
            };
            let position = pair.source.stream_position(block, pair.source.code.size_bytes.value().copied());
            draft.remedy(remedy)
                .qemu(AT_BLOCK_TABLE, position, messages::unknown_block(block))
        },
    );
    let in_device = pair
        .destination
        .code
        .features
        .value()
        .is_some_and(|features| features.has(Feature::PvVars));
    let cold = match (from.value, to.value) {
        // Where variables are kept in QEMU's device it does not matter how the firmware gets in.
        _ if in_device => Outcome::Compatible,
        (_, Firmware::Flash) if same => Outcome::Compatible,
        _ => Outcome::Caution,
    };
    report.find(Phase::ColdBoot, cold, || {
        let draft = FindingDraft::about(
            SUBJECT,
            match (from.value, to.value) {
                _ if in_device => "variables are kept in the uefi-vars device, however the firmware gets into the machine",
                (Firmware::Flash, Firmware::Bios) => {
                    "with -bios the variables live in memory only: boot entries and keys of the guest are not there"
                }
                (Firmware::Bios, Firmware::Flash) => "with flash the variables are kept in VARS, which starts without those of the guest",
                (Firmware::Bios, Firmware::Bios) => "with -bios the variables live in memory only and are gone after every cold boot",
                (Firmware::Flash, Firmware::Flash) => "with flash the variables are kept in VARS",
            },
        )
        .source(source, text)
        .destination(destination, text);
        if cold == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            "give the guest CODE and VARS as two flash devices",
            Action::Configure(Setting::FlashDevices),
        ))
    });
}
