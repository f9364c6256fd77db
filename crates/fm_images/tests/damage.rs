//! What is told of damaged images, and of where their parts run from.

use std::path::Path;

use fm_api::v1::inspect::{InspectDocument, RegionRunsFrom};
use fm_fixtures::{Kind, path};
use fm_images::extract::{Wanted, extract};
use fm_images::inspect::{Request, inspect};

fn look(path: &Path) -> InspectDocument {
    inspect(&Request {
        path: path.to_owned(),
        tree: true,
        ..Request::default()
    })
    .unwrap()
    .into()
}

/// A copy of an image with bytes changed, or cut.
fn changed(folder: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> InspectDocument {
    let mut bytes = fm_fixtures::bytes(name);
    change(&mut bytes);
    let path = folder.join("changed.fd");
    std::fs::write(&path, bytes).unwrap();
    look(&path)
}

#[test]
fn cut_and_flipped_images_are_named_with_their_damage() {
    let folder = tempfile::tempdir().unwrap();
    // Cut in its compressed payload: nothing of the code is left, and yet it is known what it was.
    for (name, kind) in [("trixie/OVMF_CODE_4M.fd", "code"), ("trixie/OVMF.fd", "combined")] {
        let cut = changed(folder.path(), name, |bytes| bytes.truncate(1 << 20));
        assert_eq!(cut.kind.name(), kind, "{name}");
        assert!(
            cut.reason
                .as_deref()
                .unwrap()
                .contains("damaged firmware of OvmfPkg"),
            "{name}"
        );
        let image = cut.image.unwrap();
        assert!(image.features.is_empty() && image.modules.len() < 4, "{name}");
        assert!(image.tree.unwrap().len() >= 2, "{name}");
        assert!(
            image
                .damage
                .iter()
                .any(|damage| damage.message.contains("is cut short")),
            "{name}: {:?}",
            image.damage
        );
    }
    // Of another platform's volume, without a name, not even that much is known.
    let nameless = changed(folder.path(), "bookworm/AAVMF_CODE.fd", |bytes| {
        bytes.truncate(0x1000 + 0x60);
    });
    assert_eq!(
        (nameless.kind.name(), nameless.image.is_none()),
        ("not-firmware", true)
    );
    assert!(
        nameless.damage[0].message.contains("0x1000 is cut short"),
        "{:?}",
        nameless.damage
    );
    assert!(nameless.tree.is_some_and(|tree| tree.len() > 1));

    let lzma = changed(folder.path(), "trixie/OVMF_CODE_4M.fd", |bytes| {
        bytes[0x8_0000] ^= 1
    });
    let damage = &lzma.image.unwrap().damage[0].message;
    assert!(
        damage.starts_with("lzma data at 0x") && !damage.contains("Other("),
        "{damage}"
    );
    // The file system's GUID: the files are still there. The signature of SECFV: it is not padding.
    for (at, modules) in [(0x10, 100), (0x34_8028, 100)] {
        let flipped = changed(folder.path(), "trixie/OVMF_CODE_4M.fd", |bytes| bytes[at] ^= 1);
        let image = flipped.image.unwrap();
        assert!(
            image.modules.len() > modules && !image.damage.is_empty(),
            "{at:#x}"
        );
    }
    // Padding behind the reset vector.
    let tail = changed(folder.path(), "trixie/OVMF_CODE_4M.fd", |bytes| {
        bytes.extend([0xff; 4096])
    });
    assert!(
        tail.image.unwrap().damage[0]
            .message
            .contains("no x86 machine can start this")
    );
}

#[test]
fn a_deleted_module_is_shown_and_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let before = look(&path("trixie/OVMF_CODE_4M.fd")).image.unwrap();
    let sec = before
        .modules
        .iter()
        .find(|module| module.kind.name() == "sec-core")
        .unwrap();
    let volume = &before.volumes[sec.volume];
    let at = usize::try_from(volume.offset + sec.volume_offset).unwrap() + 23;
    let after = changed(folder.path(), "trixie/OVMF_CODE_4M.fd", |bytes| {
        assert_eq!(bytes[at], 0xf8);
        bytes[at] = 0xe8;
    });
    let image = after.image.unwrap();
    assert_eq!(image.modules.len() + 1, before.modules.len());
    let shown = image.tree.unwrap();
    let gone = shown
        .iter()
        .find(|node| node.guid.as_ref() == Some(&sec.guid))
        .unwrap();
    assert!(gone.detail.as_deref().unwrap().contains("not in use"), "{gone:?}");
}

#[test]
fn the_map_tells_code_in_flash_from_code_that_is_decompressed() {
    let arm = look(&path("bookworm/AAVMF_CODE.fd")).image.unwrap();
    let main = arm
        .map
        .iter()
        .find(|region| region.kind.name() == "volume")
        .unwrap();
    assert_eq!(
        (main.runs_from.map(RegionRunsFrom::name), main.name.as_deref()),
        (Some("mixed"), None)
    );
    let parts: Vec<&str> = main.parts.iter().map(|part| part.runs_from.name()).collect();
    assert_eq!(parts, ["flash", "ram-after-decompression"]);
    assert!(
        main.parts.iter().all(|part| part.offset >= main.offset
            && part.offset + part.size_bytes <= main.offset + main.used_bytes)
    );
    assert!(main.parts[1].size_bytes > main.parts[0].size_bytes);
    // On Arm the firmware measures the volume that its PEI core lies in.
    let measured: Vec<u64> = arm
        .volumes
        .iter()
        .filter(|volume| volume.measured)
        .map(|volume| volume.offset)
        .collect();
    assert_eq!(measured, [main.offset]);
    let x86 = look(&path("trixie/OVMF_CODE_4M.fd")).image.unwrap();
    let runs: Vec<Option<&str>> = x86
        .map
        .iter()
        .map(|region| region.runs_from.map(RegionRunsFrom::name))
        .collect();
    assert_eq!(runs, [Some("ram-after-decompression"), Some("flash")]);
    let nameless = Wanted {
        volume: Some(format!("{:#x}", main.offset)),
        ..Wanted::default()
    };
    let by_offset = extract(&path("bookworm/AAVMF_CODE.fd"), &nameless).unwrap();
    assert_eq!(by_offset.len() as u64, main.size_bytes);
    let stores = Wanted {
        volume: Some("gEfiSystemNvDataFvGuid".into()),
        ..Wanted::default()
    };
    assert_eq!(
        extract(&path("trixie/OVMF_VARS_4M.fd"), &stores).unwrap().len(),
        0x8_4000
    );
}

#[test]
fn tree_and_map_reach_from_the_start_of_every_image_to_its_end() {
    for kind in [Kind::Code, Kind::Vars, Kind::Combined] {
        for fixture in fm_fixtures::of_kind(kind) {
            let document = look(&fixture.path());
            let image = document.image.unwrap();
            let top = image.tree.iter().flatten().filter(|node| node.depth == 0);
            let tree: Vec<(u64, u64)> = top.map(|node| (node.offset, node.size_bytes)).collect();
            let map: Vec<(u64, u64)> = image
                .map
                .iter()
                .map(|region| (region.offset, region.size_bytes))
                .collect();
            for pieces in [tree, map] {
                let end = pieces.iter().fold(0, |end, (offset, size)| {
                    assert_eq!(*offset, end, "{}", fixture.name);
                    offset + size
                });
                assert_eq!(end, document.size_bytes, "{}", fixture.name);
            }
        }
    }
}

#[test]
fn content_outside_of_volumes_is_told_with_its_place_and_its_length() {
    let folder = tempfile::tempdir().unwrap();
    // One byte in 60 MiB of padding.
    let flipped = changed(folder.path(), "bookworm/AAVMF_CODE.fd", |bytes| {
        bytes[0x3f0_0000] = 1
    });
    let image = flipped.image.unwrap();
    let messages: Vec<&str> = image
        .damage
        .iter()
        .map(|damage| damage.message.as_str())
        .collect();
    assert!(
        matches!(messages.as_slice(), [one] if one.contains("at 0x3f00000 is 0x1 bytes of content")),
        "{messages:?}"
    );
    let content: Vec<(u64, u64)> = image
        .map
        .iter()
        .filter(|region| region.kind.name() == "padding" && region.used_bytes > 0)
        .map(|region| (region.offset, region.size_bytes))
        .collect();
    // The jump to the first volume is there as well.
    assert_eq!(content, [(0, 0x1000), (0x3f0_0000, 1)]);
    // An x86 image begins with a volume, or with an ELF header as OvmfPkg's CloudHv does.
    let elf = changed(folder.path(), "trixie/OVMF_CODE_4M.fd", |bytes| {
        let header = b"\x7fELF"
            .iter()
            .copied()
            .chain((4..4096).map(|at| (at % 251) as u8));
        bytes.splice(0..0, header);
    });
    assert!(elf.image.unwrap().damage.is_empty());
    for len in [333, 4096, 8192] {
        let before = changed(folder.path(), "trixie/OVMF_CODE_4M.fd", |bytes| {
            bytes.splice(0..0, (0..len).map(|at| (at % 251) as u8));
        });
        let damage = before.image.unwrap().damage;
        let told = damage
            .iter()
            .filter(|damage| damage.message.contains(&format!("at 0x0 is {len:#x} bytes")));
        assert_eq!(told.count(), 1, "{len}: {damage:?}");
    }
}

#[test]
fn damage_in_a_store_of_variables_is_told_in_words_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = changed(folder.path(), "trixie/OVMF_VARS_4M.ms.fd", |bytes| {
        bytes[0x48] ^= 0xff
    });
    assert_eq!(store.store.unwrap().damage, ["no variable store header at 0x48"]);
    let volume = changed(folder.path(), "trixie/OVMF_VARS_4M.ms.fd", |bytes| {
        bytes[0x32] ^= 1
    });
    assert_eq!(volume.store.unwrap().damage, [""; 0]);
    let told: Vec<String> = volume
        .image
        .unwrap()
        .damage
        .into_iter()
        .map(|damage| damage.message)
        .collect();
    assert!(
        matches!(told.as_slice(), [one] if one.contains("checksum at 0x32")),
        "{told:?}"
    );
    // Who approves an update hears of it too.
    changed(folder.path(), "trixie/OVMF.fd", |bytes| bytes[0x48] ^= 0xff);
    let after = folder.path().join("changed.fd");
    let diff = fm_images::diff::diff(&path("trixie/OVMF.fd"), &after, None).unwrap();
    let told: Vec<(&str, &str)> = diff
        .damage
        .iter()
        .map(|damage| (damage.side.name(), damage.message.as_str()))
        .collect();
    assert_eq!(told, [("to", "no variable store header at 0x48")]);
    // How full the volume is says nothing of the room for variables.
    let variables = diff
        .volumes
        .iter()
        .find(|volume| volume.name == "variables")
        .unwrap();
    assert_eq!((variables.from_used_bytes, variables.to_used_bytes), (None, None));
}
