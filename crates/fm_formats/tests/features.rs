//! Features and modes of builds that no Debian package has, on images built field by field.

mod built;

use built::{named_file, section, volume};
use fm_formats::image::{CpuMode, Feature, ImageFacts, ResetVectorEntry, Role, Technology};
use fm_formats::volume::Tree;
use fm_formats::{Error, Guid};

const IA32: u16 = 0x014c;
const X64: u16 = 0x8664;
const AARCH64: u16 = 0xaa64;

/// File types of the PI specification, volume 3, 2.1.4.1.
const SEC: u8 = 0x03;
const PEI_CORE: u8 = 0x04;
const DXE_CORE: u8 = 0x05;
const DRIVER: u8 = 0x07;

/// A file with an executable (TE, PI 1.8 volume 1, 15.1) for `machine`.
fn code(name: Guid, kind: u8, machine: u16, text: &[u8]) -> Vec<u8> {
    let mut te = b"VZ".to_vec();
    te.extend(machine.to_le_bytes());
    te.resize(40, 0);
    te.extend(text);
    named_file(name, kind, &section(0x12, &te))
}

fn guid(text: &str) -> Guid {
    text.parse().unwrap()
}

fn core(kind: u8, machine: u16) -> Vec<u8> {
    code(Guid::from_bytes([kind; 16]), kind, machine, b"")
}

fn driver(name: &str) -> Vec<u8> {
    code(guid(name), DRIVER, X64, b"")
}

/// SEC, PEI core and DXE core for these machines, more files, and what follows the volume.
fn image(machines: [u16; 3], files: &[Vec<u8>], after: &[u8]) -> Vec<u8> {
    let kinds = [SEC, PEI_CORE, DXE_CORE];
    let cores: Vec<u8> = kinds
        .into_iter()
        .zip(machines)
        .flat_map(|(kind, machine)| core(kind, machine))
        .collect();
    [volume(&[cores, files.concat()].concat()), after.to_vec()].concat()
}

fn facts(image: &[u8]) -> ImageFacts {
    ImageFacts::of(&Tree::parse(image), image.len() as u64).unwrap()
}

fn features(machines: [u16; 3], files: &[Vec<u8>], after: &[u8]) -> Vec<&'static str> {
    let facts = facts(&image(machines, files, after));
    facts.features.into_iter().map(Feature::name).collect()
}

/// Metadata, then the table that points to it from below the reset vector (edk2
/// `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.nasm.inc`). Each entry is GUID and data; data of nothing stands
/// for the distance of the metadata from the image's end.
fn table(metadata: &[u8], entries: &[(Guid, &[u8])]) -> Vec<u8> {
    let len: usize = entries.iter().map(|(_, data)| data.len().max(4) + 18).sum();
    let from_end = (metadata.len() + len + 18 + 0x20) as u32;
    let mut bytes = metadata.to_vec();
    let entry = |bytes: &mut Vec<u8>, len: usize, guid: Guid| {
        bytes.extend((len as u16).to_le_bytes());
        bytes.extend(guid.to_bytes());
    };
    for (guid, data) in entries {
        let data = if data.is_empty() {
            from_end.to_le_bytes().to_vec()
        } else {
            data.to_vec()
        };
        bytes.extend(&data);
        entry(&mut bytes, data.len() + 18, *guid);
    }
    entry(&mut bytes, len + 18, guid("96b582de-1fb2-45f7-baea-a366c55a082d"));
    bytes.extend([0x90; 0x20]);
    bytes
}

fn descriptor(signature: &[u8; 4], sections: u32, words: &[u32]) -> Vec<u8> {
    let len = 16 + words.len() as u32 * 4;
    let mut bytes = signature.to_vec();
    for word in [len, 1, sections].iter().chain(words) {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

#[test]
fn a_driver_of_a_feature_shows_that_feature_and_no_other() {
    // FILE_GUID in the modules' .inf files.
    for (module, expected) in [
        ("f0e6a44f-7195-41c3-ac64-54f202cd0a21", vec!["secure-boot"]), // SecureBootConfigDxe
        ("e94f54cd-81eb-47ed-aec3-856f5dc157a9", vec!["smm"]),         // PiSmmCore
        ("23a089b3-eed5-4ac5-b2ab-43e3298c2343", vec!["smm"]),         // VariableSmm
        (
            "834da76a-4ea1-41c7-9601-fe7a7c564757",
            vec!["smm", "standalone-mm"],
        ), // FvbServicesStandaloneMm
        ("7ee2c0c1-c21a-4113-a53a-66824a95696f", vec!["standalone-mm"]), // VariableStandaloneMm
        ("fdff263d-5f68-4591-87ba-b768f445a9af", vec!["tpm2"]),        // Tcg2Dxe
        ("a5683620-7998-4bb2-a377-1c1e31e1e215", vec!["tpm1"]),        // TcgDxe
        ("f062221e-c607-44c2-b0b4-c3886331d351", vec!["cc-measurement"]), // TdTcg2Dxe
        ("3aceb0c0-3c72-11e4-9a56-74d435052646", vec!["tls"]),         // TlsDxe
        ("ecebcb00-d9c8-11e4-af3d-8cdcd426c973", vec!["http-boot"]),   // HttpBootDxe
        ("86cddf93-4872-4597-8af9-a35ae4d3725f", vec!["iscsi"]),       // IScsiDxe
        ("b95e9fda-26de-48d2-8807-1f9107ac5e3a", vec!["pxe-boot"]),    // UefiPxeBcDxe
        ("5bedb5cc-d830-4eb2-8742-2d4cc9b54f2c", vec!["ipv6"]),        // Ip6Dxe
        ("7c04a583-9e3e-4f1c-ad65-e05268d0b4d1", vec!["shell"]),       // Shell
        ("2362ea9c-84e5-4dff-83bc-b5acecb57cbb", vec!["csm"]),         // LegacyBiosDxe
        ("462caa21-7614-4503-836e-8ab6f4662331", vec![]),              // UiApp
    ] {
        assert_eq!(features([X64; 3], &[driver(module)], &[]), expected, "{module}");
    }
}

#[test]
fn variables_in_a_device_are_told_from_variables_in_flash() {
    let communication = driver("0b807404-2d1c-4066-95f4-f28a58800185");
    assert_eq!(
        features([X64; 3], std::slice::from_ref(&communication), &[]),
        ["pv-vars"]
    );
    // The flash drivers of x86, with and without SMM, and of the `virt` machines.
    for (flash, rest) in [
        ("733cbac2-b23f-4b92-bc8e-fb01ce5907b7", vec![]),
        ("2e7db7a7-608e-4041-b45f-00359e0766c6", vec!["smm"]),
        ("e452cabd-5fe1-4d97-8161-e80ed6a409a8", vec![]),
    ] {
        let both = [communication.clone(), driver(flash)];
        assert_eq!(features([X64; 3], &both, &[]), rest, "{flash}");
    }
}

#[test]
fn processor_modes_follow_the_phases() {
    for (machines, mode) in [
        ([IA32, IA32, IA32], Some(CpuMode::Ia32)),
        ([IA32, IA32, X64], Some(CpuMode::Ia32X64)),
        ([X64, X64, X64], Some(CpuMode::X64)),
        ([AARCH64, AARCH64, AARCH64], None),
    ] {
        let facts = facts(&image(machines, &[], &[]));
        assert_eq!((facts.role, facts.cpu_mode), (Role::Code, mode), "{machines:x?}");
    }
    // Without a PEI phase (IntelTdx) SEC counts.
    let without_pei = volume(&[core(SEC, X64), core(DXE_CORE, X64)].concat());
    assert_eq!(facts(&without_pei).cpu_mode, Some(CpuMode::X64));
}

#[test]
fn sev_needs_its_driver_and_es_and_snp_a_64_bit_sec_phase_and_their_metadata() {
    let driver = [driver("2ec9da37-ee35-4de9-86c5-6d9a81dc38a7")];
    let snp = descriptor(b"ASEV", 1, &[0x80_0000, 0x9000, 1]);
    let full = table(
        &snp,
        &[
            (ResetVectorEntry::SEV_METADATA, &[]),
            (ResetVectorEntry::SEV_ES_RESET, &[4, 0xb0, 0x80, 0]),
        ],
    );
    assert_eq!(features([X64; 3], &driver, &full), ["sev", "sev-es", "sev-snp"]);
    assert_eq!(features([IA32, IA32, X64], &driver, &full), ["sev"]);
    assert!(features([IA32; 3], &driver, &full).is_empty());
    assert!(features([X64; 3], &[], &full).is_empty());
    assert_eq!(features([X64; 3], &driver, &[]), ["sev"]);
    // A hash table of length zero is what builds without it have.
    // Nor is there SEV-ES where the block names no address.
    let nowhere = table(&[], &[(ResetVectorEntry::SEV_ES_RESET, &[0; 4])]);
    assert_eq!(features([X64; 3], &driver, &nowhere), ["sev"]);
}

#[test]
fn hashes_need_a_place_and_a_loader_that_verifies() {
    let loader = |text: &[u8]| {
        let name = guid("806040ca-dad9-4978-a3b4-2d2ab0c8a48f");
        [code(name, DRIVER, X64, text)]
    };
    let hashes = guid("4de79437-abd2-427f-b835-d5b172d2045b").to_bytes();
    let (place, none) = ([0u8, 0, 0xc0, 0, 0, 4, 0, 0], [0, 0, 0xc0, 0, 0, 0, 0, 0]);
    for (block, text, expected) in [
        (place, &hashes[..], &["sev-hashes"][..]),
        (place, b"BlobVerifierLibNull", &[]),
        (none, &hashes, &[]),
    ] {
        let after = table(&[], &[(ResetVectorEntry::SEV_HASH_TABLE, &block)]);
        assert_eq!(features([X64; 3], &loader(text), &after), expected);
    }
}

#[test]
fn the_reset_block_of_2020_stands_without_a_table() {
    let driver = [driver("2ec9da37-ee35-4de9-86c5-6d9a81dc38a7")];
    let block = |address: u32| {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(22u16.to_le_bytes());
        bytes.extend(ResetVectorEntry::SEV_ES_RESET.to_bytes());
        bytes.extend([0x90; 0x20]);
        bytes
    };
    assert_eq!(features([X64; 3], &driver, &block(0x80_b000)), ["sev", "sev-es"]);
    assert_eq!(features([X64; 3], &driver, &block(0)), ["sev"]);
}

#[test]
fn metadata_and_a_table_of_another_length_or_version_are_told() {
    let words = [0x80_0000, 0x9000, 1];
    let sound = descriptor(b"ASEV", 1, &words);
    let spoilt = |at: usize, byte: u8| {
        let mut metadata = sound.clone();
        metadata[at] = byte;
        table(&metadata, &[(ResetVectorEntry::SEV_METADATA, &[])])
    };
    let mut short = spoilt(0, b'A');
    let len_at = short.len() - 0x20 - 18;
    short[len_at..len_at + 2].copy_from_slice(&[5, 0]);
    for (after, field) in [
        (spoilt(4, 27), "length of the metadata"),
        (spoilt(8, 2), "version of the metadata"),
        (spoilt(12, 2), "length of the metadata"),
        (short, "length of the reset vector table"),
    ] {
        let found = facts(&image([X64; 3], &[], &after)).reset_vector.unwrap();
        assert!(found.ranges.is_empty());
        let told = matches!(found.damages[..], [Error::Unexpected { field: told, .. }] if told == field);
        assert!(told, "{field}: {:?}", found.damages);
    }
}

#[test]
fn an_x86_image_that_cannot_start_is_damaged() {
    let startable = [volume(&core(SEC, X64)), vec![0x90; 16]].concat();
    let code = fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd");
    let vars = fm_fixtures::bytes("trixie/OVMF_VARS_4M.fd");
    let erased = [&code[..code.len() - 4096], &[0xff; 4096]].concat();
    for (image, why) in [
        (startable, "behind the last volume"),
        (code[..0x34_8000].to_vec(), "without code"),
        (erased, "without code"),
        ([code.clone(), vars].concat(), "in a volume of variables"),
    ] {
        let damages = facts(&image).damages;
        assert!(
            damages.iter().any(|damage| damage.to_string().contains(why)),
            "{why}: {damages:?}"
        );
    }
    assert!(facts(&code).damages.is_empty());
}

#[test]
fn tdx_shows_by_its_driver_and_metadata_that_can_be_read_and_igvm_by_its_metadata() {
    let tdx = descriptor(
        b"TDVF",
        1,
        &[0x8_4000, 0x37_c000, 0xffc8_4000, 0, 0x37_c000, 0, 0, 1],
    );
    let dxe = [driver("e750224e-7bce-40af-b5bb-47e3611eb5c2")];
    let metadata = table(&tdx, &[(ResetVectorEntry::TDX_METADATA, &[])]);
    // Every 64-bit build brings the metadata, those without TdxDxe too.
    assert!(!facts(&image([X64; 3], &[], &metadata)).has(Feature::Tdx));
    let found = facts(&image([X64; 3], &dxe, &metadata));
    assert!(found.has(Feature::Tdx));
    let range = found.reset_vector.unwrap().ranges[0];
    assert_eq!(
        (
            range.technology,
            range.base,
            range.len_bytes,
            range.from_flash,
            range.measured
        ),
        (
            Technology::Tdx,
            0xffc8_4000,
            0x37_c000,
            Some((0x8_4000, 0x37_c000)),
            true
        )
    );

    let igvm = descriptor(b"IGVM", 1, &[0x1000, 0x2000, 0x101]);
    let with_igvm = image(
        [X64; 3],
        &[],
        &table(&igvm, &[(ResetVectorEntry::IGVM_METADATA, &[])]),
    );
    let range = facts(&with_igvm).reset_vector.unwrap().ranges[0];
    assert_eq!(
        (range.technology, range.purpose),
        (Technology::Igvm, "memory map")
    );

    let beyond: &[u8] = &[0xff, 0xff, 0xff, 0x7f];
    let wrong = [
        table(&tdx, &[(ResetVectorEntry::TDX_METADATA, beyond)]),
        table(&igvm, &[(ResetVectorEntry::TDX_METADATA, &[])]),
    ];
    for after in wrong {
        let found = facts(&image([X64; 3], &dxe, &after));
        assert!(!found.has(Feature::Tdx));
        assert_eq!(found.reset_vector.unwrap().damages.len(), 1, "and it is said");
    }
}

#[test]
fn metadata_that_claims_millions_of_ranges_or_comes_again_and_again_stays_small() {
    let many = descriptor(b"ASEV", u32::MAX, &[0; 30_000]);
    let found = facts(&image(
        [X64; 3],
        &[],
        &table(&many, &[(ResetVectorEntry::SEV_METADATA, &[])]),
    ));
    let table_found = found.reset_vector.unwrap();
    assert!(table_found.ranges.is_empty());
    assert!(matches!(
        table_found.damages[..],
        [Error::Limit { limit: 256, .. }]
    ));

    let full = descriptor(b"ASEV", 256, &[1; 768]);
    let again = vec![(ResetVectorEntry::SEV_METADATA, &[][..]); 2000];
    let found = facts(&image([X64; 3], &[], &table(&full, &again)));
    let table_found = found.reset_vector.unwrap();
    assert_eq!((table_found.entries.len(), table_found.ranges.len()), (2000, 256));
}

#[test]
fn debug_builds_show_by_the_text_of_their_assertions_and_other_builds_are_not_guessed() {
    let build = |text: &[u8]| {
        let dxe = code(Guid::from_bytes([5; 16]), DXE_CORE, X64, text);
        facts(&volume(&dxe)).features
    };
    assert_eq!(build(b"ASSERT [%a] %a(%d): %a"), [Feature::Debug]);
    assert_eq!(build(b"nothing that says"), []);
}

#[test]
fn network_drivers_of_builds_without_ipv6_count_too() {
    let older = [
        driver("3b1deab5-c75d-442e-9238-8e2ffb62b0bb"),
        driver("4579b72d-7ec4-4dd4-8486-083c86b182a7"),
    ];
    let found = features([IA32, IA32, X64], &older, &[]);
    assert!(
        found.contains(&"pxe-boot") && found.contains(&"iscsi"),
        "{found:?}"
    );
}

#[test]
fn arm_builds_without_names_of_volumes_are_known_by_what_reads_the_device_tree() {
    let of = |names: &[&str]| {
        let files: Vec<_> = names
            .iter()
            .map(|name| code(guid(name), DRIVER, AARCH64, b""))
            .collect();
        let facts = facts(&image([AARCH64; 3], &files, &[]));
        (facts.platform, facts.layout.is_some())
    };
    const CPU: &str = "b8d9777e-d72a-451f-9bdb-bafb52a68415";
    const FDT: &str = "9ad7dcb4-e6ec-472e-96bf-81c219a3f77e";
    const XENIO: &str = "338695ea-ca84-4fa2-9da8-5c4bb87905c6";
    assert_eq!(of(&[CPU, FDT]), (Some("ArmVirtQemu"), true));
    assert_eq!(of(&[CPU, FDT, XENIO]).0, Some("ArmVirtXen"));
    // A board's firmware for Arm has the processor's driver and not the machine's.
    assert_eq!(of(&[CPU]), (None, false));
    assert_eq!(of(&[FDT]), (None, false));
}

#[test]
fn firmware_of_boards_is_none_of_a_qemu_machine() {
    let bare = image([IA32, IA32, X64], &[], &[]);
    assert_eq!(facts(&bare).platform, None);
    let mut coreboot = vec![0xff; 64];
    coreboot[..8].copy_from_slice(b"LARCHIVE");
    coreboot.resize(0x1000, 0xff);
    let with_coreboot = [bare.clone(), vec![0xff; 0x1000 - bare.len() % 0x1000], coreboot].concat();
    assert_eq!(facts(&with_coreboot).platform, Some("coreboot"));
    let mut intel = vec![0xff; 0x1000];
    intel[0x10..0x14].copy_from_slice(&[0x5a, 0xa5, 0xf0, 0x0f]);
    let with_descriptor = [intel.clone(), bare].concat();
    assert!(
        facts(&with_descriptor)
            .platform
            .is_some_and(|name| name.contains("Intel"))
    );
    let why = ImageFacts::of(&Tree::parse(&intel), intel.len() as u64).unwrap_err();
    assert!(why.to_string().contains("Intel"), "{why}");
}
