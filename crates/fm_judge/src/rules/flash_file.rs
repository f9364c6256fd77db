//! Whether QEMU takes the destination's flash files at all: that they are there, and their sizes.

use alloc::string::String;

use fm_formats::image::{Arch, Layout};
use fm_remedy::{Action, PaddedSize, Remedy};

use super::{hex, subject, text};
use crate::facts::Unit;
use crate::finding::{AT_START, FindingDraft};
use crate::messages;
use crate::report::{Pair, Report};
use crate::{Effect, Fact, Facts, Firmware, MachineFamily, Outcome, Phase};

/// `TARGET_PAGE_SIZE` of x86: QEMU's PC flash is a multiple of it (`pc_system_flash_map`).
const GRAIN_BYTES: u64 = 0x1000;
/// What a file for `-bios` is a multiple of.
const ROM_GRAIN_BYTES: u64 = 0x1_0000;
/// What QEMU rounds the size of a raw file up to (QEMU `block.c`, `bdrv_getlength`).
const SECTOR_BYTES: u64 = 512;
/// `VIRT_FLASH_SECTOR_SIZE` (QEMU `include/hw/loongarch/virt.h`).
const LOONGARCH_SECTOR_BYTES: u64 = 0x4_0000;
/// `max-fw-size` of the PC machines unless set (QEMU `hw/i386/pc.c`, `pc_machine_initfn`).
const MAX_BOTH_BYTES: u64 = 8 << 20;

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    if to.code.present.value() == Some(&false) {
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            report.find(phase, Outcome::Incompatible, || gone(pair));
        }
    }
    if to.blocks.is_known() {
        // A QEMU that runs has taken its files.
        return;
    }
    match to.firmware.value() {
        Some(Firmware::Bios) => return rom(to, report),
        Some(Firmware::Flash) => {}
        None => return,
    }
    match to.machine.value().map(crate::MachineType::family) {
        Some(MachineFamily::Q35 | MachineFamily::I440fx) => pc(to, report),
        Some(MachineFamily::Virt) => chips(pair, report),
        _ => {}
    }
}

/// The size of each flash chip of the `virt` machine that runs firmware of this architecture, where it is fixed
/// (QEMU `hw/arm/virt.c`, `hw/riscv/virt.c`).
fn chip_of(arch: Arch) -> Option<u64> {
    let layout = match arch {
        Arch::Aarch64 | Arch::Arm => Layout::ArmVirt,
        Arch::Riscv64 => Layout::Riscv,
        _ => return None,
    };
    Some(layout.code_size_bytes())
}

/// The same for the machine of this side.
pub(super) fn chip_bytes(facts: &Facts) -> Option<u64> {
    if facts.machine.value()?.family() != MachineFamily::Virt {
        return None;
    }
    chip_of(*facts.code.arch.value()?)
}

/// PCs load the file of `-bios` only if it is whole 64 KiB (QEMU `hw/i386/x86-common.c`, `x86_bios_rom_init`).
fn rom(to: &Facts, report: &mut Report) {
    let is_pc = matches!(
        to.machine.value().map(crate::MachineType::family),
        Some(MachineFamily::Q35 | MachineFamily::I440fx)
    );
    let Some(size) = to.code.size_bytes.fact().filter(|_| is_pc) else {
        return;
    };
    let fits = size.value != 0 && size.value.is_multiple_of(ROM_GRAIN_BYTES);
    find(
        report,
        (
            "the size of the file for -bios",
            "PCs load a file with -bios only if it is a multiple of 0x10000 bytes: a CODE file alone is none",
        ),
        size,
        fits,
        || {
            let remedy = Remedy::advice(
                "take the combined image of the build, with variables and CODE in one, or give CODE and VARS as flash",
            );
            let message = to.code.path.value().map(|path| messages::bios_not_loaded(path));
            (remedy, message)
        },
    );
}

/// The chips of most `virt` machines have a fixed size, and a file must fill its chip exactly.
fn chips(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    // A file of which nothing can be told was still meant for the guest's own board.
    let Some(&arch) = to.code.arch.value().or(pair.source.code.arch.value()) else {
        return;
    };
    if arch == Arch::Loongarch64 {
        return of_sectors(to, report);
    }
    let Some(chip_bytes) = chip_of(arch) else { return };
    let qemu = to.qemu.value().copied();
    for (number, unit, name, size) in [
        (
            0,
            Unit::Code,
            "the size of the CODE file",
            to.code.size_bytes.fact(),
        ),
        (
            1,
            Unit::Vars,
            "the size of the VARS file",
            to.vars.size_bytes.fact(),
        ),
    ] {
        let Some(size) = size else { continue };
        find(
            report,
            (
                name,
                "the flash chips of a virt machine have a fixed size, and a file must fill its chip exactly",
            ),
            size,
            in_sectors(size.value) == chip_bytes,
            || {
                let block = to.flash_block(unit);
                let message =
                    messages::chip_not_filled(number, block, chip_bytes, in_sectors(size.value), qemu);
                let remedy = Remedy::new(
                    "pad a copy to the size of the chip",
                    Action::PadCopy(PaddedSize::Bytes(chip_bytes)),
                );
                (remedy, Some(message))
            },
        );
    }
}

/// LoongArch's are as large as their files, whole sectors, up to a limit.
fn of_sectors(to: &Facts, report: &mut Report) {
    let limit_bytes = Layout::Loongarch.code_size_bytes();
    for (name, size) in [
        ("the size of the CODE file", to.code.size_bytes.fact()),
        ("the size of the VARS file", to.vars.size_bytes.fact()),
    ] {
        let Some(size) = size else { continue };
        let seen_bytes = in_sectors(size.value);
        let fits = seen_bytes != 0 && seen_bytes <= limit_bytes;
        find(
            report,
            (
                name,
                "a flash file of this board is a multiple of 0x40000 bytes, and no larger than 16 MiB",
            ),
            size,
            fits && seen_bytes.is_multiple_of(LOONGARCH_SECTOR_BYTES),
            || {
                let remedy = Remedy::new(
                    "take the firmware file as its package ships it, or pad a copy",
                    Action::PadCopy(PaddedSize::MultipleOf(LOONGARCH_SECTOR_BYTES)),
                );
                let message = messages::loongarch_flash(fits, to.qemu.value().copied());
                (remedy, message)
            },
        );
    }
}

/// A PC's flash devices are as large as their files, within limits.
fn pc(to: &Facts, report: &mut Report) {
    const WHY: &str =
        "a PC's flash file is a multiple of 0x1000 bytes, and both together are no larger than 8 MiB";
    let remedy = || {
        Remedy::new(
            "take the whole firmware file as its package ships it, and see what this one is",
            Action::Inspect {
                path: subject(&to.code.path),
            },
        )
    };
    let mut total_bytes = 0u64;
    for (unit, name, size) in [
        (0, "the size of the CODE file", to.code.size_bytes.fact()),
        (1, "the size of the VARS file", to.vars.size_bytes.fact()),
    ] {
        let Some(size) = size else { continue };
        let seen_bytes = in_sectors(size.value);
        total_bytes = total_bytes.saturating_add(seen_bytes);
        let valid = seen_bytes != 0 && seen_bytes.is_multiple_of(GRAIN_BYTES);
        find(report, (name, WHY), size, valid, || {
            (remedy(), Some(messages::flash_size_invalid(unit, seen_bytes)))
        });
    }
    if total_bytes > MAX_BOTH_BYTES
        && let Some(size) = to.code.size_bytes.fact()
    {
        find(report, ("the size of both flash files", WHY), size, false, || {
            (remedy(), Some(messages::flash_too_large(MAX_BOTH_BYTES)))
        });
    }
}

/// QEMU's block layer sees whole sectors.
fn in_sectors(size_bytes: u64) -> u64 {
    size_bytes
        .checked_next_multiple_of(SECTOR_BYTES)
        .unwrap_or(u64::MAX)
}

fn gone(pair: &Pair<'_>) -> FindingDraft {
    let there = pair.destination.code.path.fact();
    let draft = FindingDraft::about(
        "the CODE file",
        "QEMU does not start without the firmware file that the guest's definition names",
    )
    .source(pair.source.code.path.fact(), text)
    .destination(pair.destination.code.present.fact(), |_| "no such file".into())
    .remedy(
        Remedy::new(
            "put the bytes back from the store, or name the stored build",
            Action::Capture { guest: None },
        )
        .then(Action::ShowBuild),
    );
    match there {
        Some(path) if pair.destination.firmware.value() == Some(&Firmware::Flash) => {
            draft.qemu(AT_START, 0, messages::no_such_file(&path.value))
        }
        _ => draft,
    }
}

fn find(
    report: &mut Report,
    (name, why): (&'static str, &'static str),
    size: &Fact<u64>,
    valid: bool,
    refusal: impl Fn() -> (Remedy, Option<String>),
) {
    for phase in [Phase::LiveMigration, Phase::ColdBoot] {
        let outcome = if valid {
            Outcome::Compatible
        } else {
            Outcome::Incompatible
        };
        report.find(phase, outcome, || {
            let draft = FindingDraft::about(name, why).destination(Some(size), hex);
            if valid {
                return draft;
            }
            let (remedy, message) = refusal();
            let draft = draft.remedy(remedy);
            let draft = match message {
                Some(message) => draft.qemu(AT_START, 1, message),
                None => draft,
            };
            if phase == Phase::ColdBoot {
                return draft.effect(Effect::DeadUntouched);
            }
            draft
        });
    }
}
