//! `check` on files that are damaged, foreign, absent or not quite what they are called.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
const Q35: [&str; 8] = [
    "--machine",
    "pc-q35-7.2",
    "--qemu-from",
    "7.2",
    "--qemu-to",
    "7.2",
    "--tpm",
    "off",
];
const VIRT: [&str; 6] = ["--machine", "virt-7.2", "--qemu-from", "7.2", "--qemu-to", "7.2"];

/// A folder for files that are made, with a store of its own: nothing is kept elsewhere.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(&path, bytes).expect("written");
        path
    }

    /// A copy of a fixture with something done to it.
    fn spoilt(&self, fixture: &str, name: &str, spoil: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
        let mut bytes = fs::read(fm_fixtures::path(fixture)).expect("read");
        spoil(&mut bytes);
        self.write(name, &bytes)
    }

    fn run(&self, words: &[&str]) -> std::process::Output {
        Command::cargo_bin("flashmoor")
            .expect("the binary is built")
            .arg("--store")
            .arg(self.0.path())
            .args(["--json", "check"])
            .args(words)
            .output()
            .expect("it runs")
    }

    fn check(&self, words: &[&str]) -> (Value, Option<i32>) {
        let output = self.run(words);
        let document = serde_json::from_slice(&output.stdout);
        let document = document.unwrap_or_else(|error| {
            panic!("{words:?}: {error}: {}", String::from_utf8_lossy(&output.stderr))
        });
        (document, output.status.code())
    }

    /// From the 4M build on its template to these.
    fn to(&self, words: &[&str]) -> (Value, Option<i32>) {
        let (code, vars) = (fixture(CODE), fixture(VARS));
        self.check(&[&["--from-code", &code, "--from-vars", &vars][..], words, &Q35[..]].concat())
    }

    fn refused(&self, words: &[&str], parts: &[&str], status: i32) {
        let output = self.run(words);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(output.status.code(), Some(status), "{said}");
    }
}

fn fixture(name: &str) -> String {
    text(&fm_fixtures::path(name)).to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn outcome<'a>(document: &'a Value, phase: &str) -> &'a str {
    document["phases"][phase]["outcome"].as_str().expect("an outcome")
}

fn finding<'a>(document: &'a Value, phase: &str, code: &str) -> &'a Value {
    let findings = document["phases"][phase]["findings"].as_array().expect("a list");
    let found = findings.iter().find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {findings:#?}"))
}

#[test]
fn a_destination_that_is_not_named_is_asked_for() {
    let bench = Bench::new();
    let (code, vars) = (fixture(CODE), fixture(VARS));
    let words = [&["--from-code", &code, "--from-vars", &vars][..], &Q35[..]].concat();
    bench.refused(&words, &["the destination is not named", "--to-code"], 2);
}

#[test]
fn a_descriptor_whose_file_is_not_there_is_never_compatible() {
    let bench = Bench::new();
    let descriptor = json!({
        "interface-types": ["uefi"], "features": [],
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
        "mapping": {"device": "flash", "executable": {"filename": "/no/such/OVMF_CODE.fd", "format": "raw"}},
    });
    let path = bench.write("firmware/50.json", descriptor.to_string().as_bytes());
    for named in [text(&path), text(path.parent().expect("it has one"))] {
        let (document, status) = bench.to(&["--to-host-firmware", named]);
        assert_eq!(status, Some(10), "{document:#}");
        for phase in ["live_migration", "cold_boot"] {
            let gone = finding(&document, phase, "FM-FLASH-FILE");
            assert_eq!(
                gone["qemu_message"],
                "Could not open '/no/such/OVMF_CODE.fd': No such file or directory"
            );
        }
    }
    // One that hides another describes nothing.
    let empty = bench.write("empty.json", b"");
    bench.refused(
        &["--to-host-firmware", text(&empty)],
        &["describes no firmware"],
        2,
    );
    let broken = bench.write("broken/1.json", b"{");
    let folder = text(broken.parent().expect("it has one"));
    bench.refused(
        &["--to-host-firmware", folder],
        &["1.json is no JSON", "mend or remove"],
        2,
    );
}

#[test]
fn a_damaged_store_at_the_destination_is_no_landing_and_a_blank_one_is() {
    let bench = Bench::new();
    let code = fixture(CODE);
    // As the atlas damages them: a byte of the volume header, one of the store header.
    for (offset, effect) in [(0x28, "dead_erased"), (0x48, "dead_untouched")] {
        let vars = bench.spoilt(VARS, "damaged.fd", |bytes| bytes[offset] ^= 0xff);
        let (document, status) = bench.to(&["--to-code", &code, "--to-vars", text(&vars)]);
        assert_eq!(
            (outcome(&document, "cold_boot"), status),
            ("incompatible", Some(10))
        );
        assert_eq!(
            finding(&document, "cold_boot", "FM-STORE-STATE")["effect"],
            effect
        );
        assert_eq!(outcome(&document, "live_migration"), "compatible");
    }
    for fill in [0, 0xff] {
        let vars = bench.spoilt(VARS, "blank.fd", |bytes| bytes.fill(fill));
        let (document, status) = bench.to(&["--to-code", &code, "--to-vars", text(&vars)]);
        assert_eq!(
            (outcome(&document, "live_migration"), status),
            ("compatible", Some(0))
        );
        assert_eq!(outcome(&document, "cold_boot"), "caution", "{document:#}");
    }
}

#[test]
fn firmware_that_is_not_whole_is_said_to_be_so() {
    let bench = Bench::new();
    let dead = bench.spoilt(CODE, "dead.fd", |bytes| {
        let end = bytes.len() - 0x1000;
        bytes[end..].fill(0);
    });
    let (document, status) = bench.to(&["--to-code", text(&dead)]);
    assert_eq!(
        (outcome(&document, "cold_boot"), status),
        ("incompatible", Some(10))
    );
    assert_eq!(
        finding(&document, "cold_boot", "FM-CODE-DAMAGED")["destination"],
        "nothing at its reset vector"
    );
    // The bytes of the file do not matter to a guest that arrives.
    assert_eq!(outcome(&document, "live_migration"), "compatible");

    let garbled = bench.spoilt(CODE, "garbled.fd", |bytes| {
        bytes[0x1000..0x4_0000].iter_mut().for_each(|byte| *byte ^= 0x5a);
    });
    let (document, _) = bench.to(&["--to-code", text(&garbled)]);
    let damaged = finding(&document, "cold_boot", "FM-CODE-DAMAGED");
    assert_eq!(damaged["outcome"], "incompatible", "{document:#}");
    // What cannot be read says nothing of architecture and features.
    assert_eq!(finding(&document, "cold_boot", "FM-ARCH")["outcome"], "unknown");
    assert_eq!(
        finding(&document, "cold_boot", "FM-FEATURE-LOST")["outcome"],
        "unknown"
    );

    let (code, vars) = (fixture(CODE), fixture(VARS));
    let foreign = bench.spoilt(CODE, "foreign.fd", |bytes| {
        let junk = (0..0x10_0000u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
        bytes.splice(0..0, junk);
    });
    let cut = bench.spoilt(CODE, "cut.fd", |bytes| bytes.truncate(2_000_000));
    for file in [foreign, cut] {
        let words = [
            &[
                "--from-code",
                text(&file),
                "--from-vars",
                &vars,
                "--to-code",
                &code,
            ][..],
            &Q35[..],
        ]
        .concat();
        let (document, _) = bench.check(&words);
        let told = finding(&document, "live_migration", "FM-CODE-DAMAGED");
        assert_eq!(told["outcome"], "unknown", "{document:#}");
    }
}

#[test]
fn what_is_no_flash_image_is_refused_with_what_it_is() {
    let bench = Bench::new();
    // QEMU's migration/savevm.c: the magic, the version, then sections.
    let stream = bench.write(
        "guest.mig",
        &[b"QEVM\0\0\0\x03\x07".as_slice(), &[0; 64]].concat(),
    );
    bench.refused(
        &["--from-code", text(&stream)],
        &["is a migration stream", "flashmoor saved offer"],
        2,
    );
    bench.refused(
        &["--from-code", "/dev/zero"],
        &["cannot read /dev/zero", "no regular file"],
        1,
    );
    bench.refused(&["--from-code", "/no/such.fd"], &["cannot read /no/such.fd"], 1);
}

#[test]
fn plain_sev_stays_on_a_build_that_its_own_descriptor_gives_to_sev() {
    let bench = Bench::new();
    let code = fixture(CODE);
    let (document, _) = bench.to(&["--to-code", &code, "--confidential", "sev"]);
    assert_eq!(outcome(&document, "cold_boot"), "compatible", "{document:#}");
    assert_eq!(
        finding(&document, "live_migration", "FM-CONFIDENTIAL")["qemu_message"],
        "SEV: Migration is not implemented"
    );
    let (document, _) = bench.to(&["--to-code", &code, "--confidential", "sev-es"]);
    assert_eq!(outcome(&document, "cold_boot"), "incompatible");
    // Nothing said: what is assumed is in the evidence.
    let (document, _) = bench.to(&["--to-code", &code]);
    let assumed = finding(&document, "live_migration", "FM-CONFIDENTIAL");
    assert!(
        assumed["evidence"]["source"]
            .as_str()
            .is_some_and(|text| text.contains("assumed")),
        "{assumed:#}"
    );
}

#[test]
fn keys_that_appear_with_another_store_change_pcr_7() {
    let bench = Bench::new();
    let (code, vars, keys) = (
        fixture(CODE),
        fixture(VARS),
        fixture("bookworm/OVMF_VARS_4M.ms.fd"),
    );
    let words = [
        &[
            "--from-code",
            &code,
            "--from-vars",
            &vars,
            "--to-code",
            &code,
            "--to-vars",
            &keys,
        ][..],
        &Q35[..6],
        &["--tpm", "on"],
    ];
    let (document, _) = bench.check(&words.concat());
    let measured = finding(&document, "cold_boot", "FM-MEASURED-BOOT");
    assert_eq!(measured["outcome"], "caution");
    let why = measured["why"].as_str().expect("a reason");
    assert!(
        why.contains("PCR 7 (the Secure Boot keys)") && !why.contains("PCR 0"),
        "{why}"
    );
}

#[test]
fn a_stored_build_knows_the_size_of_the_variables_that_belong_to_it() {
    let bench = Bench::new();
    let (code, vars) = (fixture(CODE), fixture(VARS));
    let import = Command::cargo_bin("flashmoor")
        .expect("the binary is built")
        .arg("--store")
        .arg(bench.0.path())
        .args([
            "store",
            "import",
            &code,
            "--vars-template",
            &vars,
            "--name",
            "ours",
        ])
        .output()
        .expect("it runs");
    assert!(
        import.status.success(),
        "{}",
        String::from_utf8_lossy(&import.stderr)
    );
    let (document, status) = bench.to(&["--to-code", "ours"]);
    assert_eq!(
        (outcome(&document, "live_migration"), status),
        ("compatible", Some(0))
    );
    let size = finding(&document, "live_migration", "FM-VARS-SIZE");
    assert_eq!(size["destination"], "0x84000", "{size:#}");
}

#[test]
fn a_descriptor_of_another_board_and_one_without_its_keys_are_cautions() {
    let bench = Bench::new();
    let descriptor = json!({
        "interface-types": ["uefi"], "features": ["enrolled-keys"],
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*"]}],
        "mapping": {
            "device": "flash", "executable": {"filename": fixture(CODE), "format": "raw"},
            "nvram-template": {"filename": fixture(VARS), "format": "raw"},
        },
    });
    let path = bench.write("60.json", descriptor.to_string().as_bytes());
    let (document, status) = bench.to(&["--to-host-firmware", text(&path)]);
    assert_eq!((outcome(&document, "cold_boot"), status), ("caution", Some(0)));
    let findings = document["phases"]["cold_boot"]["findings"]
        .as_array()
        .expect("a list");
    let subjects: Vec<_> = findings
        .iter()
        .filter(|finding| finding["code"] == "FM-DESCRIPTOR" && finding["outcome"] == "caution")
        .map(|finding| finding["subject"].as_str().expect("text"))
        .collect();
    assert_eq!(
        subjects,
        [
            "the keys that the descriptor promises",
            "the machine types that the descriptor is for"
        ]
    );
}

#[test]
fn every_build_against_itself_is_compatible_on_the_machine_that_it_needs() {
    let bench = Bench::new();
    let mut judged = 0;
    for suite in ["bookworm", "trixie"] {
        let folder = fm_fixtures::folder().join(suite);
        for entry in fs::read_dir(&folder).expect("read") {
            let name = entry.expect("an entry").file_name().into_string().expect("text");
            if !name.contains("_CODE") || !name.ends_with(".fd") {
                continue;
            }
            let x86 = name.starts_with("OVMF");
            let smm = if name.contains("secboot") && x86 {
                "on"
            } else {
                "off"
            };
            let vars = name
                .replace("CODE", "VARS")
                .replace(".secboot", "")
                .replace(".no-secboot", "")
                .replace(".strictnx", "");
            // Debian's blank template of bookworm is no store yet.
            let vars = if suite == "bookworm" && name.starts_with("AAVMF") {
                "AAVMF_VARS.ms.fd"
            } else {
                &vars
            };
            let (code, vars) = (folder.join(&name), folder.join(vars));
            let vars = if vars.exists() {
                vars
            } else {
                folder.join("OVMF_VARS_4M.fd")
            };
            let machine = if x86 { &Q35[..6] } else { &VIRT[..] };
            let sides = [
                "--from-code",
                text(&code),
                "--from-vars",
                text(&vars),
                "--to-code",
                text(&code),
            ];
            let switches = [
                "--smm",
                smm,
                "--secure-flash",
                smm,
                "--s3",
                "off",
                "--confidential",
                "none",
            ];
            let (document, status) = bench.check(&[&sides[..], machine, &switches].concat());
            assert_eq!(
                (&document["outcome"], status),
                (&Value::from("compatible"), Some(0)),
                "{name}: {document:#}"
            );
            judged += 1;
        }
    }
    assert!(judged > 12, "{judged}");
}

#[test]
fn firmware_for_bios_is_too_short_for_the_chip_of_a_virt_machine() {
    let bench = Bench::new();
    let (code, vars) = (
        fixture("bookworm/AAVMF_CODE.fd"),
        fixture("bookworm/AAVMF_VARS.ms.fd"),
    );
    let short = fixture("bookworm/QEMU_EFI.fd");
    let from = ["--from-code", &code, "--from-vars", &vars];
    let (document, status) = bench.check(&[&from[..], &["--to-code", &short], &VIRT[..]].concat());
    assert_eq!(
        (outcome(&document, "cold_boot"), status),
        ("incompatible", Some(10))
    );
    let findings = document["phases"]["live_migration"]["findings"]
        .as_array()
        .expect("a list");
    let messages: Vec<_> = findings
        .iter()
        .filter(|finding| !finding["qemu_message"].is_null())
        .collect();
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert_eq!(
        messages[0]["qemu_message"],
        "device requires 67108864 bytes, block backend provides 2097152 bytes"
    );
}

#[test]
fn a_matrix_is_judged_on_the_machines_and_versions_of_its_two_sides() {
    let bench = Bench::new();
    for name in ["bookworm/OVMF_CODE_4M.fd", "bookworm/OVMF_VARS_4M.fd"] {
        bench.spoilt(name, &format!("m/{}", name.replace("bookworm/", "")), |_| {});
    }
    bench.spoilt("bookworm/OVMF_CODE_4M.fd", "m/sub/OVMF_CODE_4M.fd", |_| {});
    bench.spoilt("bookworm/OVMF_VARS_4M.fd", "m/sub/OVMF_VARS_4M.fd", |_| {});
    let folder = text(&bench.0.path().join("m")).to_owned();
    let live = |words: &[&str]| {
        let (document, status) = bench.check(&[&["--matrix", &folder][..], words].concat());
        let cells = document["cells"].as_array().expect("cells").clone();
        assert_eq!(cells.len(), 2);
        (
            cells[0]["live_migration"].as_str().expect("text").to_owned(),
            status,
        )
    };
    let same = ["--machine", "pc-q35-7.2", "--qemu-from", "7.2"];
    assert_eq!(live(&same), ("compatible".into(), Some(0)));
    let older = [
        "--machine",
        "pc-q35-7.2",
        "--qemu-from",
        "10.0",
        "--qemu-to",
        "7.2",
    ];
    assert_eq!(live(&older), ("caution".into(), Some(0)));
    let other = [
        "--machine-from",
        "pc-q35-7.2",
        "--machine-to",
        "pc-q35-7.1",
        "--qemu-from",
        "7.2",
    ];
    assert_eq!(live(&other), ("incompatible".into(), Some(0)));
    assert_eq!(live(&[&other[..], &["--strict"]].concat()).1, Some(10));
    bench.refused(
        &["--matrix", &folder, "--to-vars", "x"],
        &["cannot be used with"],
        2,
    );
}
