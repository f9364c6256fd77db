//! `inspect` on files that are no firmware image: each is called what it is.

use assert_cmd::Command;
use fm_fixtures::path;
use serde_json::Value;

fn flashmoor(store: &std::path::Path) -> Command {
    let mut command = Command::cargo_bin("flashmoor").unwrap();
    // Wide enough that nothing that is looked for is on two lines.
    command.env("COLUMNS", "1000").arg("--store").arg(store);
    command
}

fn text(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

#[test]
fn variables_in_json_are_a_store_and_no_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("guest.json");
    text(
        flashmoor(folder.path())
            .args(["vars", "export"])
            .arg(path("bookworm/OVMF_VARS_4M.ms.fd"))
            .arg("-o")
            .arg(&store),
    );
    let found: Value = serde_json::from_str(&text(
        flashmoor(folder.path()).args(["--json", "inspect"]).arg(&store),
    ))
    .unwrap();
    assert_eq!(
        (&found["kind"], &found["format"]),
        (&"vars".into(), &"json".into()),
        "{found}"
    );
    let listed: Value = serde_json::from_str(&text(
        flashmoor(folder.path())
            .args(["--json", "vars", "list"])
            .arg(&store),
    ))
    .unwrap();
    assert_eq!(
        found["store"]["variables"],
        listed["variables"].as_array().unwrap().len()
    );
    assert_eq!(found["store"]["secure_boot_keys"], true);
    let said = text(flashmoor(folder.path()).arg("inspect").arg(&store));
    assert!(said.contains("json"), "{said}");
}

#[test]
fn a_download_that_went_wrong_and_an_archive_are_called_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, word) in [
        (&b"<!DOCTYPE html>\n<html><body>404</body></html>"[..], "HTML"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "LFS",
        ),
        (b"PK\x03\x04", "ZIP"),
    ] {
        let file = folder.path().join("CODE.fd");
        std::fs::write(&file, bytes).unwrap();
        let said = text(flashmoor(folder.path()).arg("inspect").arg(&file));
        assert!(said.contains(word), "{said}");
        let output = flashmoor(folder.path())
            .args(["vars", "list"])
            .arg(&file)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(word), "{error}");
    }
}

#[test]
fn code_where_variables_are_expected_is_told_so() {
    let output = flashmoor(std::path::Path::new("/no/such/store"))
        .args(["vars", "list"])
        .arg(path("bookworm/OVMF_CODE_4M.fd"))
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("CODE"), "{error}");
}
