//! The rules for source files: one job each, said at the top, and short enough to read at once.

use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 600;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "base", "common", "helper", "helpers", "manager", "misc", "types", "util", "utils",
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust source file of the workspace.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![top().join("crates"), top().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 20, "only {} source files found", found.len());
    found
}

#[test]
fn every_file_opens_with_its_job() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("readable");
        assert!(
            text.starts_with("//! "),
            "{} does not open with `//!`",
            path.display()
        );
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for path in sources() {
        let lines = fs::read_to_string(&path).expect("readable").lines().count();
        assert!(
            lines <= MOST_LINES,
            "{} has {lines} lines, more than {MOST_LINES}",
            path.display()
        );
    }
}

#[test]
fn no_file_or_folder_has_an_empty_name() {
    for path in sources() {
        let below = path
            .strip_prefix(top())
            .expect("below the top")
            .with_extension("");
        for part in below.iter() {
            let part = part.to_string_lossy();
            assert!(
                !EMPTY_NAMES.contains(&part.as_ref()),
                "{} is named by {part}",
                path.display()
            );
        }
    }
}

#[test]
fn no_test_is_switched_off_and_nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let forbidden = [
        concat!("#[", "ignore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    for path in sources() {
        let text = fs::read_to_string(&path).expect("readable");
        for word in forbidden {
            assert!(!text.contains(word), "{} holds {word}", path.display());
        }
    }
}

#[test]
fn the_pure_rooms_stay_pure() {
    for (room, promises) in [
        ("fm_formats", &["#![forbid(unsafe_code)]", "#![no_std]"][..]),
        ("fm_varstore", &["#![forbid(unsafe_code)]", "#![no_std]"][..]),
        ("fm_stream", &["#![forbid(unsafe_code)]", "#![no_std]"][..]),
        ("fm_judge", &["#![forbid(unsafe_code)]"][..]),
    ] {
        let path = top().join("crates").join(room).join("src/lib.rs");
        let text = fs::read_to_string(&path).expect("readable");
        for promise in promises {
            assert!(text.contains(promise), "{} lost {promise}", path.display());
        }
    }
}
