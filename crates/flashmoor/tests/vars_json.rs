//! Stores in JSON: what goes from one to another stays whole, and what has no place is said.
#![allow(clippy::unwrap_used)]

mod vars_case;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json as value};
use vars_case::{Case, PROGRAM, SHIM, case, json, none, vars};

const TIME: &str = "e4070101000000000000000000000000";

fn variable(name: &str, data: &str) -> Value {
    value!({ "guid": SHIM, "name": name, "attr": 7, "data": data })
}

/// A private authenticated variable, as QEMU writes it.
fn private(name: &str, digest: &str) -> Value {
    value!({ "guid": SHIM, "name": name, "attr": 0x27, "data": "01", "time": TIME, "digest": digest })
}

fn write(case: &Case, file: &str, variables: &[Value]) -> String {
    let path = case.path(file);
    let text = value!({ "version": 2, "variables": variables }).to_string();
    fs::write(&path, text).unwrap();
    path
}

fn read(path: &str) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn digest_of(path: &str, name: &str) -> Value {
    let document = read(path);
    let all = document["variables"].as_array().unwrap();
    let found = all.iter().find(|variable| variable["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is lost"))["digest"].clone()
}

#[test]
fn who_may_change_a_variable_stays_through_every_change_of_a_json() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let store = write(
        &case,
        "qemu.json",
        &[private("Private", "ab12"), variable("Plain", "02")],
    );
    for words in [
        vec!["set", store.as_str(), "Plain", "--hex", "03"],
        vec!["set", &store, "Private", "--hex", "04"],
        vec!["delete", &store, "Plain"],
        vec!["secure-boot", "enroll", &store, "--microsoft", "2023"],
    ] {
        let change = json(&words);
        assert_eq!(
            (&change["written"], &change["notes"]),
            (&true.into(), &none()),
            "{words:?}"
        );
        assert_eq!(digest_of(&store, "Private"), "ab12", "{words:?}");
    }
    let copy = case.path("copy.json");
    assert_eq!(
        json(&["convert", &store, "--layout", "json", "-o", &copy])["notes"],
        none()
    );
    assert_eq!(digest_of(&copy, "Private"), "ab12");
    let more = write(&case, "more.json", &[private("Second", "cd34")]);
    assert_eq!(json(&["import", &copy, "--from", &more])["notes"], none());
    assert_eq!(digest_of(&copy, "Private"), "ab12");
    assert_eq!(digest_of(&copy, "Second"), "cd34");
    // On flash there is no place for it, which is said, with whose it was.
    let change = json(&["convert", &copy, "--layout", "4M", "-o", &case.path("out.fd")]);
    insta::assert_snapshot!(case.notes(&change));
}

#[test]
fn names_are_written_as_their_own_characters() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    // A backslash, a control character, a letter beyond ASCII.
    for name in ["a\\u{5c}b", "\\u{1b}c", "ö"] {
        vars(&["set", case.name(), name, "--guid", SHIM, "--hex", "01"]);
    }
    let out = case.path("out.json");
    let change = json(&["export", case.name(), "-o", &out]);
    let document = read(&out);
    let names: Vec<_> = document["variables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a\\b", "\u{1b}c", "ö"]);
    insta::assert_snapshot!(case.notes(&change));
    // What looks like our escape is what it says, in a foreign document.
    let foreign = write(&case, "foreign.json", &[variable("\\u{41}", "02")]);
    assert_eq!(json(&["list", &foreign])["variables"][0]["name"], "\\u{5c}u{41}");
    let back = case.path("back.fd");
    vars(&["convert", &out, "--layout", "4M", "-o", &back]);
    assert_eq!(json(&["diff", case.name(), &back])["identical"], true);
    // Half a surrogate pair is a name on flash, and nothing that JSON can say.
    vars(&["set", case.name(), "\\u{d83d}", "--guid", SHIM, "--hex", "01"]);
    let before = fs::read(&out).unwrap();
    insta::assert_snapshot!(case.refusal(&["export", case.name(), "-o", &out, "--replace"]));
    assert_eq!(fs::read(&out).unwrap(), before);
}

#[test]
fn an_empty_json_is_a_store_and_a_strange_one_is_none() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let empty = case.path("empty.json");
    fs::write(&empty, "").unwrap();
    assert_eq!(json(&["list", &empty])["variables"], none());
    vars(&["set", &empty, "Timeout", "--hex", "0500"]);
    assert_eq!(json(&["list", &empty])["variables"].as_array().unwrap().len(), 1);
    let twice = write(&case, "twice.json", &[variable("A", "01"), variable("A", "02")]);
    let late = case.path("late.json");
    fs::write(&late, r#"{"version":99,"variables":[]}"#).unwrap();
    let told = [
        case.refusal(&["list", &twice]),
        case.refusal(&["list", &late]),
        case.refusal(&["secure-boot", "forecast", &empty]),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

/// QEMU's own device loads the file when it starts, refuses fields that it does not know, and writes all that it
/// has loaded when it ends.
#[test]
fn what_is_exported_qemus_uefi_vars_device_reads_and_writes_again() {
    for fixture in ["bookworm/OVMF_VARS_4M.snakeoil.fd", "bookworm/AAVMF_VARS.ms.fd"] {
        let case = case(fixture);
        vars(&["set", case.name(), "a\\u{5c}b", "--guid", SHIM, "--hex", "01"]);
        let (store, before) = (case.path("store.json"), case.path("before.json"));
        vars(&["export", case.name(), "-o", &store]);
        let more = write(&case, "more.json", &[private("Private", &"ab".repeat(32))]);
        vars(&["import", &store, "--from", &more]);
        fs::copy(&store, &before).unwrap();
        let mut qemu = Command::new(fm_fixtures::qemu_10("x86_64"))
            .args([
                "-machine",
                "q35",
                "-accel",
                "tcg",
                "-m",
                "16",
                "-nodefaults",
                "-display",
                "none",
            ])
            .args(["-S", "-qmp", "stdio", "-device"])
            .arg(format!("uefi-vars-x64,jsonfile={store}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It greets before it has devices, and answers when it has them.
        let mut said = BufReader::new(qemu.stdout.take().unwrap());
        let mut asked = qemu.stdin.take().unwrap();
        asked.write_all(br#"{"execute":"qmp_capabilities"}"#).unwrap();
        for expected in ["QMP", "return"] {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            assert!(line.contains(expected), "{line}");
        }
        let pid = qemu.id().to_string();
        let of_guest = json(&["list", &pid]);
        assert_eq!(of_guest["format"], "json", "{of_guest}");
        assert_eq!(of_guest["variables"], json(&["list", &store])["variables"]);
        let listed = Command::new(PROGRAM).args(["--json", "ps"]).output().unwrap();
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        let guests = listed["guests"].as_array().unwrap();
        let guest = guests.iter().find(|guest| guest["pid"] == qemu.id()).unwrap();
        assert_eq!(guest["vars"]["path"], store.as_str(), "{guest}");
        assert_eq!(guest["vars"]["secure_boot"], "enabled", "{guest}");
        asked.write_all(br#"{"execute":"quit"}"#).unwrap();
        assert!(qemu.wait().unwrap().success());
        assert_ne!(
            fs::read(&store).unwrap(),
            fs::read(&before).unwrap(),
            "QEMU wrote nothing"
        );
        let diff = json(&["diff", &before, &store]);
        assert_eq!(
            (&diff["only_left"], &diff["changed"]),
            (&none(), &none()),
            "{diff}"
        );
        let added = diff["only_right"].as_array().unwrap();
        assert!(
            added.iter().all(|variable| variable["name"] == "VendorKeysNv"),
            "{diff}"
        );
        assert_eq!(digest_of(&store, "Private"), "ab".repeat(32));
    }
}

/// edk2's record of who may change a private authenticated variable: GUID, three lengths, name, certificate.
fn certdb(names: &[&str]) -> String {
    let mut body = Vec::new();
    for name in names {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let guid: [u8; 16] = SHIM.parse::<fm_formats::Guid>().unwrap().to_bytes();
        body.extend(guid);
        for number in [28 + units.len() + 1, name.len(), 1] {
            body.extend((number as u32).to_le_bytes());
        }
        body.extend(units);
        body.push(0xcc);
    }
    let mut bytes = (body.len() as u32 + 4).to_le_bytes().to_vec();
    bytes.extend(body);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn store_with_private(case: &Case, file: &str, name: &str) -> String {
    let record = value!({
        "guid": "d9bee56e-75dc-49d9-b4d7-b534210f637a", "name": "certdb", "attr": 0x27, "data": certdb(&[name]), "time": TIME,
    });
    let variable = value!({ "guid": SHIM, "name": name, "attr": 0x27, "data": "01", "time": TIME });
    let json = write(case, "private.json", &[variable, record]);
    let path = case.path(file);
    vars(&["convert", &json, "--layout", "4M", "-o", &path]);
    path
}

#[test]
fn an_import_forgets_nobody_who_may_change_a_variable() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let (a, b) = (
        store_with_private(&case, "a.fd", "PrivateA"),
        store_with_private(&case, "b.fd", "PrivateB"),
    );
    let names = |path: &str| {
        let shown = vars(&[
            "get",
            path,
            "certdb",
            "--guid",
            "d9bee56e-75dc-49d9-b4d7-b534210f637a",
        ]);
        ["A", "B"].map(|letter| shown.contains(&format!("{:02x}00cc", letter.as_bytes()[0])))
    };
    assert_eq!((names(&a), names(&b)), ([true, false], [false, true]));
    vars(&["import", &a, "--from", &b]);
    assert_eq!(names(&a), [true, true]);
    // With --only, those whose variable goes; from JSON, which has no such record, as well.
    vars(&["import", &a, "--from", &b, "--only"]);
    assert_eq!(names(&a), [false, true]);
    vars(&[
        "import",
        &a,
        "--from",
        &write(&case, "p.json", &[variable("Plain", "01")]),
    ]);
    assert_eq!(names(&a), [false, true]);
    let kept = value!({ "guid": SHIM, "name": "PrivateB", "attr": 0x27, "data": "05", "time": TIME });
    vars(&["import", &a, "--from", &write(&case, "q.json", &[kept]), "--only"]);
    assert_eq!(names(&a), [false, true]);
}

#[test]
fn very_many_variables_are_refused_as_quickly_as_few() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let many: Vec<_> = (0..40_000).map(|at| variable(&format!("V{at}"), "01")).collect();
    let store = write(&case, "many.json", &many);
    insta::assert_snapshot!(case.refusal(&["import", case.name(), "--from", &store]));
    assert_eq!(case.files(), 2);
}

#[test]
fn attributes_that_no_firmware_stores_are_refused_from_json_before_anything_is_written() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let mut odd = variable("Odd", "01");
    // Runtime access without boot services' access.
    odd["attr"] = 5.into();
    let store = write(&case, "odd.json", &[odd]);
    let to = case.path("to.fd");
    insta::assert_snapshot!(case.refusal(&["convert", &store, "--layout", "4M", "-o", &to]));
    assert!(!fs::exists(&to).unwrap());
}
