//! Stores that people reported, or nearly: what `check` foretells of them, and what `vars` makes of them.

mod store_case;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use store_case::{ARM, NEW, OLD, OLD_ARM, OLD_SMM, cold, names, run, text, vars};

/// A store and a build, and what the finding of this code is to say.
struct Case {
    store: &'static str,
    code: &'static str,
    finding: &'static str,
    outcome: &'static str,
    effect: Option<&'static str>,
}

const fn case(
    store: &'static str,
    code: &'static str,
    finding: &'static str,
    outcome: &'static str,
    effect: Option<&'static str>,
) -> Case {
    Case {
        store,
        code,
        finding,
        outcome,
        effect,
    }
}

const INTERRUPTED: &str = "FM-STORE-INTERRUPTED";
const LIST: &str = "FM-STORE-LIST";
const HEADER: &str = "FM-STORE-HEADER";

const CASES: &[Case] = &[
    case(
        "ftw-spare-complete-main-erased",
        OLD,
        INTERRUPTED,
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "ftw-spare-complete-main-erased",
        OLD_SMM,
        INTERRUPTED,
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "ftw-spare-complete-main-half",
        NEW,
        INTERRUPTED,
        "incompatible",
        Some("recreated"),
    ),
    case(
        "ftw-spare-complete-main-half",
        OLD_SMM,
        INTERRUPTED,
        "compatible",
        Some("kept"),
    ),
    case(
        "ftw-spare-complete-main-old",
        NEW,
        INTERRUPTED,
        "caution",
        Some("first_boot_lost"),
    ),
    case(
        "ftw-spare-complete-main-old",
        OLD_SMM,
        INTERRUPTED,
        "compatible",
        Some("kept"),
    ),
    case(
        "ftw-work-zero-main-erased-spare-whole",
        OLD,
        "FM-STORE-STATE",
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "ftw-work-zero-main-ok",
        OLD,
        "FM-STORE-STATE",
        "compatible",
        Some("kept"),
    ),
    case("torn-header-then-records", OLD, LIST, "caution", Some("kept")),
    case("name-unterminated", ARM, LIST, "incompatible", Some("recreated")),
    case("name-short", ARM, LIST, "incompatible", Some("recreated")),
    case("state-odd", ARM, LIST, "incompatible", Some("recreated")),
    case("state-odd", OLD_ARM, LIST, "unknown", None),
    case("name-unterminated-4M", NEW, LIST, "caution", Some("kept")),
    case("state-odd-4M", NEW, LIST, "caution", Some("kept")),
    case("state-7e-4M", NEW, LIST, "caution", Some("kept")),
    case(
        "zero-page-in-list",
        OLD,
        LIST,
        "incompatible",
        Some("partly_lost"),
    ),
    case(
        "hdr-blockmap-2000",
        OLD,
        HEADER,
        "incompatible",
        Some("dead_erased"),
    ),
    case(
        "hdr-blockmap-2000",
        NEW,
        HEADER,
        "incompatible",
        Some("dead_erased"),
    ),
    case("hdr-size-large", OLD, HEADER, "compatible", Some("kept")),
    case(
        "dbx-over-limit-2M",
        "bookworm/OVMF_CODE.fd",
        "FM-STORE-FULL",
        "compatible",
        None,
    ),
    case("uefivars-zero-free", OLD, LIST, "caution", Some("kept")),
    case(
        "uefivars-zero-free",
        OLD,
        "FM-STORE-STATE",
        "compatible",
        Some("kept"),
    ),
];

fn unpacked(folder: &Path, name: &str) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/cases")
        .join(format!("{name}.fd.gz"));
    let output = Command::new("gzip")
        .arg("-dc")
        .arg(&packed)
        .output()
        .expect("gzip");
    assert!(output.status.success(), "{}", packed.display());
    let path = folder.join(format!("{name}.fd"));
    fs::write(&path, output.stdout).expect("written");
    path
}

#[test]
fn each_reported_store_gets_the_answer_that_real_firmware_gave() {
    let folder = tempfile::tempdir().expect("a folder");
    for case in CASES {
        let store = unpacked(folder.path(), case.store);
        let (findings, outcome) = cold(folder.path(), case.code, &store);
        let label = format!("{} on {}", case.code, case.store);
        let said: Vec<&Value> = findings
            .iter()
            .filter(|finding| finding["code"] == case.finding && finding["outcome"] == case.outcome)
            .collect();
        let effects: Vec<Option<&str>> = said.iter().map(|finding| finding["effect"].as_str()).collect();
        assert!(effects.contains(&case.effect), "{label}: {findings:#?}");
        if case.outcome != "compatible" {
            let remedy = said[0]["remedy"].as_str().expect("a remedy");
            assert!(remedy.contains("vars repair"), "{label}: {remedy}");
            assert_ne!(outcome, "compatible", "{label}");
        }
    }
}

#[test]
fn headers_that_do_not_matter_are_compatible() {
    let folder = tempfile::tempdir().expect("a folder");
    for store in ["hdr-attr-odd", "hdr-size-large", "ftw-work-zero-main-ok"] {
        let (findings, outcome) = cold(folder.path(), NEW, &unpacked(folder.path(), store));
        assert_eq!(outcome, "compatible", "{store}: {findings:#?}");
    }
}

#[test]
fn a_store_size_that_is_too_small_is_never_compatible_with_the_build_that_dies_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, outcome) = cold(folder.path(), OLD, &unpacked(folder.path(), "hdr-size-small"));
    assert_ne!(outcome, "compatible");
    assert_ne!(outcome, "caution");
}

#[test]
fn a_repaired_store_is_sound_and_has_every_variable_that_was_to_be_had() {
    let folder = tempfile::tempdir().expect("a folder");
    for store in CASES.iter().map(|case| case.store) {
        let path = unpacked(folder.path(), store);
        let before = names(&path);
        vars(&["repair", text(&path)]);
        let list = vars(&["list", text(&path)]);
        assert_eq!(list["damage"], Value::Array(Vec::new()), "{store}");
        assert_eq!(list["truth"], "main", "{store}");
        assert!(list["firmware_finds"].is_null(), "{store}");
        assert_eq!(names(&path), before, "{store}");
    }
}

#[test]
fn what_firmware_finds_is_told_beside_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    for (store, there, interrupted, finds) in [
        ("ftw-spare-complete-main-erased", 4, Some("main_erased"), Some(0)),
        ("ftw-spare-complete-main-half", 4, Some("main_headers"), Some(0)),
        ("ftw-work-zero-main-ok", 4, None, None),
        ("zero-page-in-list", 51, None, Some(24)),
    ] {
        let list = vars(&["list", text(&unpacked(folder.path(), store))]);
        let count = list["variables"].as_array().expect("a list").len();
        assert_eq!(count, there, "{store}");
        assert_eq!(list["interrupted"].as_str(), interrupted, "{store}");
        assert_eq!(list["firmware_finds"].as_u64(), finds, "{store}");
    }
}

#[test]
fn a_variable_beyond_the_limit_is_carried_and_the_guest_is_said_not_to_write_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = unpacked(folder.path(), "dbx-over-limit-2M");
    let to = folder.path().join("to.fd");
    let change = vars(&["convert", text(&store), "--layout", "2M", "-o", text(&to)]);
    assert_eq!(vars(&["diff", text(&store), text(&to)])["identical"], true);
    let notes = change["notes"].to_string();
    assert!(
        notes.contains("-dbx") && notes.contains("cannot write it again"),
        "{notes}"
    );
    // Keys that have nothing to do with it are enrolled.
    vars(&["secure-boot", "enroll", text(&to), "--microsoft", "2023"]);
    let dbx = |path: &Path| vars(&["show", text(path), "dbx"])["variables"].to_string();
    assert_eq!(dbx(&store).len(), dbx(&to).len());
    assert!(names(&to).contains(&"PK".to_owned()));
    // One that would be too large only now is refused still.
    let output = run(&["vars", "secure-boot", "enroll", text(&to), "--microsoft-dbx"]);
    assert!(!output.status.success());
}

#[test]
fn a_padded_store_is_named_with_the_length_that_qemu_is_to_be_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("padded.fd");
    fs::write(&path, fm_fixtures::bytes("bookworm/OVMF_VARS_4M.fd")).expect("written");
    for len_bytes in [1 << 20, 4 << 20] {
        let file = fs::File::options().write(true).open(&path).expect("open");
        file.set_len(len_bytes).expect("padded");
        let (findings, outcome) = cold(folder.path(), NEW, &path);
        let said = findings
            .iter()
            .find(|finding| finding["code"] == "FM-VARS-PADDED")
            .unwrap_or_else(|| panic!("{findings:#?}"));
        assert_eq!(outcome, "incompatible");
        assert!(said["remedy"].to_string().contains("size=540672"), "{said}");
    }
}
