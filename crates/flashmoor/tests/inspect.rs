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
