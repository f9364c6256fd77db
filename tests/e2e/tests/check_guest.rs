//! `check` of real guests: by every name they have, by their offers, towards guests that wait.

use std::fs;
use std::process::{Command, Output};

use fm_e2e::{Bench, stderr};
use fm_lab::{Arch, Guest, Machine};
use serde_json::Value;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const NEWER_CODE: &str = "trixie/OVMF_CODE_4M.fd";

/// One that no other test's guest has: tests run in processes of their own.
fn uuid() -> String {
    format!("0b5a1d52-6c0b-4b57-9a55-{:012x}", std::process::id())
}

fn halted(bench: &mut Bench, code: &str, vars: &str, name: &str) -> Guest {
    let (code, vars) = (
        bench.copy(code, &format!("{name}.code.fd")),
        bench.copy(vars, &format!("{name}.vars.fd")),
    );
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        uuid: Some(uuid()),
        ..Machine::new(Arch::X86_64, &code, &vars)
    };
    bench.start(&machine.named(name))
}

fn check(bench: &Bench, words: &[&str]) -> (Value, Option<i32>) {
    let output: Output = bench
        .flashmoor()
        .args(["check", "--json"])
        .args(words)
        .output()
        .unwrap();
    let document = serde_json::from_slice(&output.stdout);
    (
        document.unwrap_or_else(|error| panic!("{words:?}: {error}: {}", stderr(&output))),
        output.status.code(),
    )
}

fn finding<'a>(document: &'a Value, phase: &str, code: &str) -> &'a Value {
    let findings = document["phases"][phase]["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {findings:#?}"))
}

#[test]
fn a_guest_is_judged_alike_by_its_pid_name_uuid_socket_and_offer() {
    let mut bench = Bench::new();
    let guest = halted(&mut bench, CODE, "bookworm/OVMF_VARS_4M.fd", "judged-alike");
    let newer = fm_fixtures::path(NEWER_CODE).display().to_string();
    let (pid, socket) = (guest.pid().to_string(), guest.qmp_socket().display().to_string());
    let to = ["--to-code", &newer, "--qemu-to", "10.0"];
    let offer = bench.path("offer.json");
    let said = bench.flashmoor().args(["offer", &pid]).output().unwrap();
    fs::write(&offer, said.stdout).unwrap();
    let offer = offer.display().to_string();
    let mut seen = Vec::new();
    for route in [
        ["--guest", &pid],
        ["--guest", "judged-alike"],
        ["--guest", &uuid()],
        ["--guest", &socket],
        ["--from-offer", &offer],
    ] {
        let (document, status) = check(&bench, &[&route[..], &to[..]].concat());
        assert_eq!(
            document["phases"]["live_migration"]["outcome"], "compatible",
            "{route:?} {document:#}"
        );
        let build = finding(&document, "cold_boot", "FM-BUILD");
        let evidence = build["evidence"]["source"].as_str().unwrap();
        assert!(
            evidence.contains("memory") || evidence.contains("offer.json"),
            "{evidence}"
        );
        let phases = document["phases"].to_string();
        let names = phases.contains("flashmoor capture judged-alike") && !phases.contains("GUEST");
        assert!(names, "remedies name the guest: {phases}");
        seen.push((
            build["source"].clone(),
            document["phases"]["warm_reset"]["outcome"].clone(),
        ));
        // what its command line says of a TPM, an offer does not
        if route[0] == "--guest" {
            assert_eq!(
                (&document["phases"]["cold_boot"]["outcome"], status),
                (&"caution".into(), Some(0))
            );
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    let none = bench
        .flashmoor()
        .args(["check", "--guest", "nobody-of-that-name"])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(1), "{}", stderr(&none));
}

#[test]
fn what_is_foretold_of_a_guest_that_waits_is_what_qemu_then_says() {
    let mut bench = Bench::new();
    let mut source = halted(
        &mut bench,
        "bookworm/OVMF_CODE.fd",
        "bookworm/OVMF_VARS.fd",
        "leaves",
    );
    let (code, vars) = (
        bench.copy(CODE, "b.code.fd"),
        bench.copy("bookworm/OVMF_VARS_4M.fd", "b.vars.fd"),
    );
    let machine = Machine {
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, &code, &vars).incoming()
    };
    let mut waiting = bench.start(&machine.named("waits"));
    let (from, to) = (source.pid().to_string(), waiting.pid().to_string());
    let (document, status) = check(&bench, &["--guest", &from, "--to-guest", &to]);
    assert_eq!((&document["outcome"], status), (&"incompatible".into(), Some(10)));
    let foretold = finding(&document, "live_migration", "FM-FLASH-SIZE")["qemu_message"].clone();

    let uri = serde_json::json!({"uri": format!("unix:{}", bench.path("stream").display())});
    waiting
        .monitor()
        .execute("migrate-incoming", Some(uri.clone()))
        .unwrap();
    source.monitor().execute("migrate", Some(uri)).unwrap();
    waiting.wait_for_end().unwrap();
    let said = waiting.stderr();
    assert!(said.contains(foretold.as_str().unwrap()), "{foretold} in {said}");
    assert!(source.is_alive());
}

#[test]
fn a_guest_with_bios_firmware_is_judged_too() {
    let mut bench = Bench::new();
    let combined = bench.copy("bookworm/OVMF.fd", "combined.fd");
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::bare(Arch::X86_64).with(&["-bios", combined.to_str().unwrap()])
    };
    let guest = bench.start(&machine.named("bios"));
    let from = guest.pid().to_string();
    let same = fm_fixtures::path("bookworm/OVMF.fd").display().to_string();
    let (document, _) = check(
        &bench,
        &["--guest", &from, "--to-bios", &same, "--qemu-to", "10.0"],
    );
    assert_eq!(
        document["phases"]["live_migration"]["outcome"], "compatible",
        "{document:#}"
    );
    let encryption = finding(&document, "live_migration", "FM-CONFIDENTIAL");
    assert_eq!(encryption["source"], "none");
    assert!(
        encryption["evidence"]["source"]
            .as_str()
            .unwrap()
            .contains("confidential-guest-support")
    );
    let flash = fm_fixtures::path(CODE).display().to_string();
    let (document, status) = check(
        &bench,
        &["--guest", &from, "--to-code", &flash, "--qemu-to", "10.0"],
    );
    assert_eq!(status, Some(10));
    assert_eq!(
        finding(&document, "live_migration", "FM-FIRMWARE-KIND")["qemu_message"],
        "Unknown ramblock \"pc.bios\", cannot accept migration"
    );
}

#[test]
fn the_option_rom_of_a_guests_card_is_held_against_the_files_of_a_host() {
    let mut bench = Bench::new();
    let (code, vars) = (
        bench.copy(CODE, "rom.code.fd"),
        bench.copy("bookworm/OVMF_VARS_4M.fd", "rom.vars.fd"),
    );
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, &code, &vars).with(&["-device", "virtio-net-pci"])
    };
    let guest = bench.start(&machine.named("card"));
    let (from, to) = (
        guest.pid().to_string(),
        fm_fixtures::path(CODE).display().to_string(),
    );
    let words = ["--guest", &from, "--to-code", &to, "--qemu-to", "10.0"];
    let live = |document: &Value| document["phases"]["live_migration"]["outcome"].clone();
    assert_eq!(live(&check(&bench, &words).0), "unknown");
    // Where Debian's QEMU finds its own.
    let here = ["--to-roms", "/usr/share/qemu", "/usr/lib/ipxe/qemu"];
    let (document, _) = check(&bench, &[&words[..], &here].concat());
    assert_eq!(live(&document), "compatible", "{document:#}");
    let grown = bench.path("efi-virtio.rom");
    let len = fs::metadata("/usr/lib/ipxe/qemu/efi-virtio.rom").unwrap().len();
    fs::write(
        &grown,
        vec![0; usize::try_from(len.next_power_of_two() + 1).unwrap()],
    )
    .unwrap();
    let folder = grown.parent().unwrap().display().to_string();
    let (document, status) = check(&bench, &[&words[..], &["--to-roms", &folder]].concat());
    assert_eq!((live(&document), status), ("incompatible".into(), Some(10)));
}

/// The version that a QEMU program says it has.
fn version(program: &str) -> String {
    let said = Command::new(program).arg("-version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1)
        .unwrap()
        .to_owned()
}

#[test]
fn what_is_foretold_of_a_start_is_what_qemu_then_says() {
    let bench = Bench::new();
    let fixture = |name: &str| fm_fixtures::path(name).display().to_string();
    let (code, vars) = (fixture(CODE), fixture("bookworm/OVMF_VARS_4M.fd"));
    let (arm, arm_vars) = (
        fixture("bookworm/AAVMF_CODE.fd"),
        fixture("bookworm/AAVMF_VARS.ms.fd"),
    );
    let short = fixture("bookworm/QEMU_EFI.fd");
    // The descriptor says qcow2 of a raw file.
    let descriptor = bench.path("descriptor.json");
    let says = serde_json::json!({
        "targets": [], "features": [],
        "mapping": {"device": "flash", "executable": {"filename": code, "format": "qcow2"}},
    });
    fs::write(&descriptor, says.to_string()).unwrap();
    let descriptor = descriptor.display().to_string();
    for (program, machine, from, to, drive) in [
        (
            "qemu-system-aarch64",
            "virt",
            [&arm, &arm_vars],
            ["--to-code", &short],
            format!("format=raw,file={short}"),
        ),
        (
            "qemu-system-x86_64",
            "microvm",
            [&code, &vars],
            ["--to-code", &code],
            format!("format=raw,file={code}"),
        ),
        (
            "qemu-system-x86_64",
            "q35",
            [&code, &vars],
            ["--to-host-firmware", &descriptor],
            format!("format=qcow2,file={code}"),
        ),
    ] {
        let version = version(program);
        let sides = ["--from-code", from[0], "--from-vars", from[1], to[0], to[1]];
        let host = [
            "--machine",
            machine,
            "--qemu-from",
            &version,
            "--qemu-to",
            &version,
        ];
        let (document, status) = check(&bench, &[&sides[..], &host[..]].concat());
        assert_eq!(status, Some(10), "{machine}: {document:#}");
        let findings = document["phases"]["live_migration"]["findings"]
            .as_array()
            .unwrap();
        let foretold = findings
            .iter()
            .filter(|finding| finding["outcome"] == "incompatible")
            .find_map(|finding| finding["qemu_message"].as_str())
            .unwrap_or_else(|| panic!("nothing is foretold: {findings:#?}"));
        let ended = Command::new(program)
            .args([
                "-machine",
                machine,
                "-accel",
                "tcg",
                "-m",
                "32",
                "-S",
                "-nodefaults",
                "-display",
                "none",
            ])
            .args(["-drive", &format!("if=pflash,unit=0,readonly=on,{drive}")])
            .output()
            .unwrap();
        assert!(!ended.status.success());
        let said = stderr(&ended);
        assert!(said.contains(foretold), "{machine}: {foretold} in {said}");
    }
}

#[test]
fn a_file_replaced_under_a_guest_is_drift_of_its_cold_boot() {
    let mut bench = Bench::new();
    let guest = halted(&mut bench, CODE, "bookworm/OVMF_VARS_4M.fd", "replaced");
    let path = bench.path("replaced.code.fd");
    fs::remove_file(&path).unwrap();
    bench.copy(NEWER_CODE, "replaced.code.fd");
    let words = [
        "--guest",
        &guest.pid().to_string(),
        "--to-code",
        path.to_str().unwrap(),
        "--qemu-to",
        "7.2",
    ];
    let (document, _) = check(&bench, &words);
    assert_eq!(finding(&document, "cold_boot", "FM-DRIFT")["outcome"], "caution");
    // what runs is read from memory, so features are known although its file is gone
    assert_eq!(
        document["phases"]["live_migration"]["outcome"], "compatible",
        "{document:#}"
    );
    assert_eq!(
        document["phases"]["cold_boot"]["outcome"], "caution",
        "{document:#}"
    );
}

#[test]
fn two_sources_that_contradict_each_other_are_both_named() {
    let mut bench = Bench::new();
    let guest = halted(&mut bench, CODE, "bookworm/OVMF_VARS_4M.fd", "contradicted");
    let output = bench
        .flashmoor()
        .args([
            "check",
            "--guest",
            &guest.pid().to_string(),
            "--machine",
            "pc-q35-6.2",
        ])
        .output()
        .unwrap();
    // nothing can be judged
    assert_eq!(output.status.code(), Some(11));
    let said = stderr(&output);
    for part in ["pc-q35-7.2", "pc-q35-6.2", "--machine", "read from its memory"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
