//! Inspecting, comparing and taking apart real images.

use std::path::Path;
use std::process::Command;

use fm_fixtures::{Kind, of_kind, path};
use fm_jobs::inspect::{InspectDocument, Request, inspect};
use fm_jobs::pieces::{Wanted, extract, find};
use fm_jobs::{Error, catalogue, descriptors, diff};

fn look(path: &Path) -> InspectDocument {
    inspect(&Request {
        path: path.to_owned(),
        tree: true,
        catalogue: None,
        ..Request::default()
    })
    .unwrap()
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
            let mapped: u64 = image.map.iter().map(|region| region.size).sum();
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
    assert_eq!(document.kind, "vars");
    let store = document.store.unwrap();
    assert!(store.secure_boot_keys && store.variables > 3, "{store:?}");
    let blank = look(&path("bookworm/AAVMF_VARS.fd"));
    assert_eq!(
        (blank.kind.as_str(), blank.store.unwrap().format.as_str()),
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
        (build.source.as_str(), build.version.as_deref()),
        ("image", Some("2025.02-8+deb13u1"))
    );
    bytes = fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd");
    bytes[0x34_0000] ^= 1;
    std::fs::write(&changed, &bytes).unwrap();
    let build = look(&changed).image.unwrap().build;
    assert_eq!(
        (build.name.as_str(), build.source.as_str()),
        ("unknown build", "none")
    );
}

#[test]
fn a_build_that_the_user_named_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (user, image) = (folder.path().join("catalogue.tsv"), folder.path().join("mine.fd"));
    let mut bytes = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
    bytes[0x1b_0000] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    let added = catalogue::add(&user, &image, "mine", "7").unwrap();
    assert_eq!(added.entries.len(), 1);
    assert!(
        catalogue::add(&user, &image, "mine", "7")
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
    let build = inspect(&request).unwrap().image.unwrap().build;
    assert_eq!(
        (build.name.as_str(), build.version.as_deref()),
        ("mine", Some("7"))
    );
    assert!(catalogue::list(&user).unwrap().entries.len() > 40);
    assert!(matches!(
        catalogue::add(&user, &path("trixie/shellx64.efi"), "shell", "1"),
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
    assert_eq!(of_qcow2.format.as_deref(), Some("qcow2"));
    assert_eq!(of_raw.sha256, of_qcow2.sha256);
    let error = inspect(&Request {
        path: backed,
        ..Request::default()
    })
    .unwrap_err();
    assert!(error.to_string().contains("backing file"), "{error}");
}

#[test]
fn what_is_no_firmware_is_said_with_the_reason() {
    let document = look(&path("trixie/shellx64.efi"));
    assert_eq!(document.kind, "not-firmware");
    assert!(document.reason.unwrap().contains("no firmware volume"));
    assert!(matches!(
        inspect(&Request {
            path: "/dev/null".into(),
            ..Request::default()
        }),
        Err(Error::File { .. })
    ));
}

#[test]
fn a_diff_names_features_volumes_and_modules() {
    let (plain, secure) = (
        path("trixie/OVMF_CODE_4M.fd"),
        path("trixie/OVMF_CODE_4M.secboot.fd"),
    );
    let document = diff::diff(&plain, &secure, None).unwrap();
    assert!(!document.identical);
    assert!(document.features_gained.contains(&"secure-boot".to_owned()));
    assert!(document.features_gained.contains(&"smm".to_owned()));
    assert!(document.measured_changed.contains(&"DXEFV".to_owned()));
    let named = |name: &str, list: &[diff::DiffModule]| {
        list.iter().any(|module| module.name.as_deref() == Some(name))
    };
    assert!(
        named("SecureBootConfigDxe", &document.added),
        "{:?}",
        document.added
    );
    assert!(
        named("VariableRuntimeDxe", &document.removed),
        "{:?}",
        document.removed
    );
    let total = document.unchanged + document.changed.len() + document.moved.len() + document.added.len();
    assert_eq!(total, look(&secure).image.unwrap().modules.len());

    let same = diff::diff(&plain, &plain, None).unwrap();
    assert!(same.identical && same.facts.is_empty() && same.changed.is_empty() && same.added.is_empty());
    let back = diff::diff(&secure, &plain, None).unwrap();
    assert_eq!(back.features_lost, document.features_gained);
    assert_eq!(back.removed.len(), document.added.len());
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
        section: None,
    };
    assert!(
        extract(&code, &none)
            .unwrap_err()
            .to_string()
            .contains("nothing in")
    );
}

#[test]
fn texts_and_guids_are_found_inside_of_what_is_compressed() {
    let code = path("trixie/OVMF_CODE_4M.fd");
    let by_text = find(&code, "2025.02-8+deb13u1").unwrap();
    assert!(by_text.matches.iter().any(|found| {
        found.encoding.as_deref() == Some("utf-16")
            && found.compressed
            && found.place.contains(&"SmbiosPlatformDxe".to_owned())
    }));
    let by_guid = find(&code, "cbd2e4d5-7068-4ff5-b462-9822b4ad8d60").unwrap();
    assert_eq!(
        by_guid
            .matches
            .iter()
            .filter(|found| found.what == "name")
            .count(),
        1
    );
    assert!(find(&code, "no such text anywhere").unwrap().matches.is_empty());
    assert!(find(&code, "").is_err());
}

#[test]
fn descriptors_that_lie_are_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, code: &Path, vars: &Path, arch: &str, features: &str| {
        let text = format!(
            r#"{{"description": "d", "interface-types": ["uefi"], "tags": [], "features": [{features}],
                "mapping": {{"device": "flash", "executable": {{"filename": {code:?}, "format": "raw"}},
                             "nvram-template": {{"filename": {vars:?}, "format": "raw"}}}},
                "targets": [{{"architecture": "{arch}", "machines": ["pc-q35-*"]}}]}}"#
        );
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let (code, vars) = (path("trixie/OVMF_CODE_4M.fd"), path("trixie/OVMF_VARS_4M.fd"));
    write("10-sound.json", &code, &vars, "x86_64", r#""amd-sev""#);
    write("20-missing.json", Path::new("/no/such.fd"), &vars, "x86_64", "");
    write(
        "30-claims.json",
        &code,
        &vars,
        "x86_64",
        r#""secure-boot", "requires-smm""#,
    );
    write(
        "40-silent.json",
        &path("trixie/OVMF_CODE_4M.secboot.fd"),
        &vars,
        "x86_64",
        r#""secure-boot""#,
    );
    write("50-arch.json", &code, &vars, "aarch64", "");
    write(
        "60-layout.json",
        &path("bookworm/OVMF_CODE.fd"),
        &vars,
        "x86_64",
        "",
    );
    write("70-role.json", &vars, &code, "x86_64", "");
    std::fs::write(folder.path().join("80-empty.json"), "").unwrap();
    std::fs::write(folder.path().join("90-broken.json"), "{").unwrap();
    let document = descriptors::lint(&[folder.path().to_owned()]).unwrap();
    let codes: Vec<Vec<&str>> = document
        .descriptors
        .iter()
        .map(|descriptor| {
            descriptor
                .problems
                .iter()
                .map(|problem| problem.code.as_str())
                .collect()
        })
        .collect();
    assert_eq!(
        codes,
        [
            vec![],
            vec!["missing-file"],
            vec!["feature-contradicted", "feature-contradicted"],
            vec!["feature-contradicted"],
            vec!["wrong-architecture"],
            vec!["size-mismatch"],
            vec!["wrong-role", "wrong-role"],
            vec!["hidden"],
            vec!["malformed"],
        ]
    );

    let own = tempfile::tempdir().unwrap();
    std::fs::copy(
        folder.path().join("10-sound.json"),
        own.path().join("20-missing.json"),
    )
    .unwrap();
    let both = descriptors::lint(&[folder.path().to_owned(), own.path().to_owned()]).unwrap();
    let hidden = both
        .descriptors
        .iter()
        .find(|descriptor| descriptor.path.ends_with("20-missing.json"))
        .unwrap();
    assert!(
        hidden.problems.iter().any(|problem| problem.code == "hidden"),
        "{hidden:?}"
    );
}
