//! `flashmoor inspect`, `diff`, `extract`, `find` and `catalogue` as their users call them.

use assert_cmd::Command;
use fm_fixtures::path;
use serde_json::Value;

fn flashmoor(store: &std::path::Path) -> Command {
    let mut command = Command::cargo_bin("flashmoor").unwrap();
    command.arg("--store").arg(store);
    command
}

fn text(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

#[test]
fn inspect_says_what_an_image_is_and_draws_it() {
    let store = tempfile::tempdir().unwrap();
    let code = path("bookworm/OVMF_CODE_4M.fd");
    let said = text(
        flashmoor(store.path())
            .arg("inspect")
            .arg(&code)
            .arg("--modules")
            .arg("--tree"),
    );
    for words in [
        "code, x86-64, IA32X64, OvmfPkg, layout 4M",
        "ovmf 2022.11-6+deb12u2 (its digest is in the catalogue)",
        "FVMAIN_COMPACT, 3360 KiB, 43 % full, its code runs from RAM after decompression",
        "SECFV, 208 KiB, 100 % full, its code runs from flash",
        "VariableRuntimeDxe",
        "section guid-defined (lzma)",
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{}", &said[..2000]);
    }
    let svg = store.path().join("map.svg");
    text(
        flashmoor(store.path())
            .arg("inspect")
            .arg(&code)
            .arg("--svg")
            .arg(&svg),
    );
    let picture = std::fs::read_to_string(svg).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("SECFV") && picture.ends_with("</svg>\n"));
    // The jump to the first volume, which lies before it, is not padding.
    let arm = text(
        flashmoor(store.path())
            .arg("inspect")
            .arg(path("bookworm/AAVMF_CODE.fd")),
    );
    assert!(
        arm.contains("|#                                               | bytes outside of volumes, 4 KiB"),
        "{arm}"
    );
}

#[test]
fn the_json_of_inspect_has_the_promised_fields() {
    let store = tempfile::tempdir().unwrap();
    let code = path("bookworm/OVMF_CODE_4M.fd");
    let document: Value = serde_json::from_str(&text(
        flashmoor(store.path()).arg("inspect").arg(&code).arg("--json"),
    ))
    .unwrap();
    assert_eq!(document["schema"], "flashmoor/inspect/1");
    assert_eq!(document["kind"], "code");
    assert_eq!(document["size_bytes"], 0x37_c000);
    let image = &document["image"];
    assert_eq!(
        (&image["arch"], &image["layout"]),
        (&"x86-64".into(), &"4M".into())
    );
    assert!(
        image["features"]
            .as_array()
            .unwrap()
            .contains(&"secure-boot".into())
    );
    for field in [
        "offset",
        "size",
        "guid",
        "name",
        "sha256",
        "used_bytes",
        "compressed",
    ] {
        assert!(!image["volumes"][0][field].is_null(), "volumes[].{field}");
    }
    for field in ["guid", "name", "type", "sha256", "size_bytes"] {
        assert!(
            image["modules"]
                .as_array()
                .unwrap()
                .iter()
                .any(|module| !module[field].is_null()),
            "{field}"
        );
    }
    for (field, value) in [
        ("name", "ovmf"),
        ("version", "2022.11-6+deb12u2"),
        ("source", "catalogue"),
    ] {
        assert_eq!(image["build"][field], value);
    }
    for name in ["inspect", "diff", "find", "catalogue", "descriptors"] {
        let schema: Value =
            serde_json::from_str(&text(flashmoor(store.path()).args(["schema", name]))).unwrap();
        assert!(schema["properties"]["schema"].is_object(), "{name}");
    }
}

#[test]
fn a_folder_of_descriptors_and_several_files_are_taken() {
    let store = tempfile::tempdir().unwrap();
    let folder = path("trixie/firmware/60-edk2-x86_64.json")
        .parent()
        .unwrap()
        .to_owned();
    let said = text(flashmoor(store.path()).arg("inspect").arg(&folder));
    assert!(said.contains("60-edk2-x86_64.json"), "{said}");
    let both = text(
        flashmoor(store.path())
            .args(["--json", "inspect"])
            .arg(path("bookworm/OVMF_VARS.fd"))
            .arg(path("trixie/shellx64.efi")),
    );
    let both: Value = serde_json::from_str(&both).unwrap();
    assert_eq!(
        (&both[0]["kind"], &both[1]["kind"]),
        (&"vars".into(), &"not-firmware".into())
    );
}

#[test]
fn diff_extract_find_and_catalogue_run_from_the_command_line() {
    let store = tempfile::tempdir().unwrap();
    let (old, new) = (
        path("trixie/OVMF_CODE_4M.fd"),
        path("trixie/OVMF_CODE_4M.secboot.fd"),
    );
    let said = text(flashmoor(store.path()).arg("diff").arg(&old).arg(&new));
    assert!(
        said.contains("feature gained: secure-boot") && said.contains("measured volumes differ"),
        "{said}"
    );
    let piece = store.path().join("dxefv");
    text(
        flashmoor(store.path())
            .arg("extract")
            .arg(&old)
            .args(["--volume", "DXEFV", "-o"])
            .arg(&piece),
    );
    assert_eq!(&std::fs::read(&piece).unwrap()[40..44], b"_FVH");
    flashmoor(store.path()).arg("extract").arg(&old).assert().code(2);
    let said = text(
        flashmoor(store.path())
            .arg("find")
            .arg(&old)
            .arg("VariableRuntimeDxe"),
    );
    assert!(said.contains("DXEFV / VariableRuntimeDxe"), "{said}");
    let said = text(flashmoor(store.path()).args(["catalogue", "list"]));
    assert!(said.contains("ovmf 2022.11-6+deb12u2 OVMF_CODE_4M.fd"), "{said}");
}

#[test]
fn a_file_that_is_not_there_fails_with_one_clear_error() {
    let store = tempfile::tempdir().unwrap();
    let output = flashmoor(store.path())
        .args(["inspect", "/no/such/file.fd"])
        .assert()
        .code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        said.contains("cannot read /no/such/file.fd") && said.contains("No such file"),
        "{said}"
    );
}

/// A folder of programs that stand for the host's own.
fn programs(folder: &std::path::Path, all: &[(&str, &str)]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(folder).unwrap();
    for (name, text) in all {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn catalogue_update_takes_names_from_the_package_manager_and_says_what_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let mut bytes = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
    // In the free space of the main volume: the same firmware, which no catalogue knows.
    for name in ["owned.fd", "stray.fd"] {
        bytes[0x1b_0000] ^= 1;
        std::fs::write(images.join(name), &bytes).unwrap();
        bytes[0x1b_0001] ^= 1;
    }
    std::fs::write(images.join("README"), "no firmware").unwrap();
    let elsewhere = folder.path().join("described.fd");
    bytes[0x1b_0002] ^= 1;
    std::fs::write(&elsewhere, &bytes).unwrap();
    let described = format!(r#"{{"mapping": {{"executable": {{"filename": {elsewhere:?}}}}}}}"#);
    std::fs::write(images.join("60-some.json"), described).unwrap();

    let dpkg = r#"case "$*" in
        "-S "*owned.fd) echo "vendor-ovmf:amd64: $2" ;;
        "-S "*described.fd) echo "vendor-extra: $2" ;;
        "-W -f "*" vendor-ovmf") printf 7.1-2 ;;
        "-W -f "*" vendor-extra") printf 0.9 ;;
        *) exit 1 ;;
    esac"#;
    let rpm = r#"case "$*" in *owned.fd) printf 'edk2-ovmf\t20250221-8.fc42\n' ;; *) exit 1 ;; esac"#;
    for (program, text, known) in [
        (
            "dpkg-query",
            dpkg,
            vec![
                ("vendor-extra", "0.9", "described.fd"),
                ("vendor-ovmf", "7.1-2", "owned.fd"),
            ],
        ),
        ("rpm", rpm, vec![("edk2-ovmf", "20250221-8.fc42", "owned.fd")]),
    ] {
        let (store, path) = (
            folder.path().join(format!("store-{program}")),
            folder.path().join(program),
        );
        programs(&path, &[(program, text)]);
        let update = || {
            let mut command = flashmoor(&store);
            command.env("PATH", &path).args(["--json", "catalogue", "update"]);
            let said = text_of_json(command.arg(&images));
            let mut entries: Vec<Value> = said["entries"].as_array().unwrap().clone();
            entries.sort_by_key(|entry| entry["name"].to_string());
            (entries, said["unnamed"].as_array().map_or(0, Vec::len))
        };
        let (entries, unnamed) = update();
        let named: Vec<(&str, &str, &str)> = entries
            .iter()
            .map(|entry| {
                let text = |field: &str| entry[field].as_str().unwrap();
                (text("name"), text("version"), text("file"))
            })
            .collect();
        assert_eq!(named, known);
        assert_eq!(unnamed, 3 - known.len());
        assert!(update().0.is_empty(), "nothing is new the second time");
        let seen = text_of_json(
            flashmoor(&store)
                .args(["--json", "inspect"])
                .arg(images.join("owned.fd")),
        );
        let owned = known.last().unwrap();
        assert_eq!(seen["image"]["build"]["name"], owned.0);
        assert_eq!(seen["image"]["build"]["version"], owned.1);
    }
}

fn text_of_json(command: &mut Command) -> Value {
    serde_json::from_str(&text(command)).unwrap()
}

#[test]
fn names_and_kept_looks_may_be_in_a_folder_before_there_is_a_store() {
    let store = tempfile::tempdir().unwrap();
    let vars = path("bookworm/OVMF_VARS.fd");
    let mut add = flashmoor(store.path());
    add.args(["catalogue", "add", "--name", "mine", "--build-version", "1"]);
    text(add.arg(&vars));
    let first = text(flashmoor(store.path()).arg("inspect").arg(&vars));
    let kept: Vec<_> = std::fs::read_dir(store.path().join("cache/inspect"))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(text(flashmoor(store.path()).arg("inspect").arg(&vars)), first);
    text(flashmoor(store.path()).args(["store", "list"]));
    text(
        flashmoor(store.path())
            .args(["store", "import"])
            .arg(path("bookworm/OVMF_CODE.fd")),
    );
    // A folder that is no store yet is not made into half of one by looking.
    let none = store.path().join("none");
    text(flashmoor(&none).arg("inspect").arg(&vars));
    assert!(!none.exists());
}

#[test]
fn many_files_are_answered_in_their_order_and_the_first_that_fails_ends_it() {
    let store = tempfile::tempdir().unwrap();
    let names = [
        "trixie/OVMF_CODE_4M.fd",
        "bookworm/OVMF_VARS.fd",
        "trixie/shellx64.efi",
        "bookworm/OVMF_CODE.fd",
        "trixie/OVMF_VARS_4M.fd",
    ];
    let mut command = flashmoor(store.path());
    command.args(["--json", "inspect"]);
    let said = text_of_json(command.args(names.map(path)));
    let paths: Vec<_> = said
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].clone())
        .collect();
    assert_eq!(paths, names.map(|name| Value::from(path(name).to_str().unwrap())));

    let mut command = flashmoor(store.path());
    command
        .arg("inspect")
        .args([path(names[1]), "/no/such.fd".into(), path(names[2])]);
    let output = command.assert().code(1).get_output().clone();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        shown.contains("OVMF_VARS.fd: vars") && !shown.contains("shellx64"),
        "{shown}"
    );
}
