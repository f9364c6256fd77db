//! What every real image means, and that virt-firmware and Debian's build options agree.

use fm_fixtures::{Kind, bytes, of_kind};
use fm_formats::Sha256;
use fm_formats::image::{
    Arch, CpuMode, Feature, ImageFacts, Layout, NotFirmware, ResetVectorEntry, Role, Technology, name_of,
    version_string,
};
use fm_formats::volume::{NodeKind, Tree};

fn facts(image: &[u8]) -> Result<ImageFacts, NotFirmware> {
    ImageFacts::of(&Tree::parse(image), image.len() as u64)
}

#[test]
fn every_image_is_recognised_for_what_its_package_says_it_is() {
    for (kind, role) in [
        (Kind::Code, Role::Code),
        (Kind::Combined, Role::Combined),
        (Kind::Vars, Role::Vars),
    ] {
        for fixture in of_kind(kind) {
            let facts = facts(&fixture.bytes()).unwrap_or_else(|why| panic!("{}: {why}", fixture.name));
            assert_eq!(facts.role, role, "{}", fixture.name);
            if role != Role::Vars {
                let arch: Arch = fixture.arch.parse().unwrap();
                assert_eq!(facts.arch, Some(arch), "{}", fixture.name);
                assert!(
                    facts.layout.is_some() && facts.platform.is_some(),
                    "{}",
                    fixture.name
                );
            }
        }
    }
}

#[test]
fn layouts_modes_and_platforms_are_those_of_the_builds() {
    for (name, layout, mode, platform) in [
        (
            "bookworm/OVMF_CODE.fd",
            Layout::X86Size2M,
            Some(CpuMode::X64),
            "OvmfPkg",
        ),
        (
            "bookworm/OVMF_CODE_4M.fd",
            Layout::X86Size4M,
            Some(CpuMode::Ia32X64),
            "OvmfPkg",
        ),
        (
            "bookworm/OVMF_CODE_4M.secboot.fd",
            Layout::X86Size4M,
            Some(CpuMode::Ia32X64),
            "OvmfPkg",
        ),
        (
            "bookworm/OVMF32_CODE_4M.secboot.fd",
            Layout::X86Size4M,
            Some(CpuMode::Ia32),
            "OvmfPkg",
        ),
        (
            "bookworm/OVMF.fd",
            Layout::X86Size2M,
            Some(CpuMode::X64),
            "OvmfPkg",
        ),
        ("bookworm/AAVMF_CODE.fd", Layout::ArmVirt, None, "ArmVirtQemu"),
        ("trixie/QEMU_EFI.fd", Layout::ArmVirt, None, "ArmVirtQemu"),
        ("trixie/RISCV_VIRT_CODE.fd", Layout::Riscv, None, "RiscVVirtQemu"),
        (
            "trixie/loongarch64/QEMU_EFI.fd",
            Layout::Loongarch,
            None,
            "LoongArchVirtQemu",
        ),
    ] {
        let facts = facts(&bytes(name)).unwrap();
        assert_eq!(
            (facts.layout, facts.cpu_mode, facts.platform),
            (Some(layout), mode, Some(platform)),
            "{name}"
        );
    }
    for (name, layout) in [
        ("bookworm/OVMF_VARS.fd", Some(Layout::X86Size2M)),
        ("trixie/OVMF_VARS_4M.ms.fd", Some(Layout::X86Size4M)),
        ("bookworm/AAVMF_VARS.fd", Some(Layout::ArmVirt)),
        ("trixie/AAVMF_VARS.ms.fd", Some(Layout::ArmVirt)),
        ("trixie/RISCV_VIRT_VARS.fd", Some(Layout::Riscv)),
        ("trixie/loongarch64/QEMU_VARS.fd", Some(Layout::Loongarch)),
    ] {
        assert_eq!(facts(&bytes(name)).unwrap().layout, layout, "{name}");
    }
}

#[test]
fn secure_boot_and_smm_show_by_their_drivers() {
    for (name, secure_boot, smm) in [
        ("bookworm/OVMF_CODE.fd", true, false),
        ("bookworm/OVMF_CODE.secboot.fd", true, true),
        ("bookworm/OVMF_CODE_4M.fd", true, false),
        ("bookworm/OVMF_CODE_4M.secboot.fd", true, true),
        ("trixie/OVMF_CODE_4M.fd", false, false),
        ("trixie/OVMF_CODE_4M.secboot.fd", true, true),
        ("trixie/AAVMF_CODE.no-secboot.fd", false, false),
        ("trixie/AAVMF_CODE.secboot.fd", true, false),
    ] {
        let facts = facts(&bytes(name)).unwrap();
        assert_eq!(
            (facts.has(Feature::SecureBoot), facts.has(Feature::Smm)),
            (secure_boot, smm),
            "{name}"
        );
    }
}

#[test]
fn the_reset_vector_table_says_what_virt_firmware_reads_in_it() {
    // virt-fw-dump --meta of virt-firmware 26.10 on trixie/OVMF_CODE_4M.fd.
    let facts = facts(&bytes("trixie/OVMF_CODE_4M.fd")).unwrap();
    let table = facts.reset_vector.unwrap();
    assert_eq!(table.damages, []);
    let es = table.entry(ResetVectorEntry::SEV_ES_RESET).unwrap();
    assert_eq!(es.data, [0x04, 0xb0, 0x80, 0x00]);
    let ranges = |technology| {
        let ranges = table
            .ranges
            .iter()
            .filter(move |range| range.technology == technology);
        ranges
            .map(|range| (range.base, range.len_bytes, range.kind))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ranges(Technology::SevSnp),
        [
            (0x80_0000, 0x9000, 1),
            (0x80_a000, 0x3000, 1),
            (0x80_d000, 0x1000, 2),
            (0x80_e000, 0x1000, 3),
            (0x80_f000, 0x1000, 4),
            (0x81_0000, 0x1_0000, 1)
        ]
    );
    assert_eq!(
        ranges(Technology::Tdx),
        [
            (0xffc8_4000, 0x37_c000, 0),
            (0xffc0_0000, 0x8_4000, 1),
            (0x81_1000, 0xf000, 3),
            (0x80_b000, 0x2000, 3),
            (0x80_9000, 0x2000, 2),
            (0x80_0000, 0x6000, 3)
        ]
    );
    let code = table
        .ranges
        .iter()
        .find(|range| range.technology == Technology::Tdx)
        .unwrap();
    assert_eq!(
        (code.from_flash, code.measured),
        (Some((0x8_4000, 0x37_c000)), true)
    );
}

#[test]
fn every_image_has_the_features_ranges_and_volumes_that_virt_firmware_reads() {
    let mut checked = 0;
    for record in fm_fixtures::VIRT_FIRMWARE.split("\nimage ").skip(1) {
        let (name, lines) = record.split_once('\n').unwrap();
        let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split(' ').collect()).collect();
        let image = bytes(name);
        let tree = Tree::parse(&image);
        let facts = ImageFacts::of(&tree, image.len() as u64).unwrap();

        let entry_name = |guid| match guid {
            ResetVectorEntry::SEV_METADATA => "OvmfSevMetadataOffset",
            ResetVectorEntry::TDX_METADATA => "TdxMetadataOffset",
            ResetVectorEntry::IGVM_METADATA => "IgvmMetadataOffset",
            ResetVectorEntry::SEV_HASH_TABLE => "SevHashTableBlock",
            ResetVectorEntry::SEV_SECRET => "SevSecretBlock",
            ResetVectorEntry::SEV_ES_RESET => "SevProcessorReset",
            _ => "unknown",
        };
        let table = facts.reset_vector.clone().unwrap_or_default();
        let mut ours: Vec<Vec<String>> = Vec::new();
        for entry in &table.entries {
            let data = entry.data.iter().map(|byte| format!("{byte:02x}")).collect();
            ours.push(vec!["entry".into(), entry_name(entry.guid).into(), data]);
        }
        for range in &table.ranges {
            let entry = match range.technology {
                Technology::SevSnp => "OvmfSevMetadataOffset",
                Technology::Tdx => "TdxMetadataOffset",
                Technology::Igvm => "IgvmMetadataOffset",
                Technology::Sev if range.purpose.starts_with("hashes") => "SevHashTableBlock",
                Technology::Sev => "SevSecretBlock",
            };
            let place = [format!("{:#x}", range.base), format!("{:#x}", range.len_bytes)];
            ours.push([vec!["range".into(), entry.into()], place.to_vec()].concat());
        }
        for node in tree.nodes() {
            if let NodeKind::Volume(volume) = &node.kind {
                let name = volume.name.map_or("-".into(), |name| name.to_string());
                ours.push(vec![
                    "volume".into(),
                    name,
                    Sha256::of(tree.bytes(node)).to_string(),
                ]);
            }
        }
        // A block of length zero is no range of ours.
        let theirs = lines
            .iter()
            .filter(|line| !(line[0] == "range" && line[3] == "0x0"));
        let mut theirs: Vec<Vec<&str>> = theirs.cloned().collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{name}");

        let reads = |entry: &str| lines.iter().any(|line| line[0] == "entry" && line[1] == entry);
        let x64 = facts.cpu_mode == Some(CpuMode::X64);
        for (feature, shown) in [
            (Feature::SevEs, x64 && reads("SevProcessorReset")),
            (Feature::SevSnp, x64 && reads("OvmfSevMetadataOffset")),
            (Feature::Tdx, reads("TdxMetadataOffset")),
        ] {
            assert_eq!(facts.has(feature), shown, "{name}: {feature}");
        }
        checked += 1;
    }
    let images = of_kind(Kind::Code).chain(of_kind(Kind::Combined)).count();
    assert_eq!(checked, images, "an image is not recorded: run `make oracle`");
}

#[test]
fn versions_show_where_the_package_put_one_in_and_nowhere_else() {
    let version = |name: &str| version_string(&Tree::parse(&bytes(name)));
    assert_eq!(
        version("trixie/OVMF_CODE_4M.fd").as_deref(),
        Some("2025.02-8+deb13u1")
    );
    assert_eq!(version("bookworm/OVMF_CODE_4M.fd"), None);
}

#[test]
fn bytes_that_are_no_firmware_are_told_with_the_reason() {
    assert_eq!(facts(&[]), Err(NotFirmware::Empty));
    assert_eq!(facts(&[0; 4096]), Err(NotFirmware::Blank { fill: 0 }));
    assert_eq!(
        facts(&vec![0xff; 0x37_c000]),
        Err(NotFirmware::Blank { fill: 0xff })
    );
    assert_eq!(facts(&bytes("trixie/shellx64.efi")), Err(NotFirmware::NoVolume));
    assert_eq!(
        facts(&bytes("bookworm/firmware/60-edk2-x86_64.json")),
        Err(NotFirmware::NoVolume)
    );
    let blank = facts(&bytes("bookworm/AAVMF_VARS.fd")).unwrap();
    assert!(blank.blank && blank.role == Role::Vars);
}

#[test]
fn nearly_every_module_of_the_fixtures_has_a_name() {
    for kind in [Kind::Code, Kind::Combined] {
        for fixture in of_kind(kind) {
            let image = fixture.bytes();
            let tree = Tree::parse(&image);
            let (mut known, mut unknown) = (0, Vec::new());
            for (id, node) in tree.nodes().iter().enumerate() {
                if let NodeKind::File(facts) = node.kind {
                    if !facts.kind.is_executable() {
                    } else if name_of(facts.name).is_some() || tree.ui_name(id).is_some() {
                        known += 1;
                    } else {
                        unknown.push(facts.name);
                    }
                }
            }
            assert!(
                unknown.len() * 50 < known,
                "{}: {known} known, not {unknown:?}",
                fixture.name
            );
        }
    }
}
