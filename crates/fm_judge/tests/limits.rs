//! Where each limit lies: the last value that is taken, and the first that is not.

mod sides;

use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{Facts, Finding, Firmware, Known, MachineType, Outcome, Phase, QemuVersion, judge, messages};
use sides::{known, running, with};

use Outcome::{Caution, Compatible, Incompatible, Unknown};

fn findings(from: &Facts, to: &Facts, phase: Phase, code: &str) -> Vec<Finding> {
    let verdict = judge(from, to);
    let all = verdict.phase(phase).findings().iter();
    all.filter(|finding| finding.code == code).cloned().collect()
}

/// The outcome of the finding of this code on this subject.
fn outcome(from: &Facts, to: &Facts, phase: Phase, (code, subject): (&str, &str)) -> Outcome {
    let found = findings(from, to, phase, code);
    let finding = found.iter().find(|finding| finding.subject == subject);
    finding
        .unwrap_or_else(|| panic!("{subject} in {found:#?}"))
        .outcome
}

fn qemu(version: (u16, u16, u16)) -> Known<QemuVersion> {
    Known::new(QemuVersion::new(version.0, version.1, version.2), "-version")
}

#[test]
fn a_store_has_room_for_its_size_less_the_headers_and_a_variable_for_what_edk2_is_built_with() {
    // EFI_FIRMWARE_VOLUME_HEADER with its block map, and VARIABLE_STORE_HEADER.
    const HEADERS_BYTES: u64 = 0x48 + 28;
    const FREE_BYTES: u64 = 16 << 10;
    for (layout, store_bytes, largest_bytes) in [
        (Layout::X86Size1M, 0xe000, 0x2800),
        (Layout::X86Size2M, 0xe000, 0x2800),
        (Layout::X86Size4M, 0x4_0000, 0x8400),
        (Layout::ArmVirt, 0x4_0000, 0x2800),
        (Layout::Riscv, 0x4_0000, 0x2800),
        (Layout::Loongarch, 0x4_0000, 0x2800),
    ] {
        let to = known(layout);
        let all_bytes = store_bytes - HEADERS_BYTES;
        for (used_bytes, expected) in [
            (0, Compatible),
            (all_bytes - FREE_BYTES, Compatible),
            // So full that builds were seen never to come to a console, or not in a minute.
            (all_bytes - FREE_BYTES + 1, Unknown),
            (all_bytes, Unknown),
            (all_bytes + 1, Incompatible),
        ] {
            let from = with(&to, |facts| {
                facts.vars.used_bytes = Known::new(used_bytes, "VARS")
            });
            let subject = ("FM-STORE-FULL", "the room for all variables");
            let seen = outcome(&from, &to, Phase::ColdBoot, subject);
            assert_eq!(seen, expected, "{used_bytes:#x} in {layout}");
        }
        // The limit binds what the guest writes, and not what it reads: only where the layout changes is it news.
        let other = match layout {
            Layout::X86Size4M => Layout::X86Size2M,
            _ => Layout::X86Size4M,
        };
        for (bytes, of_layout, expected) in [
            (largest_bytes, layout, Compatible),
            (largest_bytes, other, Compatible),
            (largest_bytes + 1, layout, Compatible),
            (largest_bytes + 1, other, Caution),
        ] {
            let from = with(&to, |facts| {
                facts.vars.largest_bytes = Known::new(bytes, "VARS");
                facts.vars.layout = Known::new(of_layout, "VARS");
            });
            let subject = ("FM-STORE-FULL", "the room for the largest variable");
            let seen = outcome(&from, &to, Phase::ColdBoot, subject);
            assert_eq!(seen, expected, "{bytes:#x} of {of_layout} in {layout}");
        }
    }
}

#[test]
fn a_pcs_file_for_bios_is_whole_64_kib_and_code_alone_is_none() {
    let base = with(&known(Layout::X86Size4M), |facts| {
        facts.firmware = Known::new(Firmware::Bios, "-bios");
        facts.code.path = Known::new("/fw/OVMF.fd".into(), "-bios");
    });
    for (size_bytes, expected) in [
        (0, Incompatible),
        (0xffff, Incompatible),
        (0x1_0000, Compatible),
        (0x1_0001, Incompatible),
        (0x37_c000, Incompatible),
        (0x40_0000, Compatible),
    ] {
        let to = with(&base, |facts| {
            facts.code.size_bytes = Known::new(size_bytes, "file")
        });
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            let subject = ("FM-FLASH-FILE", "the size of the file for -bios");
            assert_eq!(outcome(&base, &to, phase, subject), expected, "{size_bytes:#x}");
        }
        let verdict = judge(&base, &to);
        let said =
            verdict.phase(Phase::ColdBoot).findings().iter().any(|finding| {
                finding.qemu_message.as_deref() == Some("could not load PC BIOS '/fw/OVMF.fd'")
            });
        assert_eq!(said, expected == Incompatible, "{size_bytes:#x}");
    }
}

#[test]
fn a_pcs_flash_file_is_whole_pages_as_the_block_layer_rounds_it() {
    let base = known(Layout::X86Size4M);
    for (size_bytes, expected) in [
        (0, Incompatible),
        (1, Incompatible),
        (0xe00, Incompatible),
        (0xe01, Compatible),
        (0xfff, Compatible),
        (0x1000, Compatible),
        (0x1001, Incompatible),
        (0x37_c000, Compatible),
    ] {
        for (unit, subject) in [(0, "the size of the CODE file"), (1, "the size of the VARS file")] {
            let to = with(&base, |facts| {
                let size = Known::new(size_bytes, "a file");
                match unit {
                    0 => facts.code.size_bytes = size,
                    _ => facts.vars.size_bytes = size,
                }
            });
            for phase in [Phase::LiveMigration, Phase::ColdBoot] {
                let seen = outcome(&base, &to, phase, ("FM-FLASH-FILE", subject));
                assert_eq!(seen, expected, "{subject} {size_bytes:#x}");
            }
            if expected == Incompatible {
                let rounded_bytes = size_bytes.next_multiple_of(512);
                let message = messages::flash_size_invalid(unit, rounded_bytes);
                let said = findings(&base, &to, Phase::ColdBoot, "FM-FLASH-FILE");
                assert!(
                    said.iter()
                        .any(|finding| finding.qemu_message.as_ref() == Some(&message)),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn a_pcs_flash_files_together_are_no_larger_than_8_mib() {
    let base = known(Layout::X86Size4M);
    for (code_bytes, vars_bytes, is_refused) in [
        ((8 << 20) - 0x8_4000, 0x8_4000, false),
        ((8 << 20) - 0x8_3000, 0x8_4000, true),
        (0x37_c000, (8 << 20) - 0x37_c000, false),
        (8 << 20, 0x1000, true),
    ] {
        let to = with(&base, |facts| {
            facts.code.size_bytes = Known::new(code_bytes, "CODE");
            facts.vars.size_bytes = Known::new(vars_bytes, "VARS");
        });
        let found = findings(&base, &to, Phase::ColdBoot, "FM-FLASH-FILE");
        let together = found
            .iter()
            .find(|finding| finding.subject == "the size of both flash files");
        assert_eq!(together.is_some(), is_refused, "{code_bytes:#x} {vars_bytes:#x}");
        if let Some(finding) = together {
            assert_eq!(finding.outcome, Incompatible);
            assert_eq!(
                finding.qemu_message.as_deref(),
                Some(messages::flash_too_large(8 << 20).as_str())
            );
        }
    }
}

#[test]
fn a_file_fills_the_fixed_chip_of_its_board_exactly() {
    for (layout, chip_bytes) in [(Layout::ArmVirt, 64 << 20), (Layout::Riscv, 32 << 20)] {
        let base = known(layout);
        for (size_bytes, expected) in [
            (chip_bytes, Compatible),
            (chip_bytes - 511, Compatible),
            (chip_bytes - 512, Incompatible),
            (chip_bytes + 1, Incompatible),
            (0, Incompatible),
        ] {
            for (unit, subject) in [(0, "the size of the CODE file"), (1, "the size of the VARS file")] {
                let to = with(&base, |facts| {
                    let size = Known::new(size_bytes, "a file");
                    match unit {
                        0 => facts.code.size_bytes = size,
                        _ => facts.vars.size_bytes = size,
                    }
                });
                let seen = outcome(&base, &to, Phase::ColdBoot, ("FM-FLASH-FILE", subject));
                assert_eq!(seen, expected, "{layout} {subject} {size_bytes:#x}");
            }
        }
    }
}

#[test]
fn loongarch_takes_whole_sectors_up_to_16_mib() {
    let base = known(Layout::Loongarch);
    for (size_bytes, expected) in [
        (0, Incompatible),
        (0x3_fe00, Incompatible),
        (0x3_fe01, Compatible),
        (0x4_0000, Compatible),
        (0x4_0001, Incompatible),
        (16 << 20, Compatible),
        ((16 << 20) + 1, Incompatible),
        ((16 << 20) + 0x4_0000, Incompatible),
    ] {
        let to = with(&base, |facts| {
            facts.code.size_bytes = Known::new(size_bytes, "CODE")
        });
        let subject = ("FM-FLASH-FILE", "the size of the CODE file");
        let seen = outcome(&base, &to, Phase::ColdBoot, subject);
        assert_eq!(seen, expected, "{size_bytes:#x}");
    }
}

#[test]
fn a_machine_type_is_kept_for_six_major_versions_and_not_known_before_its_own() {
    let base = known(Layout::X86Size4M);
    for (machine, version, expected) in [
        ("pc-q35-7.2", (7, 1, 9), Incompatible),
        ("pc-q35-7.2", (7, 2, 0), Compatible),
        ("pc-q35-7.2", (8, 0, 0), Compatible),
        ("pc-q35-8.0", (7, 2, 9), Incompatible),
        ("pc-q35-4.2", (10, 9, 9), Compatible),
        ("pc-q35-4.2", (11, 0, 0), Unknown),
        ("pc-q35-noble", (10, 0, 0), Unknown),
    ] {
        let to = with(&base, |facts| {
            facts.machine = Known::new(MachineType::new(machine, None), "-machine");
            facts.qemu = qemu(version);
        });
        for phase in [Phase::LiveMigration, Phase::ColdBoot] {
            let found = findings(&to, &to, phase, "FM-MACHINE-SUPPORT");
            let outcomes: Vec<_> = found.iter().map(|finding| finding.outcome).collect();
            assert_eq!(outcomes, [expected], "{machine} in {version:?}");
        }
    }
    // One that runs there is proof.
    let old = with(&running(0x4_0000), |facts| {
        facts.machine = Known::new(MachineType::new("pc-q35-4.2", None), "-machine");
        facts.qemu = qemu((11, 0, 0));
    });
    let found = findings(&old, &old, Phase::LiveMigration, "FM-MACHINE-SUPPORT");
    assert!(found.iter().all(|finding| finding.outcome == Compatible) && !found.is_empty());
}

#[test]
fn the_uefi_vars_device_comes_with_10_0_and_its_digests_with_11_1() {
    let pv = with(&known(Layout::X86Size4M), |facts| {
        facts.code.features = Known::new([Feature::PvVars].into_iter().collect(), "modules");
    });
    for (from, to, expected) in [
        ((10, 0, 0), (9, 2, 9), Incompatible),
        ((10, 0, 0), (10, 0, 0), Compatible),
        ((10, 0, 0), (11, 0, 9), Compatible),
        ((11, 0, 9), (11, 1, 0), Caution),
        ((11, 1, 0), (11, 0, 9), Caution),
        ((11, 1, 0), (11, 2, 0), Compatible),
    ] {
        let on = |version| with(&pv, |facts| facts.qemu = qemu(version));
        let subject = ("FM-PV-VARS", "the uefi-vars device");
        let seen = outcome(&on(from), &on(to), Phase::LiveMigration, subject);
        assert_eq!(seen, expected, "{from:?} to {to:?}");
    }
}

#[test]
fn qemus_words_change_with_its_releases() {
    let (before, since) = (QemuVersion::new(8, 2, 99), QemuVersion::new(9, 0, 0));
    assert_eq!(
        messages::unsupported_machine("m", before),
        "unsupported machine type"
    );
    assert_eq!(
        messages::unsupported_machine("m", since),
        "unsupported machine type: \"m\""
    );
    let chip = |qemu| messages::chip_not_filled(1, "virt.flash1", 64, 32, qemu);
    let unnamed = "device requires 64 bytes, block backend provides 32 bytes";
    assert_eq!(chip(None), unnamed);
    assert_eq!(chip(Some(before)), unnamed);
    assert_eq!(
        chip(Some(since)),
        "cfi.pflash01 device '/machine/virt.flash1' requires 64 bytes, pflash1 block backend provides 32 bytes"
    );
    for (version, fits, is_known) in [
        ((9, 2, 9), true, false),
        ((10, 0, 0), true, true),
        ((10, 0, 9), true, true),
        ((10, 0, 0), false, false),
        ((10, 1, 0), true, false),
    ] {
        let qemu = QemuVersion::new(version.0, version.1, version.2);
        let said = messages::loongarch_flash(fits, Some(qemu)).is_some();
        assert_eq!(said, is_known, "{version:?}");
    }
    assert_eq!(messages::loongarch_flash(true, None), None);
}

#[test]
fn a_32_bit_start_stops_the_encryptions_that_need_64_bits_alone() {
    use fm_judge::Confidential::{No, Sev, SevEs, SevSnp, Tdx};
    for (kind, early, expected) in [
        (No, Arch::Ia32, Compatible),
        (Sev, Arch::Ia32, Compatible),
        (SevEs, Arch::Ia32, Incompatible),
        (SevSnp, Arch::Ia32, Incompatible),
        (Tdx, Arch::Ia32, Incompatible),
        (SevEs, Arch::X86_64, Compatible),
        (SevSnp, Arch::X86_64, Compatible),
        (Tdx, Arch::X86_64, Compatible),
    ] {
        let from = with(&known(Layout::X86Size4M), |facts| {
            facts.confidential = Known::new(kind, "-machine");
        });
        let to = with(&from, |facts| facts.code.early_arch = Known::new(early, "CODE"));
        let found = findings(&from, &to, Phase::ColdBoot, "FM-CPU-MODE");
        let outcomes: Vec<_> = found.iter().map(|finding| finding.outcome).collect();
        assert_eq!(outcomes, [expected], "{kind} {early}");
    }
}

#[test]
fn rules_on_flash_are_silent_where_there_is_none() {
    let flash = known(Layout::X86Size4M);
    let bios = with(&flash, |facts| {
        facts.firmware = Known::new(Firmware::Bios, "-bios")
    });
    for (from, to, expected) in [
        (&flash, &flash, 1),
        (&flash, &bios, 0),
        (&bios, &flash, 0),
        (&bios, &bios, 0),
    ] {
        let found = findings(from, to, Phase::LiveMigration, "FM-FLASH-UNITS");
        assert_eq!(found.len(), expected);
    }
    let absent = with(&flash, |facts| {
        facts.vars.present = Known::new(false, "--no-vars")
    });
    for (to, expected) in [(&flash, 2), (&absent, 1)] {
        let found = findings(&flash, to, Phase::ColdBoot, "FM-IMAGE-FORMAT");
        assert_eq!(found.len(), expected, "one of each file that is there");
    }
    // How QEMU names a file that is gone is known of flash alone.
    for (to, expected) in [
        (&flash, Some(messages::no_such_file("/usr/share/OVMF/CODE.fd"))),
        (&bios, None),
    ] {
        let to = with(to, |facts| {
            facts.code.present = Known::new(false, "the command line")
        });
        let found = findings(&to, &to, Phase::ColdBoot, "FM-FLASH-FILE");
        let gone = found
            .iter()
            .find(|finding| finding.subject == "the CODE file")
            .unwrap();
        assert_eq!(gone.qemu_message, expected);
    }
}

#[test]
fn a_machine_type_that_is_not_qemus_own_is_told_by_whose_it_is() {
    for (machine, words) in [
        ("pc-q35-rhel9.4.0", "this type is Red Hat's"),
        ("pc-q35-noble", "this type is Ubuntu's"),
        ("bogus-9", "none of QEMU's own"),
    ] {
        let side = with(&known(Layout::X86Size4M), |facts| {
            facts.machine = Known::new(MachineType::new(machine, None), "-machine");
        });
        let found = findings(&side, &side, Phase::ColdBoot, "FM-MACHINE-SUPPORT");
        assert_eq!(found.len(), 1);
        assert!(found[0].why.contains(words), "{}", found[0].why);
    }
}

#[test]
fn boards_without_versions_say_whether_it_is_the_same_release_that_makes_them() {
    let on = |version| with(&known(Layout::Riscv), |facts| facts.qemu = qemu(version));
    let nameless = with(&on((10, 0, 2)), |facts| facts.qemu = Known::default());
    for (to, live, cold, words) in [
        (on((10, 0, 9)), Compatible, Compatible, "the same release of QEMU"),
        (on((10, 1, 2)), Unknown, Caution, "no versioned types"),
        (on((11, 0, 2)), Unknown, Caution, "no versioned types"),
        (nameless, Unknown, Unknown, "no versioned types"),
    ] {
        for (phase, expected) in [(Phase::LiveMigration, live), (Phase::ColdBoot, cold)] {
            let found = findings(&on((10, 0, 2)), &to, phase, "FM-MACHINE-TYPE");
            assert_eq!((found.len(), found[0].outcome), (1, expected), "{:?}", to.qemu);
            assert!(found[0].why.contains(words), "{}", found[0].why);
            assert_eq!(found[0].remedy.is_some(), expected != Compatible);
        }
    }
}

#[test]
fn the_size_of_vars_is_no_question_where_one_side_has_none() {
    let has = known(Layout::X86Size4M);
    let none = with(&has, |facts| facts.vars.present = Known::new(false, "--no-vars"));
    for (from, to, expected) in [
        (&has, &has, 1),
        (&has, &none, 0),
        (&none, &has, 0),
        (&none, &none, 0),
    ] {
        let found = findings(from, to, Phase::LiveMigration, "FM-VARS-SIZE");
        assert_eq!(found.len(), expected);
    }
}

#[test]
fn each_block_has_one_rule_that_speaks_of_it() {
    let side = running(0x4_0000);
    let verdict = judge(&side, &side);
    let findings = verdict.phase(Phase::LiveMigration).findings().iter();
    let mut blocks: Vec<_> = findings
        .filter(|finding| matches!(finding.code, "FM-RAM-BLOCK" | "FM-ROM-SIZE" | "FM-ISA-BIOS"))
        .map(|finding| (finding.code, finding.subject.as_str()))
        .collect();
    blocks.sort_unstable();
    assert_eq!(
        blocks,
        [
            ("FM-ISA-BIOS", "the block isa-bios"),
            ("FM-RAM-BLOCK", "the block pc.ram"),
            ("FM-ROM-SIZE", "the block /rom@etc/acpi/tables"),
            ("FM-ROM-SIZE", "the block 0000:00:02.0/virtio-net-pci.rom"),
            ("FM-ROM-SIZE", "the block pc.rom"),
        ]
    );
}

#[test]
fn a_device_is_moved_only_where_it_is_the_same_at_another_place() {
    use fm_remedy::{Action, Setting};
    let from = running(0x4_0000);
    let moved = Action::Configure(Setting::DeviceAddress("02.0".into()));
    let rom = Action::Configure(Setting::RomFile);
    for (there, expected) in [
        ("0000:00:03.0/virtio-net-pci.rom", &moved),
        ("0000:00:03.0/e1000e.rom", &rom),
        ("0000:00:02.0/e1000e.rom", &rom),
        ("/virtio-net-pci.rom", &rom),
        ("virtio-net-pci.rom", &rom),
    ] {
        let to = with(&from, |facts| {
            let mut blocks = facts.blocks.value().unwrap().clone();
            for block in &mut blocks {
                block.name = block.name.replace("0000:00:02.0/virtio-net-pci.rom", there);
            }
            facts.blocks = Known::new(blocks, "QMP");
        });
        let found = findings(&from, &to, Phase::LiveMigration, "FM-ROM-SIZE");
        let lacks = found
            .iter()
            .find(|finding| finding.outcome == Incompatible)
            .unwrap();
        let remedy = lacks.remedy.as_ref().unwrap();
        assert_eq!(remedy.actions, std::slice::from_ref(expected), "{there}");
    }
}

#[test]
fn the_uefi_vars_device_is_told_by_what_each_release_does_with_it() {
    let pv = with(&known(Layout::X86Size4M), |facts| {
        facts.code.features = Known::new([Feature::PvVars].into_iter().collect(), "modules");
    });
    for (from, to, words) in [
        (
            (10, 0, 0),
            (9, 2, 9),
            "a device that QEMU before 10.0 does not have",
        ),
        (
            (10, 0, 0),
            (11, 1, 0),
            "only QEMU from 11.1 on sends a variable's digest",
        ),
        ((10, 0, 0), (10, 0, 0), "both sides send the same state"),
    ] {
        let on = |version| with(&pv, |facts| facts.qemu = qemu(version));
        let found = findings(&on(from), &on(to), Phase::LiveMigration, "FM-PV-VARS");
        assert!(found[0].why.contains(words), "{}", found[0].why);
    }
}
