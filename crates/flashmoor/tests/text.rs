//! What people read: as wide as it may be, aligned, no word split, and what is assumed said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
const TOLD: [&str; 6] = [
    "--machine",
    "pc-q35-7.2",
    "--qemu-from",
    "7.2",
    "--qemu-to",
    "10.0",
];

/// A command below the fixtures, with a store and a search path of its own, so that every machine prints the same.
fn command(folder: &Path, columns: usize) -> Command {
    let mut command = Command::cargo_bin("flashmoor").expect("the binary is built");
    command
        .current_dir(fm_fixtures::folder())
        .env("FLASHMOOR_STORE", folder.join("store"))
        .env("FLASHMOOR_CONFIG", "")
        .env("COLUMNS", columns.to_string());
    command
}

fn said(columns: usize, words: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command(folder.path(), columns)
        .args(words)
        .output()
        .expect("it runs");
    String::from_utf8(output.stdout).expect("text")
}

/// A program that answers as QEMU does when it is asked who it is.
fn qemu(folder: &Path, name: &str, version: &str, machine: &str, alias: &str) {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).expect("made");
    let path = bin.join(name);
    let script = format!(
        "#!/bin/sh\ncase $1 in\n--version) echo 'QEMU emulator version {version} (made up)';;\n\
         *) echo '{alias}  a board (alias of {machine})';;\nesac\n"
    );
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
}

fn with_qemu(folder: &Path) -> Command {
    qemu(folder, "qemu-system-x86_64", "9.2.1", "pc-q35-9.2", "q35");
    let mut command = command(folder, 80);
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display()));
    command
}

fn document(mut command: Command) -> (Value, Option<i32>) {
    let output = command.output().expect("it runs");
    let document = serde_json::from_slice(&output.stdout);
    let document =
        document.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (document, output.status.code())
}

const LOOKS: [&[&str]; 9] = [
    &["vars", "list", "bookworm/OVMF_VARS_4M.ms.fd"],
    &[
        "check",
        "--from-code",
        CODE,
        "--from-vars",
        VARS,
        "--to-code",
        "trixie/OVMF_CODE_4M.fd",
    ],
    &[
        "check",
        "--matrix",
        "bookworm",
        "--machine",
        "pc-q35-7.2",
        "--qemu-from",
        "7.2",
    ],
    &["inspect", "bookworm"],
    &["inspect", CODE],
    &["diff", CODE, "trixie/OVMF_CODE_4M.fd"],
    &["explain"],
    &["explain", "FM-MEASURED-BOOT"],
    &["vars", "diff", VARS, "bookworm/OVMF_VARS_4M.ms.fd"],
];

#[test]
fn no_line_is_wider_than_there_is_room_unless_it_is_one_word() {
    for columns in [60, 80, 120] {
        for words in LOOKS {
            for line in said(columns, words).lines() {
                let is_word = line.split_whitespace().count() <= 1;
                let width = line.chars().count();
                assert!(
                    is_word || width <= columns,
                    "{columns} {words:?}: {width}: {line}"
                );
            }
        }
    }
}

#[test]
fn variables_are_a_table_with_short_namespaces() {
    insta::assert_snapshot!(said(80, &["vars", "list", VARS]));
}

#[test]
fn a_folder_is_a_line_a_file() {
    insta::assert_snapshot!(said(80, &["inspect", "bookworm/firmware", "bookworm"]));
}

#[test]
fn a_matrix_is_letters_and_a_legend() {
    let words = [&["check", "--matrix", "bookworm"][..], &TOLD].concat();
    insta::assert_snapshot!(said(80, &words));
}

#[test]
fn what_is_missing_comes_first_and_together() {
    let words = [
        "check",
        "--no-assumptions",
        "--from-code",
        CODE,
        "--to-code",
        "trixie/OVMF_CODE_4M.fd",
    ];
    insta::assert_snapshot!(said(80, &words));
}

#[test]
fn a_page_of_a_finding_is_set_for_the_terminal() {
    insta::assert_snapshot!(said(80, &["explain", "FM-FLASH-SIZE"]));
}

#[test]
fn a_file_against_itself_is_compatible_on_this_hosts_qemu_and_says_what_was_assumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = with_qemu(folder.path());
    command.args([
        "--json",
        "check",
        "--from-code",
        CODE,
        "--from-vars",
        VARS,
        "--to-code",
        CODE,
    ]);
    let (document, status) = document(command);
    assert_eq!(
        (document["outcome"].as_str(), status),
        (Some("compatible"), Some(0)),
        "{document:#}"
    );
    let assumed: Vec<_> = document["assumptions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| [&one["subject"], &one["side"], &one["value"]].map(|field| field.as_str().expect("text")))
        .collect();
    assert_eq!(
        assumed,
        [["qemu", "both", "9.2.1"], ["machine", "both", "pc-q35-9.2"]]
    );
    // Whatever rests on them says so.
    let findings = document["phases"]["live_migration"]["findings"]
        .as_array()
        .expect("a list");
    let machine = findings
        .iter()
        .find(|finding| finding["code"] == "FM-MACHINE-TYPE")
        .expect("judged");
    let evidence = machine["evidence"]["source"].as_str().expect("text");
    assert!(evidence.contains("assumed"), "{evidence}");
}

#[test]
fn a_file_against_itself_needs_nothing_but_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = with_qemu(folder.path());
    command.args(["--json", "check", "--from-code", CODE, "--to-code", CODE]);
    let (document, status) = document(command);
    assert_eq!(
        (document["outcome"].as_str(), status),
        (Some("compatible"), Some(0)),
        "{document:#}"
    );
    let assumed = document["assumptions"].as_array().expect("a list");
    assert!(assumed.iter().any(|one| one["subject"] == "vars"), "{assumed:#?}");
    // What a build makes of variables that nobody named depends on them.
    let mut command = with_qemu(folder.path());
    command.args([
        "--json",
        "check",
        "--from-code",
        CODE,
        "--to-code",
        "trixie/OVMF_CODE_4M.fd",
    ]);
    assert_eq!(self::document(command).1, Some(11));
}

#[test]
fn nothing_is_assumed_where_that_is_not_wanted_or_there_is_no_qemu() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = [
        "--json",
        "check",
        "--from-code",
        CODE,
        "--from-vars",
        VARS,
        "--to-code",
        CODE,
    ];
    for switch in ["--no-assumptions", "--strict"] {
        let mut command = with_qemu(folder.path());
        command.args(words).arg(switch);
        let (document, status) = document(command);
        assert_eq!(
            (document["outcome"].as_str(), status),
            (Some("unknown"), Some(11)),
            "{switch}"
        );
        assert_eq!(document["assumptions"].as_array().map(Vec::len), Some(0));
    }
    let mut command = command(folder.path(), 80);
    command.env("PATH", folder.path()).args(words);
    assert_eq!(document(command).1, Some(11));
}

#[test]
fn what_is_told_is_not_assumed_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = with_qemu(folder.path());
    command.args([
        "--json",
        "check",
        "--from-code",
        CODE,
        "--from-vars",
        VARS,
        "--to-code",
        CODE,
        "--qemu-from",
        "7.2",
    ]);
    let (document, _) = document(command);
    let assumed = document["assumptions"].as_array().expect("a list");
    let values: Vec<_> = assumed
        .iter()
        .map(|one| (one["side"].as_str(), one["value"].as_str()))
        .collect();
    // The newest machine that both have.
    assert_eq!(
        values,
        [
            (Some("destination"), Some("9.2.1")),
            (Some("both"), Some("pc-q35-7.2"))
        ]
    );
}

#[test]
fn a_link_and_its_target_are_one_row_of_the_matrix() {
    let folder = tempfile::tempdir().expect("a folder");
    let builds = folder.path().join("builds");
    fs::create_dir(&builds).expect("made");
    for name in [CODE, VARS, "trixie/OVMF_CODE_4M.secboot.fd"] {
        let file = fm_fixtures::path(name);
        fs::copy(&file, builds.join(file.file_name().expect("a name"))).expect("copied");
    }
    std::os::unix::fs::symlink("OVMF_CODE_4M.fd", builds.join("OVMF_CODE.link.fd")).expect("linked");
    let output = command(folder.path(), 80)
        .args(["check", "--long", "--matrix"])
        .arg(&builds)
        .args(TOLD)
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("A ") || line.starts_with("B "));
    // Each in the matrix and in the legend.
    assert_eq!(rows.count(), 4, "{text}");
    assert!(!text.contains("\nC "), "{text}");
    assert!(text.contains("A>B"), "{text}");
}

#[test]
fn variables_are_read_from_standard_input_and_namespaces_by_their_short_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd");
    let output = command(folder.path(), 80)
        .args(["vars", "list", "-"])
        .write_stdin(bytes)
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        text.contains("standard input") && text.contains("\nPK "),
        "{text}"
    );
    let get = |guid: &str| {
        said(
            80,
            &["vars", "get", "bookworm/OVMF_VARS_4M.ms.fd", "PK", "--guid", guid],
        )
    };
    assert!(!get("global").is_empty());
    assert_eq!(get("global"), get("8be4df61-93ca-11d2-aa0d-00e098032b8c"));
    let output = command(folder.path(), 80)
        .args([
            "vars",
            "get",
            "bookworm/OVMF_VARS_4M.ms.fd",
            "PK",
            "--guid",
            "nothing",
        ])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_build_that_the_catalogue_knows_is_stored_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |words: &[&str]| {
        let output = command(folder.path(), 80).args(words).output().expect("it runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    };
    run(&["store", "import", CODE]);
    let list: Value = serde_json::from_str(&run(&["--json", "store", "list"])).expect("JSON");
    assert_eq!(list["builds"][0]["name"], "ovmf", "{list:#}");
    assert!(list["builds"][0]["version"].is_string());
    // A name that somebody gave stays.
    run(&["store", "import", "trixie/OVMF_CODE_4M.fd", "--name", "ours"]);
    run(&["store", "import", "trixie/OVMF_CODE_4M.fd"]);
    let list = run(&["store", "list"]);
    assert!(list.contains("ours"), "{list}");
}

#[test]
fn a_piece_replaces_no_file_unless_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("piece");
    fs::write(&out, "mine").expect("written");
    let extract = |more: &[&str]| {
        let mut command = command(folder.path(), 80);
        command
            .args(["extract", CODE, "--guid", "DxeCore", "-o"])
            .arg(&out)
            .args(more);
        command.output().expect("it runs").status.code()
    };
    assert_eq!(extract(&[]), Some(2));
    assert_eq!(fs::read(&out).expect("read"), b"mine");
    assert_eq!(extract(&["--force"]), Some(0));
    assert!(fs::read(&out).expect("read").len() > 1000);
}

#[test]
fn two_kinds_of_file_are_not_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command(folder.path(), 80)
        .args(["diff", CODE, VARS])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let output = command(folder.path(), 80)
        .args(["inspect", "/no/such.fd"])
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("what to do"));
}
