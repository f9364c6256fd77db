//! Whether QEMU takes the destination's flash files at all: that they are there, and their sizes.

use super::{hex, text};
use crate::finding::{AT_START, Told};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Fact, Firmware, MachineFamily, Outcome, Phase};

/// `TARGET_PAGE_SIZE` of x86: QEMU's PC flash is a multiple of it (`pc_system_flash_map`).
const GRAIN_BYTES: u64 = 0x1000;
/// What QEMU rounds the size of a raw file up to (QEMU `block.c`, `bdrv_getlength`).
const SECTOR_BYTES: u64 = 512;
/// `max-fw-size` of the PC machines unless set (QEMU `hw/i386/pc.c`, `pc_machine_initfn`).
const LIMIT_BYTES: u64 = 8 << 20;

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    if to.code.present.value() == Some(&false) {
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            report.find(phase, Outcome::Incompatible, || gone(pair));
        }
    }
    let pc = to
        .machine
        .value()
        .is_some_and(|machine| matches!(machine.family(), MachineFamily::Q35 | MachineFamily::I440fx));
    if !pc || to.firmware.value() != Some(&Firmware::Flash) || to.blocks.is_known() {
        // A QEMU that runs has taken its files; the other boards have chips of a fixed size.
        return;
    }
    let mut total_bytes = 0u64;
    for (unit, name, size) in [
        (0, "the size of the CODE file", to.code.size_bytes.fact()),
        (1, "the size of the VARS file", to.vars.size_bytes.fact()),
    ] {
        let Some(size) = size else { continue };
        // QEMU's block layer sees whole sectors.
        let seen_bytes = size
            .value
            .checked_next_multiple_of(SECTOR_BYTES)
            .unwrap_or(u64::MAX);
        total_bytes = total_bytes.saturating_add(seen_bytes);
        let valid = seen_bytes != 0 && seen_bytes.is_multiple_of(GRAIN_BYTES);
        find(report, name, size, valid, || {
            messages::flash_size_invalid(unit, seen_bytes)
        });
    }
    if total_bytes > LIMIT_BYTES
        && let Some(size) = to.code.size_bytes.fact()
    {
        find(report, "the size of both flash files", size, false, || {
            messages::flash_too_large(LIMIT_BYTES)
        });
    }
}

fn gone(pair: &Pair<'_>) -> Told {
    let there = pair.destination.code.path.fact();
    let told = Told::about(
        "the CODE file",
        "QEMU does not start without the firmware file that the guest's definition names",
    )
    .source(pair.source.code.path.fact(), text)
    .destination(pair.destination.code.present.fact(), |_| "no such file".into())
    .remedy(
        "put the bytes back from the store, or name the stored build: flashmoor capture GUEST, flashmoor store show BUILD",
    );
    match there {
        Some(path) => told.qemu(AT_START, 0, messages::no_such_file(&path.value)),
        None => told,
    }
}

fn find(
    report: &mut Report,
    subject: &'static str,
    size: &Fact<u64>,
    valid: bool,
    message: impl Fn() -> alloc::string::String,
) {
    for phase in [Phase::LiveMigration, Phase::ColdBoot] {
        let outcome = if valid {
            Outcome::Compatible
        } else {
            Outcome::Incompatible
        };
        report.find(phase, outcome, || {
            let told = Told::about(
                subject,
                "a PC's flash file is a multiple of 0x1000 bytes, and both together are no larger than 8 MiB",
            )
            .destination(Some(size), hex);
            if valid {
                return told;
            }
            told.remedy("take the whole firmware file as its package ships it; flashmoor inspect FILE shows what it is")
                .qemu(AT_START, 1, message())
        });
    }
}
