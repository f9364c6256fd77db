//! What the rules say of live migrations, QEMU's words included.

use fm_formats::image::Arch;
use fm_judge::{
    Block, Evidence, Facts, Firmware, Known, MachineType, Outcome, Phase, PhaseVerdict, QemuVersion, Verdict,
    arrival, judge,
};
use fm_remedy::{Action, Input};

/// A side that is known well enough for a live migration: machine, QEMU, CODE and VARS.
fn side(code_bytes: u64, vars_bytes: u64) -> Facts {
    let mut facts = Facts {
        qemu: Known::new(QemuVersion::new(7, 2, 22), "-version"),
        machine: Known::new(MachineType::new("pc-q35-7.2", None), "--machine"),
        firmware: Known::new(Firmware::Flash, "the command line"),
        ..Facts::default()
    };
    facts.code.size_bytes = Known::new(code_bytes, "CODE.fd");
    facts.vars.present = Known::new(true, "VARS.fd");
    facts.vars.size_bytes = Known::new(vars_bytes, "VARS.fd");
    facts
}

fn side_4m() -> Facts {
    side(0x37_c000, 0x8_4000)
}

/// The same on the `virt` machine of an architecture: ARM has versions of it, the others one.
fn on_virt(arch: Arch, [code_bytes, vars_bytes]: [u64; 2], qemu: (u16, u16, u16)) -> Facts {
    let qemu = QemuVersion::new(qemu.0, qemu.1, qemu.2);
    let machine = match arch {
        Arch::Aarch64 => MachineType::new("virt-7.2", None),
        _ => MachineType::new("virt", Some(qemu)),
    };
    let mut facts = side(code_bytes, vars_bytes);
    facts.machine = Known::new(machine, "--machine");
    facts.qemu = Known::new(qemu, "-version");
    facts.code.arch = Known::new(arch, "CODE.fd");
    facts
}

fn live(verdict: &Verdict) -> &PhaseVerdict {
    verdict.phase(Phase::LiveMigration)
}

fn refused(source: &Facts, destination: &Facts, code: &str, message: &str) {
    let verdict = judge(source, destination);
    let live = live(&verdict);
    assert_eq!(live.outcome(), Outcome::Incompatible, "{live:#?}");
    assert!(live.findings().iter().any(|finding| {
        finding.code == code && finding.outcome == Outcome::Incompatible && finding.remedy.is_some()
    }));
    assert_eq!(live.qemu_message(), Some(message));
    assert_eq!(arrival(source, destination)[0], Outcome::Incompatible);
    assert_eq!(verdict.phase(Phase::WarmReset).outcome(), Outcome::Incompatible);
}

#[test]
fn equal_sides_migrate() {
    let verdict = judge(&side_4m(), &side_4m());
    assert_eq!(live(&verdict).outcome(), Outcome::Compatible, "{verdict:#?}");
    assert_eq!(verdict.phase(Phase::WarmReset).outcome(), Outcome::Compatible);
}

#[test]
fn nothing_known_is_unknown_and_says_what_is_missing() {
    let verdict = judge(&Facts::default(), &Facts::default());
    assert_eq!(live(&verdict).outcome(), Outcome::Unknown);
    let findings = live(&verdict).findings().iter();
    for finding in findings.filter(|finding| finding.outcome != Outcome::Compatible) {
        assert!(finding.why.contains("not known on either side"), "{finding:?}");
        assert!(finding.remedy.is_some());
    }
}

#[test]
fn each_missing_fact_makes_it_unknown() {
    type Forget = fn(&mut Facts);
    let all: [Forget; 6] = [
        |facts| facts.qemu = Known::default(),
        |facts| facts.machine = Known::default(),
        |facts| facts.firmware = Known::default(),
        |facts| facts.code.size_bytes = Known::default(),
        |facts| facts.vars.present = Known::default(),
        |facts| facts.vars.size_bytes = Known::default(),
    ];
    for forget in all {
        let mut poor = side_4m();
        forget(&mut poor);
        assert_eq!(live(&judge(&poor, &side_4m())).outcome(), Outcome::Unknown);
        assert_eq!(live(&judge(&side_4m(), &poor)).outcome(), Outcome::Unknown);
    }
}

#[test]
fn code_of_another_size_is_refused_first_in_qemus_words() {
    refused(
        &side(0x1e_0000, 0x2_0000),
        &side_4m(),
        "FM-FLASH-SIZE",
        "Size mismatch: system.flash0: 0x1e0000 != 0x37c000: Invalid argument",
    );
}

#[test]
fn vars_of_another_size_are_refused() {
    refused(
        &side(0x37_c000, 0x2_0000),
        &side_4m(),
        "FM-VARS-SIZE",
        "Size mismatch: system.flash1: 0x20000 != 0x84000: Invalid argument",
    );
}

#[test]
fn vars_that_have_nowhere_to_land_are_refused() {
    let mut to = side_4m();
    to.vars = fm_judge::VarsUnit::default();
    to.vars.present = Known::new(false, "the command line");
    refused(
        &side_4m(),
        &to,
        "FM-FLASH-UNITS",
        "Unknown ramblock \"system.flash1\", cannot accept migration",
    );
}

#[test]
fn another_machine_type_is_refused_before_any_block() {
    let mut to = side(0x1e_0000, 0x2_0000);
    to.machine = Known::new(MachineType::new("pc-q35-7.1", None), "--machine");
    refused(
        &side_4m(),
        &to,
        "FM-MACHINE-TYPE",
        "Machine type received is 'pc-q35-7.2' and local is 'pc-q35-7.1'",
    );
}

#[test]
fn a_machine_type_from_the_future_keeps_qemu_from_starting() {
    for (version, message) in [
        (QemuVersion::new(7, 2, 22), "unsupported machine type"),
        (
            QemuVersion::new(10, 0, 2),
            "unsupported machine type: \"pc-q35-11.0\"",
        ),
    ] {
        let mut to = side_4m();
        to.machine = Known::new(MachineType::new("pc-q35-11.0", None), "--machine");
        to.qemu = Known::new(version, "-version");
        let mut from = to.clone();
        from.qemu = Known::new(QemuVersion::new(11, 0, 0), "-version");
        refused(&from, &to, "FM-MACHINE-SUPPORT", message);
    }
}

#[test]
fn a_machine_type_that_may_have_been_removed_is_unknown() {
    let mut to = side_4m();
    to.machine = Known::new(MachineType::new("pc-q35-2.12", None), "--machine");
    let from = to.clone();
    to.qemu = Known::new(QemuVersion::new(10, 0, 2), "-version");
    assert_eq!(live(&judge(&from, &to)).outcome(), Outcome::Unknown);
}

#[test]
fn an_alias_is_not_taken_for_a_machine_type() {
    let mut facts = side_4m();
    facts.machine = Known::new(MachineType::new("q35", None), "--machine");
    assert_eq!(live(&judge(&facts, &facts)).outcome(), Outcome::Unknown);
}

#[test]
fn flash_and_bios_do_not_migrate_into_each_other() {
    let mut bios = side(0x40_0000, 0x8_4000);
    bios.firmware = Known::new(Firmware::Bios, "-bios");
    bios.vars = fm_judge::VarsUnit::default();
    refused(
        &bios,
        &side_4m(),
        "FM-FIRMWARE-KIND",
        "Unknown ramblock \"pc.bios\", cannot accept migration",
    );
    refused(
        &side_4m(),
        &bios,
        "FM-FIRMWARE-KIND",
        "Unknown ramblock \"system.flash0\", cannot accept migration",
    );
    let mut other = bios.clone();
    other.code.size_bytes = Known::new(0x20_0000, "OVMF.fd");
    refused(
        &bios,
        &other,
        "FM-FLASH-SIZE",
        "Size mismatch: pc.bios: 0x400000 != 0x200000: Invalid argument",
    );
}

#[test]
fn a_flash_file_that_qemu_does_not_take_is_refused_at_the_start() {
    refused(
        &side_4m(),
        &side(300_000, 0x8_4000),
        "FM-FLASH-FILE",
        "system firmware block device pflash0 has invalid size 300032",
    );
    refused(
        &side(9 << 20, 0x8_4000),
        &side(9 << 20, 0x8_4000),
        "FM-FLASH-FILE",
        "combined size of system firmware exceeds 8388608 bytes",
    );
}

#[test]
fn a_file_that_does_not_fill_the_chip_of_a_virt_machine_is_refused_in_qemus_words() {
    let arm = |code_bytes: u64, vars_bytes: u64, qemu: (u16, u16, u16)| {
        on_virt(Arch::Aarch64, [code_bytes, vars_bytes], qemu)
    };
    const CHIP: u64 = 64 << 20;
    let full = arm(CHIP, CHIP, (7, 2, 22));
    assert_eq!(live(&judge(&full, &full)).outcome(), Outcome::Compatible);
    // Run with both versions on Debian's QEMU_EFI.fd, which is for -bios.
    for (to, message) in [
        (
            arm(2 << 20, CHIP, (7, 2, 22)),
            "device requires 67108864 bytes, block backend provides 2097152 bytes",
        ),
        (
            arm(2 << 20, CHIP, (10, 0, 2)),
            "cfi.pflash01 device '/machine/virt.flash0' requires 67108864 bytes, pflash0 block backend provides 2097152 bytes",
        ),
        (
            arm(CHIP, 2 << 20, (10, 0, 2)),
            "cfi.pflash01 device '/machine/virt.flash1' requires 67108864 bytes, pflash1 block backend provides 2097152 bytes",
        ),
    ] {
        refused(&full, &to, "FM-FLASH-FILE", message);
    }
    // A guest cannot have been started on such a file, so nothing is known of it.
    let short = arm(2 << 20, CHIP, (7, 2, 22));
    assert_eq!(live(&judge(&short, &full)).outcome(), Outcome::Unknown);
}

#[test]
fn flash_of_loongarch_is_as_large_as_its_file_and_takes_whole_sectors() {
    let side = |code_bytes: u64, qemu| on_virt(Arch::Loongarch64, [code_bytes, 16 << 20], qemu);
    let qemu = (10, 0, 2);
    let whole = side(16 << 20, qemu);
    assert_eq!(live(&judge(&whole, &whole)).outcome(), Outcome::Compatible);
    let cut = "hw/loongarch/virt.c:107: virt_flash_map1: Assertion `QEMU_IS_ALIGNED(real_size, \
               VIRT_FLASH_SECTOR_SIZE)' failed.";
    refused(&whole, &side((16 << 20) - 1000, qemu), "FM-FLASH-FILE", cut);
    refused(
        &whole,
        &side(8 << 20, qemu),
        "FM-FLASH-SIZE",
        "Size mismatch: virt.flash0: 0x1000000 != 0x800000: Invalid argument",
    );
    for (code_bytes, qemu) in [(32 << 20, qemu), (1000, (10, 1, 0))] {
        // The line of that assertion is not known.
        let verdict = judge(&whole, &side(code_bytes, qemu));
        let flash = live(&verdict)
            .findings()
            .iter()
            .find(|finding| finding.code == "FM-FLASH-FILE");
        let flash = flash.expect("it speaks");
        assert_eq!(
            (flash.outcome, &flash.qemu_message),
            (Outcome::Incompatible, &None)
        );
    }
}

#[test]
fn a_file_of_which_nothing_can_be_told_must_still_fill_the_chip_of_the_guests_board() {
    let full = on_virt(Arch::Aarch64, [64 << 20; 2], (7, 2, 22));
    let mut blank = full.clone();
    blank.code = fm_judge::CodeUnit {
        size_bytes: Known::new((64 << 20) - 1000, "CODE.fd"),
        ..fm_judge::CodeUnit::default()
    };
    // QEMU sees whole sectors.
    let message = "device requires 67108864 bytes, block backend provides 67108352 bytes";
    refused(&full, &blank, "FM-FLASH-FILE", message);
}

/// Run on aarch64 with 7.2 and 10.0, both ways: the destination ends when it loads the processor.
#[test]
fn nothing_is_promised_of_a_virt_machine_between_two_releases() {
    let arm = |qemu| on_virt(Arch::Aarch64, [64 << 20; 2], qemu);
    let here = arm((7, 2, 0));
    let outcome = |to: &Facts| live(&judge(&here, to)).outcome();
    assert_eq!(outcome(&arm((7, 2, 22))), Outcome::Compatible);
    assert_eq!(outcome(&arm((10, 0, 2))), Outcome::Unknown);
}

#[test]
fn boards_without_versioned_types_are_told_apart_by_the_release_of_qemu() {
    let riscv = |qemu| on_virt(Arch::Riscv64, [32 << 20; 2], qemu);
    let here = riscv((10, 0, 2));
    let outcome = |to: &Facts| live(&judge(&here, to)).outcome();
    assert_eq!(outcome(&riscv((10, 0, 9))), Outcome::Compatible);
    assert_eq!(outcome(&riscv((10, 1, 0))), Outcome::Unknown);
    let mut nameless = riscv((10, 0, 2));
    nameless.qemu = Known::default();
    assert_eq!(outcome(&nameless), Outcome::Unknown);
}

#[test]
fn a_machine_type_that_no_release_names_is_unknown_and_a_board_without_flash_refused() {
    for name in ["bogus-9", "pc-q35-rhel9.4.0", "pc-q35-noble"] {
        let mut facts = side_4m();
        facts.machine = Known::new(MachineType::new(name, None), "--machine");
        assert_eq!(live(&judge(&facts, &facts)).outcome(), Outcome::Unknown, "{name}");
        // A QEMU that runs there has it.
        let mut runs = running(0x4_0000);
        runs.machine = facts.machine.clone();
        assert_eq!(
            live(&judge(&runs, &runs)).outcome(),
            Outcome::Compatible,
            "{name}"
        );
    }
    let mut micro = side_4m();
    micro.machine = Known::new(MachineType::new("microvm", None), "--machine");
    refused(
        &micro,
        &micro,
        "FM-MACHINE-SUPPORT",
        "machine type does not support if=pflash,bus=0,unit=0",
    );
}

#[test]
fn what_qemu_says_of_formats_encryption_and_devices_is_foretold() {
    use fm_formats::image::Feature;
    let mut to = side_4m();
    to.code.format = Known::new(fm_judge::Format::Raw, "magic");
    to.code.declared_format = Known::new(fm_judge::Format::Qcow2, "descriptor");
    refused(&side_4m(), &to, "FM-IMAGE-FORMAT", "Image is not in qcow2 format");
    let mut sev = side_4m();
    sev.confidential = Known::new(fm_judge::Confidential::Sev, "the command line");
    refused(
        &sev,
        &side_4m(),
        "FM-CONFIDENTIAL",
        "SEV: Migration is not implemented",
    );
    let mut pv = side_4m();
    pv.code.features = Known::new([Feature::PvVars].into_iter().collect(), "modules");
    refused(
        &pv,
        &side_4m(),
        "FM-PV-VARS",
        "'uefi-vars-x64' is not a valid device model name",
    );
}

#[test]
fn that_a_guest_is_not_encrypted_is_assumed_in_the_evidence() {
    let verdict = judge(&side_4m(), &side_4m());
    let findings = live(&verdict).findings();
    let finding = findings.iter().find(|finding| finding.code == "FM-CONFIDENTIAL");
    let finding = finding.expect("it is said");
    assert_eq!(finding.outcome, Outcome::Compatible);
    assert!(
        finding
            .source
            .as_ref()
            .is_some_and(|source| matches!(source.evidence, Evidence::Assumed(_)))
    );
    assert!(
        finding
            .remedy
            .as_ref()
            .is_some_and(|remedy| remedy.actions == [Action::Give(Input::Confidential)])
    );
}

fn blocks(list: &[(&str, u64)]) -> Known<Vec<Block>> {
    let list = list.iter().map(|&(name, size_bytes)| Block {
        name: name.into(),
        size_bytes,
    });
    Known::new(list.collect(), "QMP x-query-ramblock")
}

fn running(rom_bytes: u64) -> Facts {
    let mut facts = side_4m();
    facts.code.size_bytes = Known::default();
    facts.vars = fm_judge::VarsUnit::default();
    facts.blocks = blocks(&[
        ("pc.ram", 128 << 20),
        ("system.flash0", 0x37_c000),
        ("system.flash1", 0x8_4000),
        ("0000:00:02.0/virtio-net-pci.rom", rom_bytes),
        ("isa-bios", 0x2_0000),
        ("pc.rom", 0x2_0000),
        ("/rom@etc/acpi/tables", 0x2_0000),
    ]);
    facts.deduce().expect("the blocks agree with the rest");
    facts
}

#[test]
fn running_guests_are_compared_block_by_block() {
    assert_eq!(
        live(&judge(&running(0x4_0000), &running(0x4_0000))).outcome(),
        Outcome::Compatible
    );
    refused(
        &running(0x4_0000),
        &running(0x8_0000),
        "FM-ROM-SIZE",
        "Size mismatch: 0000:00:02.0/virtio-net-pci.rom: 0x40000 != 0x80000: Invalid argument",
    );
}

#[test]
fn the_first_block_of_the_stream_that_does_not_fit_gives_the_message() {
    let mut to = running(0x8_0000);
    let list = to.blocks.value().expect("it has blocks").clone();
    to.blocks = Known::new(
        list.into_iter().filter(|block| block.name != "pc.ram").collect(),
        "QMP",
    );
    refused(
        &running(0x4_0000),
        &to,
        "FM-RAM-BLOCK",
        "Unknown ramblock \"pc.ram\", cannot accept migration",
    );
}

#[test]
fn acpi_tables_may_grow() {
    let mut to = running(0x4_0000);
    let mut list = to.blocks.value().expect("it has blocks").clone();
    list.last_mut().expect("there are blocks").size_bytes = 0x4_0000;
    to.blocks = Known::new(list, "QMP");
    assert_eq!(
        live(&judge(&running(0x4_0000), &to)).outcome(),
        Outcome::Compatible
    );
}

#[test]
fn option_roms_of_a_guest_are_unknown_where_the_destination_is_only_files() {
    assert_eq!(
        live(&judge(&running(0x4_0000), &side_4m())).outcome(),
        Outcome::Unknown
    );
}

#[test]
fn option_roms_of_a_guest_are_compared_with_the_files_of_the_destinations_host() {
    for (roms, outcome) in [
        (vec![("virtio-net-pci", 0x4_0000)], Outcome::Compatible),
        (vec![("e1000e", 0x4_0000)], Outcome::Unknown),
        (Vec::new(), Outcome::Unknown),
    ] {
        let mut to = side_4m();
        to.roms = blocks(&roms);
        assert_eq!(
            live(&judge(&running(0x4_0000), &to)).outcome(),
            outcome,
            "{roms:?}"
        );
    }
    let mut to = side_4m();
    to.roms = blocks(&[("virtio-net-pci", 0x8_0000)]);
    refused(
        &running(0x4_0000),
        &to,
        "FM-ROM-SIZE",
        "Size mismatch: 0000:00:02.0/virtio-net-pci.rom: 0x40000 != 0x80000: Invalid argument",
    );
}

#[test]
fn isa_bios_follows_the_machine_type() {
    let mut to = running(0x4_0000);
    let list = to.blocks.value().expect("it has blocks").clone();
    to.blocks = Known::new(
        list.into_iter()
            .filter(|block| block.name != "isa-bios")
            .collect(),
        "QMP",
    );
    refused(
        &running(0x4_0000),
        &to,
        "FM-ISA-BIOS",
        "Unknown ramblock \"isa-bios\", cannot accept migration",
    );
}

#[test]
fn a_newer_qemu_warns_of_writes_in_flight_to_an_older_one() {
    let mut from = side_4m();
    from.qemu = Known::new(QemuVersion::new(10, 0, 2), "-version");
    let verdict = judge(&from, &side_4m());
    assert_eq!(live(&verdict).outcome(), Outcome::Caution);
    assert!(
        live(&verdict)
            .findings()
            .iter()
            .any(|finding| finding.code == "FM-QEMU-MIDWRITE")
    );
    assert_eq!(live(&judge(&side_4m(), &from)).outcome(), Outcome::Compatible);
}

#[test]
fn a_file_that_is_not_what_qemu_is_told_is_refused_and_another_format_is_a_caution() {
    use fm_judge::Format::{Qcow2, Raw};
    let mut from = side_4m();
    from.code.format = Known::new(Raw, "magic");
    let mut to = side_4m();
    to.code.format = Known::new(Qcow2, "magic");
    assert_eq!(live(&judge(&from, &to)).outcome(), Outcome::Caution);
    to.code.declared_format = Known::new(Raw, "descriptor");
    assert_eq!(live(&judge(&from, &to)).outcome(), Outcome::Incompatible);
}

#[test]
fn blocks_that_contradict_a_file_name_both_sources() {
    let mut facts = side(0x1e_0000, 0x2_0000);
    facts.blocks = running(0x4_0000).blocks;
    let error = facts.deduce().expect_err("2M file, 4M blocks").to_string();
    assert!(
        error.contains("CODE.fd") && error.contains("QMP x-query-ramblock"),
        "{error}"
    );
}
