//! `flashmoor vars` as a whole process, on the stores that Debian ships.
#![allow(clippy::unwrap_used)]

mod vars_case;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use vars_case::{PROGRAM, SHIM, case, fixture, identical, json, none, vars};

#[test]
fn every_store_that_debian_ships_is_listed_without_damage() {
    for store in fm_fixtures::of_kind(fm_fixtures::Kind::Vars) {
        let list = json(&["list", &fixture(&store.name)]);
        assert_eq!(list["schema"], "flashmoor/vars-list/1");
        assert_eq!(list["damage"], none(), "{}", store.name);
        assert!(list["layout"].is_string(), "{}", store.name);
        let number = |field: &str| list[field].as_u64().unwrap();
        assert_eq!(
            number("used_bytes") + number("free_bytes"),
            number("size_bytes"),
            "{}",
            store.name
        );
    }
}

#[test]
fn the_list_says_what_boot_entries_and_keys_mean() {
    let text = vars(&["list", &fixture("bookworm/OVMF_VARS_4M.ms.fd")]);
    assert!(
        text.contains("PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0x0,0xffff,0x0)"),
        "{text}"
    );
    assert!(
        text.contains("UEFI CA 2011 (") && text.contains("2026-06-27)"),
        "{text}"
    );
}

#[test]
fn what_boot_variables_lack_or_hide_is_said() {
    let case = case("bookworm/AAVMF_VARS.ms.fd");
    assert!(vars(&["list", case.name()]).contains("UsbHID(0xffff,0xffff,0x1,0x1)"));
    // Attributes, path length, "A", the end of the path, two bytes of its own.
    let hidden = "08000000040041000000 7fff0400 abcd";
    for (name, content, said) in [
        ("BootOrder", "010002", "malformed: 3 bytes"),
        ("Boot00A0", "0100", "malformed"),
        (
            "Boot00A1",
            hidden,
            "\"A\" , not active, hidden, with 2 bytes of its own",
        ),
    ] {
        vars(&["set", case.name(), name, "--hex", content]);
        let shown = vars(&["show", case.name(), name]);
        assert!(shown.contains(said), "{shown}");
    }
    assert!(vars(&["show", case.name(), "Boot00A1"]).contains("its own bytes: abcd"));
}

#[test]
fn a_store_keeps_every_variable_from_layout_to_layout_and_back() {
    for store in [
        "bookworm/OVMF_VARS.ms.fd",
        "bookworm/OVMF_VARS_4M.ms.fd",
        "bookworm/AAVMF_VARS.ms.fd",
    ] {
        let case = case(store);
        let mut from = case.name().to_owned();
        for layout in ["4M", "2M", "armvirt", "riscv", "loongarch", "1M", "4M"] {
            let to = case.path(&format!("{layout}-{}", case.files()));
            vars(&["convert", &from, "--layout", layout, "--output", &to]);
            assert!(identical(case.name(), &to), "{store} to {layout}");
            let list = json(&["list", &to]);
            assert_eq!(list["reclaimable_bytes"], 0);
            from = to;
        }
    }
}

#[test]
fn a_converted_blank_store_is_the_template_that_debian_ships() {
    let case = case("bookworm/AAVMF_VARS.fd");
    for (layout, template) in [
        ("2M", "bookworm/OVMF_VARS.fd"),
        ("4M", "bookworm/OVMF_VARS_4M.fd"),
    ] {
        let to = case.path(layout);
        vars(&["convert", case.name(), "--layout", layout, "-o", &to]);
        let (made, shipped) = (fs::read(&to).unwrap(), fm_fixtures::bytes(template));
        let difference = made.iter().zip(&shipped).position(|(one, other)| one != other);
        assert_eq!((made.len(), difference), (shipped.len(), None), "{layout}");
    }
}

#[test]
fn like_and_for_find_the_layout_of_template_and_firmware() {
    let case = case("bookworm/OVMF_VARS.ms.fd");
    for (option, file, layout, bytes) in [
        ("--like", "bookworm/OVMF_VARS_4M.fd", "4M", 0x84000),
        ("--like", "bookworm/AAVMF_VARS.fd", "armvirt", 64 << 20),
        ("--for", "bookworm/OVMF_CODE_4M.secboot.fd", "4M", 0x84000),
        ("--for", "bookworm/OVMF_CODE.fd", "2M", 0x20000),
        ("--for", "bookworm/OVMF.fd", "2M", 0x20000),
        ("--for", "trixie/OVMF.fd", "4M", 0x84000),
        ("--for", "bookworm/AAVMF_CODE.fd", "armvirt", 64 << 20),
    ] {
        let to = case.path(&format!("to{}", case.files()));
        vars(&["convert", case.name(), option, &fixture(file), "-o", &to]);
        assert_eq!(json(&["list", &to])["layout"], layout, "{file}");
        assert_eq!(fs::metadata(&to).unwrap().len(), bytes, "{file}");
        assert!(identical(case.name(), &to));
    }
}

#[test]
fn what_was_found_in_firmware_is_kept_for_the_next_conversion() {
    let case = case("bookworm/OVMF_VARS.ms.fd");
    let store = case.path("store");
    fs::create_dir(&store).unwrap();
    let code = fixture("bookworm/OVMF_CODE_4M.fd");
    let convert = |code: &str, to: &str| {
        let to = case.path(to);
        let words = [
            "convert",
            case.name(),
            "--for",
            code,
            "-o",
            &to,
            "--store",
            &store,
        ];
        vars(&words);
        to
    };
    let made = ["one.fd", "two.fd"].map(|name| {
        let to = convert(&code, name);
        let entries = fs::read_dir(format!("{store}/cache/inspect")).unwrap().count();
        // The entry, and which file it is of.
        assert_eq!(entries, if name == "one.fd" { 1 } else { 2 });
        fs::read(to).unwrap()
    });
    assert!(made[0] == made[1]);
    // What is written down is believed: told that it is a 2M build, the next conversion is for one.
    let small = fixture("bookworm/OVMF_CODE.fd");
    for to in ["three.fd", "four.fd"] {
        convert(&small, to);
    }
    let book = format!("{store}/cache/inspect/files");
    let text = fs::read_to_string(&book).unwrap();
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1))
        .collect();
    let [large, small] = keys[..] else {
        panic!("{text}")
    };
    fs::write(&book, text.replace(large, small)).unwrap();
    let to = convert(&code, "five.fd");
    assert_eq!(json(&["list", &to])["layout"], "2M");
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_nothing_is_written() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let big = case.path("big");
    fs::write(&big, vec![7; 0x8000]).unwrap();
    vars(&["set", case.name(), "Big", "--guid", SHIM, "--from", &big]);
    let (files, to) = (case.files(), case.path("to.fd"));
    insta::assert_snapshot!(case.refusal(&["convert", case.name(), "--layout", "2M", "-o", &to]));
    assert_eq!(case.files(), files);
    // The same 32 KiB arrive where there is room.
    vars(&["convert", case.name(), "--layout", "4M", "-o", &to]);
    assert!(identical(case.name(), &to));
}

#[test]
fn set_get_and_delete_keep_a_backup_each_and_restore_brings_the_first_back() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let before = fs::read(&case.file).unwrap();
    fs::set_permissions(&case.file, fs::Permissions::from_mode(0o640)).unwrap();
    vars(&["set", case.name(), "Timeout", "--hex", "0500"]);
    assert_eq!(vars(&["get", case.name(), "Timeout"]).trim(), "0500");
    assert_eq!(
        fs::metadata(&case.file).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    vars(&["delete", case.name(), "Timeout"]);
    insta::assert_snapshot!(case.refusal(&["get", case.name(), "Timeout"]));
    let backups = case.backups();
    assert_eq!(fs::read(&backups[0]).unwrap(), before);
    vars(&["restore", case.name(), "--backup", &backups[0]]);
    assert_eq!(fs::read(&case.file).unwrap(), before);
    assert_eq!(case.backups().len(), 3);
}

#[test]
fn what_edk2_forbids_and_what_ucs2_cannot_say_is_refused_before_anything_changes() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let told = [
        &["A", "--guid", SHIM, "--attributes", "nv", "--hex", "00"][..],
        &["A", "--guid", SHIM, "--attributes", "0x87", "--hex", "00"],
        &["A", "--guid", SHIM, "--attributes", "0x17", "--hex", "00"],
        &["A", "--guid", SHIM, "--attributes", "0xf", "--hex", "00"],
        &["A", "--guid", SHIM, "--hex", ""],
        &["A😀", "--guid", SHIM, "--hex", "00"],
        &["A", "--hex", "00"],
        &["A", "--guid", SHIM, "--hex", "0"],
    ]
    .map(|words| case.refusal(&[&["set", case.name()], words].concat()));
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(case.files(), 1);
}

#[test]
fn a_file_of_another_kind_a_wrong_layout_and_an_existing_output_are_refused() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let convert = |layout: &str, to: &str| {
        let words = ["convert", case.name(), "--layout", layout, "-o", to];
        case.refusal(&words)
    };
    let told = [
        case.refusal(&["list", &fixture("bookworm/OVMF_CODE_4M.fd")]),
        convert("3M", &case.path("x")),
        convert("4M", case.name()),
        convert("4M", "/proc/flashmoor.fd"),
        case.refusal(&["list", "/no/such/file"]),
        case.refusal(&["list", "/tmp"]),
    ];
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(case.files(), 1);
}

#[test]
fn a_file_that_another_program_writes_is_refused_unless_told_otherwise() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let open = File::options().read(true).write(true).open(&case.file).unwrap();
    let mut holder = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::from(open))
        .spawn()
        .unwrap();
    let told = case.refusal(&["set", case.name(), "Timeout", "--hex", "0500"]);
    let files = case.files();
    vars(&["set", case.name(), "Timeout", "--hex", "0500", "--even-if-in-use"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    insta::assert_snapshot!(told.replace(&format!("pid {}", holder.id()), "pid [PID]"));
    assert_eq!(files, 1);
}

#[test]
fn a_file_that_cannot_be_written_whole_leaves_the_old_one_and_no_litter() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let before = fs::read(&case.file).unwrap();
    // The shell's file-size limit stands for a full disk: writing fails in the middle.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 100; exec \"$0\" vars set \"$1\" Timeout --hex 0500",
            PROGRAM,
        ])
        .arg(&case.file)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!((fs::read(&case.file).unwrap(), case.files()), (before, 1));
}

#[test]
fn killed_at_any_instant_a_change_leaves_the_old_or_the_new_file_whole() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    for delay in 0..30u64 {
        let mut child = Command::new(PROGRAM)
            .args([
                "vars",
                "set",
                case.name(),
                "Timeout",
                "--hex",
                &format!("{delay:02x}00"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Not to be safe: this is the instant that is tested.
        std::thread::sleep(std::time::Duration::from_micros(delay * 400));
        child.kill().unwrap();
        child.wait().unwrap();
        let list = json(&["list", case.name()]);
        let whole = list["damage"] == none() && list["variables"].as_array().unwrap().len() == 31;
        assert!(whole, "killed after {delay} steps: {list}");
    }
}

#[test]
fn json_of_qemu_goes_in_and_out() {
    let case = case("bookworm/OVMF_VARS_4M.snakeoil.fd");
    let (out, back) = (case.path("out.json"), case.path("back.fd"));
    vars(&["export", case.name(), "-o", &out]);
    let text: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(text["version"], 2);
    vars(&["convert", &out, "--layout", "4M", "-o", &back]);
    // edk2's own record of certificates has no meaning there; everything else arrives.
    let diff = json(&["diff", case.name(), &back]);
    assert_eq!(diff["only_left"].as_array().unwrap().len(), 1, "{diff}");
    assert_eq!(
        (&diff["only_left"][0]["name"], &diff["changed"]),
        (&"certdb".into(), &none())
    );
    // Our own list is a source as well, and loses nothing.
    let own = case.path("own.json");
    fs::write(&own, vars(&["--json", "list", case.name()])).unwrap();
    assert!(identical(case.name(), &own));
}

#[test]
fn a_digest_that_flash_cannot_hold_is_said() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let source = case.path("in.json");
    let variable = r#"{"guid":"605dab50-e046-4300-abb6-3dd810dd8b23","name":"Private","attr":39,"data":"01","time":"e4070101000000000000000000000000","digest":"00"}"#;
    fs::write(&source, format!(r#"{{"version":2,"variables":[{variable}]}}"#)).unwrap();
    let change = json(&["import", case.name(), "--from", &source]);
    assert!(
        change["notes"][0].as_str().unwrap().contains("digest"),
        "{change}"
    );
    assert_eq!(
        json(&["list", case.name()])["variables"][0]["timestamp"]["year"],
        2020
    );
}

#[test]
fn who_may_change_a_variable_is_listed_and_compared_between_jsons() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let write = |name: &str, digest: &str| {
        let path = case.path(name);
        let variable = format!(
            r#"{{"guid":"605dab50-e046-4300-abb6-3dd810dd8b23","name":"Private","attr":39,"data":"01"{digest}}}"#
        );
        fs::write(&path, format!(r#"{{"version":2,"variables":[{variable}]}}"#)).unwrap();
        path
    };
    let (one, other) = (
        write("one.json", r#","digest":"aa""#),
        write("other.json", r#","digest":"bb""#),
    );
    let listed = json(&["list", &one]);
    assert_eq!(listed["variables"][0]["digest"], "aa");
    let change = &json(&["diff", &one, &other])["changed"][0];
    assert_eq!(change["fields"], serde_json::json!(["digest"]), "{change}");
    // Our own list keeps it; of flash nobody can say.
    let own = case.path("own.json");
    fs::write(&own, vars(&["--json", "list", &one])).unwrap();
    assert!(identical(&one, &own));
    vars(&["import", case.name(), "--from", &one]);
    assert!(identical(&one, case.name()));
    assert_eq!(json(&["list", case.name()])["variables"][0].get("digest"), None);
}

#[test]
fn compact_and_repair_do_what_a_dry_run_shows() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    assert!(
        json(&["list", case.name()])["reclaimable_bytes"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(json(&["compact", case.name(), "--dry-run"])["written"], false);
    assert_eq!(case.files(), 1);
    assert_eq!(json(&["compact", case.name()])["written"], true);
    assert_eq!(json(&["list", case.name()])["reclaimable_bytes"], 0);
    assert!(identical(case.name(), &case.backups()[0]));

    let mut bytes = fs::read(&case.file).unwrap();
    bytes[..0x64].fill(0xff);
    fs::write(&case.file, bytes).unwrap();
    assert!(vars(&["repair", case.name(), "--dry-run"]).contains("no volume header"));
    vars(&["repair", case.name()]);
    assert_eq!(json(&["list", case.name()])["damage"], none());
    assert!(identical(case.name(), &case.backups()[0]));
}

#[test]
fn combined_images_and_qcow2_are_changed_and_keep_the_rest() {
    let case = case("bookworm/OVMF.fd");
    let before = fs::read(&case.file).unwrap();
    vars(&["set", case.name(), "Timeout", "--hex", "0500"]);
    let after = fs::read(&case.file).unwrap();
    assert_eq!(before.len(), after.len());
    assert!(
        before[0x20000..] == after[0x20000..],
        "CODE behind the store has changed"
    );

    let (raw, qcow2) = (fixture("bookworm/OVMF_VARS_4M.ms.fd"), case.path("vars.qcow2"));
    let made = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2", &raw, &qcow2])
        .status()
        .unwrap();
    assert!(made.success());
    assert!(identical(&raw, &qcow2));
    vars(&["set", &qcow2, "Timeout", "--hex", "0700"]);
    assert_eq!(vars(&["get", &qcow2, "Timeout"]).trim(), "0700");
    assert!(fs::read(&qcow2).unwrap().starts_with(b"QFI\xfb"));
}

#[test]
fn keys_are_enrolled_reported_and_taken_out() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let status = || json(&["secure-boot", "status", case.name()]);
    let off = status();
    assert_eq!(
        (&off["enabled"], &off["setup_mode"]),
        (&false.into(), &true.into())
    );
    vars(&["secure-boot", "enroll", case.name(), "--microsoft", "2011"]);
    let on = status();
    assert_eq!(
        (&on["enabled"], &on["microsoft"]),
        (&true.into(), &"only_2011".into())
    );
    vars(&[
        "secure-boot",
        "enroll",
        case.name(),
        "--microsoft",
        "2023",
        "--microsoft-dbx",
    ]);
    let both = status();
    assert_eq!(both["microsoft"], "both");
    assert!(both["dbx_hashes"].as_u64().unwrap() > 100, "{both}");
    vars(&["secure-boot", "unenroll", case.name()]);
    assert_eq!(status()["setup_mode"], true);
    let shipped = json(&["secure-boot", "status", &fixture("bookworm/OVMF_VARS_4M.ms.fd")]);
    assert_eq!(shipped["microsoft"], "only_2011");
}

#[test]
fn a_dbx_update_that_a_2m_store_cannot_take_is_forecast() {
    let small = json(&["secure-boot", "forecast", &fixture("bookworm/OVMF_VARS.ms.fd")]);
    assert_eq!(
        (&small["fits_now"], &small["limit_bytes"]),
        (&false.into(), &0x2800.into()),
        "{small}"
    );
    let large = json(&["secure-boot", "forecast", &fixture("bookworm/OVMF_VARS_4M.ms.fd")]);
    assert_eq!(large["fits_now"], true, "{large}");
}

#[test]
fn a_diff_with_a_damaged_store_says_which_one_and_how() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let other = case.path("other.fd");
    let mut bytes = fs::read(case.name()).unwrap();
    bytes[100..108].fill(0);
    fs::write(&other, bytes).unwrap();
    let diff = json(&["diff", case.name(), &other]);
    let damage = diff["damage"].as_array().unwrap();
    assert!(!damage.is_empty(), "{diff}");
    for found in damage {
        assert_eq!(found["side"], "right");
        assert!(found["offset"].as_u64() >= Some(100), "{found}");
    }
    let diff = json(&["diff", case.name(), case.name()]);
    assert_eq!(
        (&diff["identical"], &diff["damage"]),
        (&true.into(), &Value::Array(Vec::new()))
    );
}
