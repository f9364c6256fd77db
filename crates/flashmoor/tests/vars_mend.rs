//! Damaged stores and backups: what is believed, what is refused, what comes back.
#![allow(clippy::unwrap_used)]

mod vars_case;

use std::fs;

use fm_formats::Guid;
use fm_formats::image::Layout;
use fm_varstore::{Variable, Writer};
use vars_case::{SHIM, case, fixture, identical, json, none, vars};

const WORKING: usize = 0x4_1000;
const SPARE: usize = 0x4_2000;
const STORE_BYTES: usize = 0x4_0000;

fn store(name: &str) -> Vec<u8> {
    let guid: Guid = SHIM.parse().unwrap();
    let variable = Variable::new(guid, name.parse().unwrap(), 7, vec![1, 2]);
    Writer::new(Layout::X86Size4M).emit(&[variable]).unwrap()
}

/// The queue says that a reclaim reached the spare whole, and `spare` is there.
fn interrupted(main: &str, spare: &[u8]) -> Vec<u8> {
    let mut bytes = store(main);
    bytes[SPARE..SPARE + STORE_BYTES].copy_from_slice(&spare[..STORE_BYTES]);
    let queue = WORKING + 32;
    bytes[queue] = 0xfc;
    bytes[queue + 24..queue + 32].copy_from_slice(&1u64.to_le_bytes());
    bytes[queue + 32..queue + 40].fill(0);
    bytes[queue + 40] = 0xfd;
    for (at, value) in [
        (48, 0u64),
        (56, 0x48),
        (64, 0x3_ffb8),
        (72, (-0x4_2000i64).cast_unsigned()),
    ] {
        bytes[queue + at..queue + at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

fn names(path: &str) -> Vec<String> {
    let list = json(&["list", path]);
    let all = list["variables"].as_array().unwrap();
    all.iter()
        .map(|variable| variable["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_broken_spare_does_not_destroy_the_store_in_its_own_place() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let mut told = Vec::new();
    for spare in [vec![0xff; STORE_BYTES], vec![0; STORE_BYTES], {
        let mut torn = store("Torn");
        torn[0x48..0x100].fill(0xff);
        torn
    }] {
        fs::write(&case.file, interrupted("Keep", &spare)).unwrap();
        let list = json(&["list", case.name()]);
        assert_eq!(
            (&list["truth"], &list["damage"][0]["kind"]),
            (&"main".into(), &"spare_damaged".into())
        );
        // The firmware would copy the spare; only a repair may say otherwise.
        for words in [
            vec!["set", case.name(), "A", "--guid", SHIM, "--hex", "00"],
            vec!["compact", case.name()],
            vec!["convert", case.name(), "--layout", "2M", "-o", "/dev/null/x"],
        ] {
            told.push(case.refusal(&words));
        }
        told.push(case.plain(&vars(&["repair", case.name()])));
        vars(&["repair", case.name()]);
        assert_eq!(names(case.name()), ["Keep"]);
        assert_eq!(json(&["list", case.name()])["damage"], none());
    }
    insta::assert_snapshot!(told.join("\n"));
    fs::write(&case.file, interrupted("Old", &store("New"))).unwrap();
    assert_eq!(names(case.name()), ["New"]);
}

#[test]
fn a_store_that_is_left_in_the_spare_alone_is_found_there() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let mut bytes = interrupted("Gone", &store("Left"));
    bytes[..STORE_BYTES].fill(0xff);
    bytes[WORKING..WORKING + 32].fill(0);
    fs::write(&case.file, &bytes).unwrap();
    assert_eq!(names(case.name()), ["Left"]);
    let told = [
        case.refusal(&["delete", case.name(), "Left"]),
        case.plain(&vars(&["repair", case.name()])),
    ];
    insta::assert_snapshot!(told.join("\n"));
    vars(&["repair", case.name()]);
    assert_eq!(names(case.name()), ["Left"]);
    assert_eq!(json(&["list", case.name()])["truth"], "main");
}

#[test]
fn a_store_whose_headers_are_gone_with_every_variable_is_no_empty_store() {
    let case = case("bookworm/AAVMF_VARS.ms.fd");
    let mut bytes = fs::read(&case.file).unwrap();
    bytes[..STORE_BYTES].fill(0xff);
    fs::write(&case.file, &bytes).unwrap();
    insta::assert_snapshot!(case.refusal(&["set", case.name(), "A", "--guid", SHIM, "--hex", "00"]));
    assert_eq!(case.files(), 1);
}

#[test]
fn a_damaged_source_is_not_imported() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let mut bytes = fs::read(&case.file).unwrap();
    // The first variable's header.
    bytes[0x64..0x84].fill(0);
    let gap = case.path("gap.fd");
    fs::write(&gap, bytes).unwrap();
    insta::assert_snapshot!(case.refusal(&["import", case.name(), "--from", &gap]));
}

#[test]
fn only_a_backup_of_this_file_may_change_its_kind() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let before = fs::read(&case.file).unwrap();
    let json_file = case.path("other.json");
    vars(&["export", case.name(), "-o", &json_file]);
    let told = [fixture("bookworm/OVMF_VARS.ms.fd"), json_file]
        .map(|other| case.refusal(&["restore", case.name(), "--backup", &other]));
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(fs::read(&case.file).unwrap(), before);
    // A store of the same kind may come from anywhere; what a conversion replaced comes back by itself.
    vars(&[
        "restore",
        case.name(),
        "--backup",
        &fixture("bookworm/OVMF_VARS_4M.fd"),
    ]);
    vars(&["restore", case.name()]);
    vars(&[
        "convert",
        case.name(),
        "--layout",
        "2M",
        "-o",
        case.name(),
        "--replace",
    ]);
    vars(&["restore", case.name()]);
    assert_eq!(fs::read(&case.file).unwrap(), before);
}

#[test]
fn what_changes_nothing_writes_nothing_and_keeps_no_backup() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    vars(&["set", case.name(), "Timeout", "--hex", "0500"]);
    vars(&["secure-boot", "enroll", case.name(), "--microsoft", "2011"]);
    let (before, backups) = (fs::read(&case.file).unwrap(), case.backups());
    for words in [
        vec!["set", case.name(), "Timeout", "--hex", "0500"],
        vec!["secure-boot", "enroll", case.name(), "--microsoft", "2011"],
        vec!["import", case.name(), "--from", case.name()],
    ] {
        let change = json(&words);
        assert_eq!(
            (&change["written"], &change["up_to_date"]),
            (&false.into(), &true.into()),
            "{words:?}"
        );
    }
    assert!(vars(&["set", case.name(), "Timeout", "--hex", "0500"]).contains("nothing to change"));
    assert!(fs::read(&case.file).unwrap() == before);
    assert_eq!(case.backups(), backups);
    assert!(!identical(case.name(), &backups[0]));
}

#[test]
fn a_blank_store_has_no_more_room_than_its_headers_will_leave() {
    let list = json(&["list", &fixture("bookworm/AAVMF_VARS.fd")]);
    assert_eq!(
        (&list["format"], &list["free_bytes"]),
        (&"blank".into(), &262_044.into())
    );
}
