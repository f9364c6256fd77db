//! Inspecting, comparing and taking apart real images.

use std::path::Path;
use std::process::Command;

use fm_api::v1::extract::TextEncoding;
use fm_api::v1::inspect::{ImageFormat, InspectDocument};
use fm_fixtures::{Kind, of_kind, path};
use fm_images::Error;
use fm_images::catalogue;
use fm_images::extract::{Wanted, extract, find};
use fm_images::inspect::{Request, inspect};
use fm_remedy::{Action, Failure as _, Input};

fn look(path: &Path) -> InspectDocument {
    inspect(&Request {
        path: path.to_owned(),
        tree: true,
        catalogue: None,
        ..Request::default()
    })
    .unwrap()
    .into()
}

#[test]
fn every_fixture_has_its_digest_size_and_package_as_listed() {
    for kind in [Kind::Code, Kind::Combined] {
        for fixture in of_kind(kind) {
            let document = look(&fixture.path());
            assert_eq!(
                document.sha256.as_deref(),
                Some(fixture.sha256.as_str()),
                "{}",
                fixture.name
            );
            assert_eq!(document.size_bytes, fixture.size_bytes, "{}", fixture.name);
            let image = document.image.unwrap();
            assert_eq!(image.build.name, fixture.package, "{}", fixture.name);
            assert_eq!(
                image.build.version.as_deref(),
                Some(fixture.version.as_str()),
                "{}",
                fixture.name
            );
            assert!(
                image.damage.is_empty() && image.tree.is_some(),
                "{}",
                fixture.name
            );
            let mapped: u64 = image.map.iter().map(|region| region.size_bytes).sum();
            assert_eq!(
                mapped, fixture.size_bytes,
                "{}: the map covers the flash",
                fixture.name
            );
            assert!(
                image
                    .modules
                    .iter()
                    .all(|module| module.volume < image.volumes.len())
            );
        }
    }
}

#[test]
fn stores_are_recognised_and_counted() {
    let document = look(&path("trixie/OVMF_VARS_4M.ms.fd"));
    assert_eq!(document.kind.name(), "vars");
    let store = document.store.unwrap();
    assert!(store.secure_boot_keys && store.variables > 3, "{store:?}");
    let blank = look(&path("bookworm/AAVMF_VARS.fd"));
    assert_eq!(
        (blank.kind.name(), blank.store.unwrap().format.name()),
        ("vars", "blank")
    );
}

#[test]
fn a_version_comes_from_the_image_only_when_the_catalogue_does_not_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("changed.fd");
    let mut bytes = fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd");
    // In the free space of the main volume: another digest, the same firmware.
    bytes[0x34_0000] ^= 1;
    std::fs::write(&changed, &bytes).unwrap();
    let build = look(&changed).image.unwrap().build;
    assert_eq!(
        (build.source.name(), build.version.as_deref()),
        ("image", Some("2025.02-8+deb13u1"))
    );
    assert_eq!(build.to_string(), "edk2 2025.02-8+deb13u1");
    bytes = fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd");
    bytes[0x34_0000] ^= 1;
    std::fs::write(&changed, &bytes).unwrap();
    let build = look(&changed).image.unwrap().build;
    assert_eq!(
        (build.name.as_str(), build.source.name()),
        ("unknown build", "none")
    );
    assert_eq!(
        build.to_string(),
        "unknown build",
        "nothing stands for the version"
    );
}

#[test]
fn a_build_that_the_user_named_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (user, image) = (folder.path().join("catalogue.tsv"), folder.path().join("mine.fd"));
    let mut bytes = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
    bytes[0x1b_0000] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    let added = catalogue::add(&user, &image, "mine", "7", false).unwrap();
    assert_eq!(added.entries.len(), 1);
    assert!(
        catalogue::add(&user, &image, "mine", "7", false)
            .unwrap()
            .entries
            .is_empty(),
        "added once"
    );
    let request = Request {
        path: image,
        tree: false,
        catalogue: Some(user.clone()),
        ..Request::default()
    };
    let build = inspect(&request).unwrap().build;
    assert_eq!(
        (build.name.as_str(), build.version.as_deref()),
        ("mine", Some("7"))
    );
    assert!(catalogue::list(&user).unwrap().entries.len() > 40);
    // A build that ships in the list takes the user's name, the last one given; and its own again.
    let shipped = path("trixie/OVMF_CODE_4M.fd");
    let name = |file: &Path| {
        let request = Request {
            path: file.to_owned(),
            catalogue: Some(user.clone()),
            ..Request::default()
        };
        let build = inspect(&request).unwrap().build;
        (build.name, build.version)
    };
    let named = |name: &str, version: &str| (name.to_owned(), Some(version.to_owned()));
    for (called, version) in [("ours", "1"), ("ours", "2"), ("others", "1"), ("ours", "1")] {
        catalogue::add(&user, &shipped, called, version, false).unwrap();
        assert_eq!(name(&shipped), named(called, version));
    }
    assert_eq!(catalogue::remove(&user, "ours", false).unwrap().entries.len(), 3);
    assert_eq!(name(&shipped), named("others", "1"));
    let digest = look(&shipped).sha256.unwrap();
    assert_eq!(
        catalogue::remove(&user, &digest[..12], false)
            .unwrap()
            .entries
            .len(),
        1
    );
    assert_eq!(name(&shipped), named("ovmf", "2025.02-8+deb13u1"));
    assert!(matches!(
        catalogue::remove(&user, "ovmf", false),
        Err(Error::Usage(_))
    ));
    // Several packages ship the same bytes, and none is the file's name.
    assert_eq!(
        name(&path("bookworm/OVMF_VARS_4M.fd")).0,
        "ovmf or ovmf-generic or ovmf-ia32"
    );
    let folder_of = path("bookworm/OVMF_CODE.fd").parent().unwrap().to_owned();
    assert!(
        catalogue::add(&user, &folder_of, "all", "1", false)
            .unwrap()
            .entries
            .len()
            > 8
    );
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        catalogue::add(&user, empty.path(), "none", "1", false),
        Err(Error::NotFirmware { .. })
    ));
    assert!(matches!(
        catalogue::add(&user, &path("trixie/shellx64.efi"), "shell", "1", false),
        Err(Error::NotFirmware { .. })
    ));
}

#[test]
fn qcow2_holds_the_same_image_and_one_with_a_backing_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, backed) = (
        folder.path().join("code.qcow2"),
        folder.path().join("backed.qcow2"),
    );
    let raw = path("bookworm/OVMF_CODE_4M.fd");
    let run = |words: &[&std::ffi::OsStr]| {
        assert!(
            Command::new("qemu-img")
                .args(words)
                .output()
                .unwrap()
                .status
                .success()
        );
    };
    run(&[
        "convert".as_ref(),
        "-O".as_ref(),
        "qcow2".as_ref(),
        raw.as_ref(),
        plain.as_ref(),
    ]);
    let words = ["create", "-f", "qcow2", "-F", "raw", "-b"].map(std::ffi::OsStr::new);
    run(&[&words[..], &[raw.as_ref(), backed.as_ref()]].concat());
    let (of_raw, of_qcow2) = (look(&raw), look(&plain));
    assert_eq!(of_qcow2.format, Some(ImageFormat::Qcow2));
    assert_eq!(of_raw.sha256, of_qcow2.sha256);
    let refused = look(&backed);
    assert_eq!(
        (refused.kind.name(), refused.image.is_none()),
        ("not-firmware", true)
    );
    assert!(refused.reason.unwrap().contains("backing file"));
    // Cut anywhere, its clusters would read as zeros.
    let bytes = std::fs::read(&plain).unwrap();
    let cut = folder.path().join("cut.qcow2");
    for len in [100_000, bytes.len() / 2, bytes.len() - (64 << 10)] {
        std::fs::write(&cut, &bytes[..len]).unwrap();
        let document = look(&cut);
        assert_eq!(
            (document.kind.name(), document.sha256),
            ("not-firmware", None),
            "{len}"
        );
        assert!(document.reason.unwrap().contains("damaged qcow2"));
    }
}

#[test]
fn what_is_no_firmware_is_said_with_the_reason() {
    let document = look(&path("trixie/shellx64.efi"));
    assert_eq!(document.kind.name(), "not-firmware");
    assert!(document.reason.unwrap().contains("no firmware volume"));
    // What was asked for of a stream is not passed over where there is none.
    let asked = inspect(&Request {
        path: path("trixie/OVMF_VARS_4M.fd"),
        snapshot: Some("x".into()),
        ..Request::default()
    });
    let remedy = asked.unwrap_err().remedy().unwrap();
    assert!(
        remedy.actions.contains(&Action::Give(Input::Snapshot)),
        "{remedy:?}"
    );
    // What is compressed may be a stream, and mostly is none.
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("packed.gz");
    let made = std::process::Command::new("gzip")
        .arg("-c")
        .arg(path("trixie/shellx64.efi"))
        .stdout(std::fs::File::create(&packed).unwrap())
        .status();
    assert!(made.unwrap().success());
    let document = look(&packed);
    assert_eq!(document.kind.name(), "not-firmware");
    assert!(document.reason.unwrap().contains("compressed (gzip)"));
    assert!(matches!(
        inspect(&Request {
            path: "/dev/null".into(),
            ..Request::default()
        }),
        Err(Error::Files(_))
    ));
}

#[test]
fn a_find_tells_of_every_place() {
    let code = path("trixie/OVMF_CODE_4M.fd");
    let tree_bytes = |text: &str| find(&code, text).unwrap();
    let many = tree_bytes("Error");
    assert!(!many.truncated && many.total == many.matches.len() as u64);
    let most = many
        .matches
        .iter()
        .fold(std::collections::BTreeMap::new(), |mut places, found| {
            *places.entry(found.place.clone()).or_insert(0) += 1;
            places
        });
    assert!(
        most.values().max().unwrap() > &16,
        "of one piece more than a few are told"
    );
    let everywhere = tree_bytes("e");
    assert!(everywhere.truncated && everywhere.total > everywhere.matches.len() as u64);
}

#[test]
fn pieces_come_out_as_other_tools_see_them() {
    let code = path("bookworm/OVMF_CODE.fd");
    let volume = Wanted {
        volume: Some("DXEFV".into()),
        ..Wanted::default()
    };
    let bytes = extract(&code, &volume).unwrap();
    // virt-fw-dump --volume-hashes of virt-firmware 26.10.
    assert_eq!(
        fm_formats::Sha256::of(&bytes).to_string(),
        "614b0bfb88626b36415706a5143619938a38542e732587e2fa05c481f2843d4d"
    );
    let pe = Wanted {
        file: Some("VariableRuntimeDxe".into()),
        section: Some("pe32".into()),
        ..Wanted::default()
    };
    assert!(extract(&code, &pe).unwrap().starts_with(b"MZ"));
    let every = Wanted {
        section: Some("pe32".into()),
        ..Wanted::default()
    };
    assert!(
        extract(&code, &every)
            .unwrap_err()
            .to_string()
            .contains("different pieces")
    );
    let none = Wanted {
        file: Some("VariableRuntimeDxe".into()),
        volume: Some("SECFV".into()),
        ..Wanted::default()
    };
    assert!(
        extract(&code, &none)
            .unwrap_err()
            .to_string()
            .contains("nothing in")
    );
}

#[test]
fn free_space_behind_the_first_4_mib_is_not_taken_for_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        volume: Some("DXEFV".into()),
        ..Wanted::default()
    };
    let bytes = extract(&path("trixie/OVMF_CODE_4M.fd"), &wanted).unwrap();
    assert!(bytes.len() > 8 << 20 && bytes.ends_with(&[0xff; 4096]));
    let file = folder.path().join("dxefv");
    std::fs::write(&file, &bytes).unwrap();
    let store = folder.path().join("store");
    let request = |tree| Request {
        path: file.clone(),
        tree,
        cache: fm_images::inspect::Cache::open(Some(&store)),
        ..Request::default()
    };
    for _ in ["never seen", "seen before"] {
        let document = InspectDocument::from(inspect(&request(false)).unwrap());
        assert_eq!(document.sha256, Some(fm_formats::Sha256::of(&bytes).to_string()));
        let image = document.image.unwrap();
        assert!(image.damage.is_empty(), "{:?}", image.damage);
        let own = image.volumes.iter().find(|volume| volume.offset == 0).unwrap();
        assert_eq!(own.size_bytes, bytes.len() as u64);
    }
    assert!(extract(&file, &wanted).unwrap() == bytes);
}

#[test]
fn texts_and_guids_are_found_inside_of_what_is_compressed() {
    let code = path("trixie/OVMF_CODE_4M.fd");
    let by_text = find(&code, "2025.02-8+deb13u1").unwrap();
    assert!(by_text.matches.iter().any(|found| {
        found.encoding == Some(TextEncoding::Utf16)
            && found.compressed
            && found.place.contains(&"SmbiosPlatformDxe".to_owned())
    }));
    let by_guid = find(&code, "cbd2e4d5-7068-4ff5-b462-9822b4ad8d60").unwrap();
    assert_eq!(
        by_guid
            .matches
            .iter()
            .filter(|found| found.what.name() == "name")
            .count(),
        1
    );
    assert!(find(&code, "no such text anywhere").unwrap().matches.is_empty());
    assert!(find(&code, "").is_err());
}

#[test]
fn a_wrong_checksum_is_no_cut_and_one_letter_throughout_no_blank_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        inspect(&Request {
            path,
            ..Request::default()
        })
        .unwrap()
    };
    // The volume goes on behind the first 4 MiB with free space.
    let mut bytes = fm_fixtures::bytes("trixie/RISCV_VIRT_CODE.fd");
    bytes.truncate(8 << 20);
    bytes[50] ^= 1;
    let damage = file("whole.fd", &bytes).image.unwrap().damage;
    assert!(
        damage.iter().all(|damage| !damage.message.contains("cut short")),
        "{damage:?}"
    );
    let len = fm_fixtures::bytes("trixie/OVMF_VARS_4M.fd").len();
    for (fill, kind) in [(0, "vars"), (0xff, "vars"), (b'Z', "not-firmware")] {
        assert_eq!(file("blank.fd", &vec![fill; len]).kind.name(), kind, "{fill:#x}");
    }
}
