//! What `--dry-run` of each verb of `vars` says, and that nothing is changed by it.
#![allow(clippy::unwrap_used)]

mod vars_case;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use vars_case::{SHIM, case, fixture, json, refused, vars};

/// Every file of a folder: its inode and what it holds.
fn all(folder: &Path) -> BTreeMap<String, (u64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let inode = entry.metadata().unwrap().ino();
            (name, (inode, fs::read(entry.path()).unwrap()))
        })
        .collect()
}

/// A document of a change without what only a real one has.
fn said(mut document: Value, written: bool) -> Value {
    assert_eq!(document["written"], written, "{document}");
    let fields = document.as_object_mut().unwrap();
    fields.remove("written");
    fields.remove("backup");
    document
}

/// Runs the verb twice, and holds what the dry run said to what the other did.
fn verb(folder: &Path, words: &[&str]) {
    let before = all(folder);
    let dry = said(json(&[words, &["--dry-run"]].concat()), false);
    assert_eq!(all(folder), before, "{words:?}");
    let text = vars(&[words, &["--dry-run"]].concat());
    assert!(text.contains("a dry run: "), "{text}");
    assert_eq!(said(json(words), true), dry, "{words:?}");
    assert_ne!(all(folder), before, "{words:?}");
}

#[test]
fn a_dry_run_of_each_verb_says_what_it_would_do_and_changes_nothing() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let (store, folder) = (case.name(), case.folder.path());
    let snakeoil = fixture("bookworm/OVMF_VARS_4M.snakeoil.fd");
    let (json_file, larger) = (case.path("vars.json"), case.path("larger.fd"));
    verb(folder, &["compact", store]);
    verb(
        folder,
        &["set", store, "Timeout", "--guid", "global", "--hex", "0300"],
    );
    verb(folder, &["delete", store, "Timeout", "--guid", "global"]);
    verb(folder, &["export", store, "--output", &json_file]);
    verb(folder, &["import", store, "--from", &snakeoil, "--only"]);
    verb(folder, &["convert", store, "--layout", "2M", "--output", &larger]);
    verb(folder, &["secure-boot", "enroll", store, "--microsoft", "2023"]);
    verb(folder, &["secure-boot", "unenroll", store, "--all"]);
    verb(folder, &["restore", store]);
    let mut damaged = fs::read(&case.file).unwrap();
    damaged[..0x64].fill(0xff);
    fs::write(&case.file, damaged).unwrap();
    verb(folder, &["repair", store]);
    verb(
        folder,
        &["set", &json_file, "Timeout", "--guid", "global", "--hex", "0300"],
    );
}

#[test]
fn a_dry_run_refuses_what_would_be_refused_and_finds_nothing_to_do_where_there_is_nothing() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let large = case.folder.path().join("large");
    fs::write(&large, vec![0; 0x4_0000]).unwrap();
    let before = all(case.folder.path());
    let words = [
        "set",
        case.name(),
        "Large",
        "--guid",
        SHIM,
        "--from",
        large.to_str().unwrap(),
    ];
    let (error, status) = refused(&[&words[..], &["--dry-run"]].concat());
    assert_eq!(refused(&words), (error, status));
    for verb in ["repair", "compact"] {
        let document = json(&[verb, case.name(), "--dry-run"]);
        assert_eq!(
            (&document["written"], &document["up_to_date"]),
            (&false.into(), &true.into())
        );
        assert_eq!(json(&[verb, case.name()]), document, "{verb}");
    }
    assert_eq!(all(case.folder.path()), before);
}
