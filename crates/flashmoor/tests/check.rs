//! `check`, `check --matrix` and `explain` on real firmware.

use assert_cmd::Command;
use serde_json::{Value, json};

fn flashmoor(words: &[&str]) -> std::process::Output {
    let mut command = Command::cargo_bin("flashmoor").expect("the binary is built");
    command.args(words).output().expect("it runs")
}

fn fixture(name: &str) -> String {
    fm_fixtures::path(name).display().to_string()
}

/// A check of two builds with everything else given; JSON and exit status.
fn check(from: [&str; 2], to: &[&str], more: &[&str]) -> (Value, Option<i32>) {
    let from = from.map(fixture);
    let to: Vec<String> = to.iter().map(|name| fixture(name)).collect();
    let mut words = vec![
        "--json",
        "check",
        "--from-code",
        &from[0],
        "--from-vars",
        &from[1],
        "--to-code",
        &to[0],
    ];
    if let Some(vars) = to.get(1) {
        words.extend(["--to-vars", vars]);
    }
    words.extend([
        "--machine",
        "pc-q35-7.2",
        "--qemu-from",
        "7.2",
        "--qemu-to",
        "10.0",
        "--tpm",
        "off",
    ]);
    words.extend(more);
    let output = flashmoor(&words);
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (document, output.status.code())
}

const SMALL: [&str; 2] = ["bookworm/OVMF_CODE.fd", "bookworm/OVMF_VARS.fd"];
const LARGE: [&str; 2] = ["bookworm/OVMF_CODE_4M.fd", "bookworm/OVMF_VARS_4M.fd"];

fn finding<'a>(document: &'a Value, phase: &str, code: &str) -> &'a Value {
    let findings = document["phases"][phase]["findings"].as_array().expect("a list");
    let found = findings.iter().find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {findings:#?}"))
}

#[test]
fn a_2m_guest_cannot_move_to_a_4m_build_and_qemus_words_are_foretold() {
    let (document, status) = check(SMALL, &[LARGE[0]], &[]);
    assert_eq!(status, Some(10));
    assert_eq!(document["schema"], "flashmoor/check/1");
    assert_eq!(document["outcome"], "incompatible");
    for phase in ["live_migration", "warm_reset", "cold_boot"] {
        assert_eq!(document["phases"][phase]["outcome"], "incompatible", "{phase}");
    }
    let size = finding(&document, "live_migration", "FM-FLASH-SIZE");
    assert_eq!(
        size["qemu_message"],
        "Size mismatch: system.flash0: 0x1e0000 != 0x37c000: Invalid argument"
    );
    assert_eq!(size["source"], "0x1e0000");
    assert_eq!(size["destination"], "0x37c000");
    assert!(
        size["evidence"]["source"]
            .as_str()
            .is_some_and(|text| text.contains("OVMF_CODE.fd"))
    );
    assert!(size["remedy"].is_string());
    let layout = finding(&document, "cold_boot", "FM-STORE-LAYOUT");
    assert!(
        layout["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("vars convert"))
    );
    assert_eq!(
        layout["actions"],
        json!([{"action": "convert_vars", "vars": fixture(SMALL[1]), "target": {"layout": "4M"}}])
    );
    assert_eq!(
        size["actions"],
        json!([
            {"action": "make_offer", "guest": null},
            {"action": "prepare", "offer": null, "with_vars": false},
        ])
    );
}

#[test]
fn a_guest_moves_to_the_same_build_and_nothing_changes() {
    let (document, status) = check(LARGE, &[LARGE[0]], &["--confidential", "none"]);
    assert_eq!(
        (&document["outcome"], status),
        (&Value::from("compatible"), Some(0)),
        "{document:#}"
    );
}

#[test]
fn a_newer_build_is_a_caution_and_strict_makes_it_fail() {
    let to = ["trixie/OVMF_CODE_4M.fd"];
    let (document, status) = check(LARGE, &to, &[]);
    assert_eq!(
        document["phases"]["live_migration"]["outcome"], "compatible",
        "{document:#}"
    );
    assert_eq!(document["phases"]["warm_reset"]["outcome"], "compatible");
    assert_eq!((&document["outcome"], status), (&Value::from("caution"), Some(0)));
    assert_eq!(check(LARGE, &to, &["--strict"]).1, Some(10));
}

#[test]
fn what_is_not_told_is_unknown_and_named() {
    let (code, vars) = (fixture(LARGE[0]), fixture(LARGE[1]));
    let output = flashmoor(&[
        "--json",
        "check",
        "--no-assumptions",
        "--from-code",
        &code,
        "--from-vars",
        &vars,
        "--to-code",
        &code,
    ]);
    assert_eq!(output.status.code(), Some(11));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["outcome"], "unknown");
    let machine = finding(&document, "live_migration", "FM-MACHINE-TYPE");
    assert!(
        machine["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("--machine"))
    );
    assert_eq!(
        machine["actions"],
        json!([{"action": "give", "input": "machine_type", "value": null}])
    );
}

#[test]
fn a_firmware_folder_is_judged_build_by_build() {
    let folder = fm_fixtures::folder().join("bookworm").display().to_string();
    let (code, vars) = (fixture(SMALL[0]), fixture(SMALL[1]));
    let output = flashmoor(&[
        "--json",
        "check",
        "--from-code",
        &code,
        "--from-vars",
        &vars,
        "--to-host-firmware",
        &folder,
        "--machine",
        "pc-q35-7.2",
        "--qemu-from",
        "7.2",
        "--qemu-to",
        "7.2",
    ]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        document["destination"]
            .as_str()
            .is_some_and(|name| name.ends_with("bookworm/OVMF_CODE.fd"))
    );
    assert_eq!(
        document["phases"]["live_migration"]["outcome"], "compatible",
        "{document:#}"
    );
    assert!(
        document["candidates"]
            .as_array()
            .is_some_and(|list| list.len() > 3)
    );
}

#[test]
fn a_folder_of_descriptors_offers_what_they_name() {
    let folder = fm_fixtures::folder()
        .join("bookworm/firmware")
        .display()
        .to_string();
    let (code, vars) = (fixture(LARGE[0]), fixture(LARGE[1]));
    let output = flashmoor(&[
        "--json",
        "check",
        "--from-code",
        &code,
        "--from-vars",
        &vars,
        "--to-host-firmware",
        &folder,
        "--machine",
        "pc-q35-7.2",
        "--qemu-from",
        "7.2",
        "--qemu-to",
        "7.2",
    ]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        document["phases"]["live_migration"]["outcome"], "compatible",
        "{document:#}"
    );
}

#[test]
fn files_that_are_something_else_are_refused_with_what_to_do() {
    let vars = fixture(LARGE[1]);
    for (words, wanted) in [
        (["check", "--from-code", &vars], "is no firmware"),
        (["check", "--from-code", "/no/such.fd"], "cannot read"),
        (["check", "--from-code", "no-such-build"], "no-such-build"),
    ] {
        let store = tempfile::tempdir().expect("a folder");
        let mut all = vec!["--store", store.path().to_str().expect("text")];
        all.extend(words);
        let output = flashmoor(&all);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{text}");
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn every_pair_of_builds_is_in_the_matrix_and_on_its_page() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in [SMALL[0], SMALL[1], LARGE[0], LARGE[1]] {
        let to = dir.path().join(name.rsplit('/').next().expect("a name"));
        std::fs::copy(fm_fixtures::path(name), to).expect("copied");
    }
    let page = dir.path().join("matrix.html");
    let (folder, html) = (dir.path().display().to_string(), page.display().to_string());
    let words = [
        "check",
        "--matrix",
        &folder,
        "--html",
        &html,
        "--machine",
        "pc-q35-7.2",
        "--qemu-from",
        "7.2",
    ];
    let output = flashmoor(&[&["--json"], &words[..]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let cells = document["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 2);
    for cell in cells {
        assert_eq!(cell["live_migration"], "incompatible");
        assert_eq!(cell["cold_boot"], "incompatible");
    }
    let page = std::fs::read_to_string(page).expect("the page");
    assert!(page.contains("OVMF_CODE_4M.fd") && page.contains("class=\"incompatible\""));
    let text = flashmoor(&words).stdout;
    assert!(String::from_utf8_lossy(&text).contains("live migration"));
    assert!(page.contains("FM-FLASH-SIZE"), "the page says why");
}

/// Names below the fixtures, so that the text is the same on every machine.
fn said(words: &[&str]) -> String {
    let store = tempfile::tempdir().expect("a folder");
    let mut command = Command::cargo_bin("flashmoor").expect("the binary is built");
    let output = command
        .current_dir(fm_fixtures::folder())
        .env_remove("FLASHMOOR_STORE")
        .env("COLUMNS", "80")
        .arg("--store")
        .arg(store.path())
        .args(words)
        .output()
        .expect("it runs");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_verdict_reads_well() {
    let words = [
        "check",
        "--from-code",
        "bookworm/OVMF_CODE.fd",
        "--from-vars",
        "bookworm/OVMF_VARS.fd",
        "--to-code",
        "trixie/OVMF_CODE_4M.fd",
        "--machine",
        "pc-q35-7.2",
        "--qemu-from",
        "7.2",
        "--qemu-to",
        "10.0",
    ];
    insta::assert_snapshot!(said(&words));
}

#[test]
fn the_options_explain_themselves() {
    insta::assert_snapshot!(said(&["check", "--help"]));
}

#[test]
fn explain_lists_the_codes_and_prints_a_page() {
    let list = flashmoor(&["explain"]).stdout;
    let list = String::from_utf8_lossy(&list).into_owned();
    assert!(
        list.lines().any(|line| line.starts_with("FM-FLASH-SIZE ")),
        "{list}"
    );
    let page = flashmoor(&["explain", "fm-flash-size"]).stdout;
    assert!(String::from_utf8_lossy(&page).contains("What to do"));
    assert_eq!(flashmoor(&["explain", "FM-NOTHING"]).status.code(), Some(2));
}

#[test]
fn the_document_has_a_schema() {
    let output = flashmoor(&["schema", "check"]);
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(schema["properties"]["phases"].is_object());
}
