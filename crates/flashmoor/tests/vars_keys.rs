//! Keys of Secure Boot: which files are taken for what, what stays as it was, what guests are told to lack.
#![allow(clippy::unwrap_used)]

mod vars_case;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;
use vars_case::{Case, PROGRAM, case, fixture, json, none, refused, vars};

/// The signature lists that a store's variable holds, one file each.
fn lists(case: &Case, store: &str, name: &str) -> Vec<String> {
    let output = Command::new(PROGRAM)
        .args(["vars", "get", store, name, "--raw"])
        .output()
        .unwrap();
    let mut rest = output.stdout.as_slice();
    let mut files = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
        let (list, more) = rest.split_at(len);
        let file = case.path(&format!("{name}{}.esl", files.len()));
        fs::write(&file, list).unwrap();
        files.push(file);
        rest = more;
    }
    files
}

/// The certificate in a signature list of one, as PEM.
fn pem(list: &str) -> String {
    let der = format!("{list}.der");
    fs::write(&der, &fs::read(list).unwrap()[44..]).unwrap();
    let output = Command::new("base64").args(["-w", "64", &der]).output().unwrap();
    let body = String::from_utf8(output.stdout).unwrap();
    format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
}

fn status(store: &str) -> Value {
    json(&["secure-boot", "status", store])
}

fn enroll(words: &[&str]) -> Value {
    json(&[&["secure-boot", "enroll"], words].concat())
}

#[test]
fn every_certificate_of_a_bundle_is_enrolled_and_what_is_none_is_refused() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let given = lists(&case, &fixture("bookworm/OVMF_VARS_4M.ms.fd"), "db");
    assert!(given.len() >= 2, "{given:?}");
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let bundle = case.path("bundle.pem");
    fs::write(&bundle, [key.to_owned(), pem(&given[0]), pem(&given[1])].concat()).unwrap();
    enroll(&[case.name(), "--db", &bundle]);
    assert_eq!(status(case.name())["db"].as_array().unwrap().len(), 2);
    let alone = case.path("key.pem");
    fs::write(&alone, key).unwrap();
    insta::assert_snapshot!(case.refusal(&["secure-boot", "enroll", case.name(), "--db", &alone]));
}

#[test]
fn a_key_file_of_which_a_part_cannot_be_read_changes_nothing() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let given = lists(&case, &fixture("bookworm/OVMF_VARS_4M.ms.fd"), "db");
    let (first, second) = (pem(&given[0]), pem(&given[1]));
    let der = fs::read(format!("{}.der", given[0])).unwrap();
    let body: String = first.lines().filter(|line| !line.starts_with('-')).collect();
    let cut = body.get(..400).unwrap();
    let mut told = Vec::new();
    for (name, bytes) in [
        (
            "no base64",
            [
                first.as_bytes(),
                &second.replacen("MII", "M!!", 1).into_bytes(),
                first.as_bytes(),
            ]
            .concat(),
        ),
        (
            "cut",
            [
                first.clone().into_bytes(),
                format!("-----BEGIN CERTIFICATE-----\n{cut}\n-----END CERTIFICATE-----\n").into_bytes(),
            ]
            .concat(),
        ),
        (
            "no end",
            [first.as_bytes(), b"-----BEGIN CERTIFICATE-----\n"].concat(),
        ),
        ("two in DER", [der.as_slice(), &der].concat()),
    ] {
        let file = case.path("keys");
        fs::write(&file, bytes).unwrap();
        let before = fs::read(case.name()).unwrap();
        let said = case.refusal(&["secure-boot", "enroll", case.name(), "--db", &file]);
        told.push(format!("{name}: {said}"));
        assert!(fs::read(case.name()).unwrap() == before, "{name}");
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_platform_key_is_one_certificate() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let shipped = fixture("bookworm/OVMF_VARS_4M.ms.fd");
    let (certificates, hashes) = (lists(&case, &shipped, "db"), lists(&case, &shipped, "dbx"));
    let two = case.path("two.esl");
    fs::write(
        &two,
        [
            fs::read(&certificates[0]).unwrap(),
            fs::read(&certificates[1]).unwrap(),
        ]
        .concat(),
    )
    .unwrap();
    let one_hash = case.path("hash.esl");
    let mut hash = fs::read(&hashes[0]).unwrap()[..28 + 48].to_vec();
    hash[16..20].copy_from_slice(&76u32.to_le_bytes());
    fs::write(&one_hash, hash).unwrap();
    let told = [&two, &one_hash].map(|file| {
        let words = ["secure-boot", "enroll", case.name(), "--pk", file];
        case.refusal(&words)
    });
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(case.backups(), Vec::<String>::new());
    enroll(&[case.name(), "--pk", &certificates[0]]);
    assert_eq!(status(case.name())["enabled"], true);
}

#[test]
fn the_owners_switch_stays_where_keys_are_only_added() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let hash = lists(&case, case.name(), "dbx").remove(0);
    let keyless = case.refusal(&["secure-boot", "enroll", case.name()]);
    vars(&["set", case.name(), "SecureBootEnable", "--hex", "00"]);
    let other = case.path("other.fd");
    vars(&["convert", case.name(), "--layout", "4M", "-o", &other]);
    let change = enroll(&[case.name(), "--dbx", &hash, "--microsoft-dbx"]);
    insta::assert_snapshot!([keyless, case.notes(&change)].join("\n"));
    assert_eq!(status(case.name())["enabled"], false);
    enroll(&[&other, "--microsoft", "2023"]);
    assert_eq!(status(&other)["enabled"], true);
}

/// A signed update of `payload`: time, then a PKCS#7 certificate that nobody verifies here.
fn signed(year: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = year.to_le_bytes().to_vec();
    bytes.extend([1, 2, 3, 4, 5]);
    bytes.resize(16, 0);
    bytes.extend(25u32.to_le_bytes());
    bytes.extend(0x200u16.to_le_bytes());
    bytes.extend(0x0ef1u16.to_le_bytes());
    let kind: fm_formats::Guid = "4aafd29d-68df-49ee-8aa9-347d375665a7".parse().unwrap();
    bytes.extend(kind.to_bytes());
    bytes.push(0);
    bytes.extend(payload);
    bytes
}

#[test]
fn an_update_dates_what_it_changes_so_that_an_older_one_is_refused_afterwards() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let list = fs::read(lists(&case, &fixture("bookworm/OVMF_VARS_4M.ms.fd"), "dbx").remove(0)).unwrap();
    let file = case.path("update.auth");
    let year = |signed_in: u16| {
        fs::write(&file, signed(signed_in, &list)).unwrap();
        enroll(&[case.name(), "--dbx", &file]);
        let found = json(&["get", case.name(), "dbx"])["timestamp"].clone();
        (found["year"].as_u64().unwrap(), found["second"].as_u64().unwrap())
    };
    assert_eq!(
        [year(2026), year(2024), year(2027)],
        [(2026, 5), (2026, 5), (2027, 5)]
    );
}

/// What Windows itself adds to a guest's db: the certificate that it boots by, and no other.
#[test]
fn a_guest_that_has_but_one_of_the_new_certificates_is_behind() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let new = case.path("new.fd");
    vars(&[
        "convert",
        &fixture("bookworm/OVMF_VARS_4M.fd"),
        "--layout",
        "4M",
        "-o",
        &new,
    ]);
    enroll(&[&new, "--microsoft", "2023"]);
    let windows = lists(&case, &new, "db").remove(0);
    enroll(&[case.name(), "--db", &windows]);
    let found = status(case.name());
    assert_eq!(
        [
            &found["microsoft"],
            &found["microsoft_windows"],
            &found["microsoft_third_party"],
            &found["microsoft_kek"]
        ],
        ["both", "both", "only_2011", "only_2011"]
    );
    let said = vars(&["secure-boot", "status", case.name(), &new]);
    // What stands above it says which have expired by now.
    insta::assert_snapshot!(case.plain(said.lines().last().unwrap()));
}

#[test]
fn one_store_that_cannot_be_read_does_not_hide_the_others() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let bad = case.path("bad.fd");
    fs::write(&bad, "nothing").unwrap();
    let output = Command::new(PROGRAM)
        .args([
            "--json",
            "vars",
            "secure-boot",
            "status",
            case.name(),
            &bad,
            case.name(),
        ])
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (found.as_array().unwrap().len(), output.status.code()),
        (2, Some(1))
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.fd is no variable store"));
    assert_ne!(found[0]["db"], none());
}

/// The ones that can be mended at once are those that are off.
#[test]
fn guests_of_libvirt_that_are_off_are_reported_too() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let xml = case.path("off.xml");
    let domain = format!(
        "<domain type='kvm'><name>off</name><uuid>4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11</uuid><os><type>hvm</type>\
         <loader readonly='yes' type='pflash'>/x/CODE.fd</loader><nvram>{}</nvram></os></domain>",
        case.name()
    );
    fs::write(&xml, domain).unwrap();
    let program = case.path("virsh");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*list*) echo off; echo broken;;\n*dumpxml*off) cat {xml};;\n*) exit 1;;\nesac\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(PROGRAM)
        .args(["--json", "vars", "secure-boot", "status", "--guests"])
        .env("PATH", format!("{}:{path}", case.folder.path().display()))
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let source = format!("off (off, {})", case.name());
    let off = found
        .as_array()
        .unwrap()
        .iter()
        .find(|status| status["source"] == source);
    assert_eq!(off.expect("the domain")["microsoft"], "only_2011");
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken: "));
}

#[test]
fn what_dbx_revokes_is_not_trusted_whatever_db_holds() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let before = status(case.name());
    assert_eq!(before["microsoft_windows"], "only_2011", "{before}");
    assert_eq!(before["revoked"], none());
    // What Microsoft's DBXUpdate2024 brings: the certificate of 2011 that Windows boots by.
    let windows = lists(&case, case.name(), "db")
        .into_iter()
        .find(|file| {
            String::from_utf8_lossy(&fs::read(file).unwrap()).contains("Windows Production PCA 2011")
        })
        .unwrap();
    let forecast = json(&["secure-boot", "forecast", case.name(), "--dbx", &windows]);
    assert_eq!(forecast["nothing_trusted_for"], serde_json::json!(["Windows"]));
    let change = enroll(&[case.name(), "--dbx", &windows]);
    let revoked = case.notes(&change);
    let after = status(case.name());
    assert_eq!(after["microsoft_windows"], "none", "{after}");
    assert_eq!(after["microsoft"], "only_2011", "third parties are trusted still");
    assert_eq!(after["nothing_trusted_for"], serde_json::json!(["Windows"]));
    assert_eq!(after["revoked"][0]["by"], "certificate");
    let text = vars(&["show", case.name(), "db"]);
    assert!(text.contains("revoked"), "{text}");
    // The certificate of 2023 makes up for it; enrolling the revoked one again does not.
    enroll(&[case.name(), "--microsoft", "2023"]);
    let both = status(case.name());
    assert_eq!(both["microsoft_windows"], "only_2023", "{both}");
    assert_eq!(both["nothing_trusted_for"], none());
    let again = enroll(&[case.name(), "--microsoft", "2011"]);
    insta::assert_snapshot!([revoked, case.notes(&again)].join("\n"));
}

#[test]
fn secure_versions_and_levels_of_sbat_are_revocations_too() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let hashes = status(case.name())["dbx_hashes"].as_u64().unwrap();
    // Microsoft's DBXUpdateSVN: a version in the form of a hash.
    let mut entry = vec![1];
    entry.extend([
        0x61, 0x2b, 0x13, 0x9d, 0xd5, 0x59, 0x88, 0x43, 0xab, 0x1c, 0x18, 0x5c, 0x3c, 0xb2, 0xeb, 0x92,
    ]);
    entry.extend([0, 0, 7, 0]);
    entry.resize(32, 0);
    let mut list = vec![
        0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28,
    ];
    for number in [28 + 48u32, 0, 48] {
        list.extend(number.to_le_bytes());
    }
    list.extend([0; 16]);
    list.extend(entry);
    let file = case.path("svn.esl");
    fs::write(&file, list).unwrap();
    enroll(&[case.name(), "--dbx", &file]);
    let level = case.path("level");
    fs::write(&level, "sbat,1,2024010900\nshim,4\ngrub,3\n").unwrap();
    vars(&[
        "set",
        case.name(),
        "SbatLevel",
        "--guid",
        vars_case::SHIM,
        "--from",
        &level,
    ]);
    let found = status(case.name());
    assert_eq!(found["dbx_hashes"].as_u64(), Some(hashes), "{found}");
    assert_eq!(found["dbx_secure_versions"][0]["major"], 7, "{found}");
    assert!(
        found["sbat_level"].as_str().unwrap().contains("shim,4"),
        "{found}"
    );
}

#[test]
fn what_is_wrong_inside_a_signed_update_is_told_with_its_place_in_the_file() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let given = lists(&case, case.name(), "db");
    let list = fs::read(&given[0]).unwrap();
    let mut bad = list.clone();
    // Twice the size that is there.
    bad[16..20].copy_from_slice(&(2 * list.len() as u32).to_le_bytes());
    let whole = signed(2024, &list);
    let before = whole.len() - list.len();
    for (name, update, at) in [
        ("list", signed(2024, &bad), before),
        ("two", [whole.clone(), whole.clone()].concat(), whole.len()),
    ] {
        let file = case.path(&format!("{name}.auth"));
        fs::write(&file, update).unwrap();
        let (error, _) = refused(&["secure-boot", "enroll", case.name(), "--db", &file]);
        let offset = |text: &str| {
            let digits: String = text.chars().take_while(char::is_ascii_hexdigit).collect();
            usize::from_str_radix(&digits, 16).unwrap()
        };
        let told = error.split("0x").skip(1).map(offset).max().unwrap();
        assert!(told >= before, "{error}");
        assert!(
            error.split("0x").skip(1).any(|text| offset(text) >= at),
            "{at:#x}: {error}"
        );
    }
}
