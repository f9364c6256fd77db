//! A guest arrives on another build than it left with, and its next reset runs that.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use fm_e2e::{Bench, digest, document, held, qemu_10, stderr, twin};
use fm_fixtures::Patience;
use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_lab::{Arch, Guest, Machine};
use fm_varstore::VarStore;
use serde_json::{Value, json};

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";
const OLD_SMM: &str = "bookworm/OVMF_CODE_4M.secboot.fd";
const NEW_SMM: &str = "trixie/OVMF_CODE_4M.secboot.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
const GUID: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";
const SIZE: u64 = 3_653_632;
const VARS_SIZE: u64 = 540_672;

/// A guest in its shell.
fn guest(bench: &mut Bench, code: &str, dress: impl FnOnce(Machine) -> Machine) -> Guest {
    let vars = bench.copy(VARS, "vars.fd");
    let machine = Machine::new(Arch::X86_64, &fm_fixtures::path(code), &vars);
    bench.start_booted(&dress(machine))
}

/// A destination with blank flash.
fn blank(bench: &mut Bench, name: &str, dress: impl FnOnce(Machine) -> Machine) -> Guest {
    let code = bench.zeros(&format!("{name}-code.fd"), SIZE);
    let vars = bench.zeros(&format!("{name}-vars.fd"), VARS_SIZE);
    let machine = Machine::new(Arch::X86_64, &code, &vars);
    bench.start(&dress(machine).incoming())
}

fn migrate(bench: &Bench, source: &Guest, destination: &Guest) -> Command {
    let mut command = bench.flashmoor();
    command
        .args(["--json", "migrate"])
        .arg(source.qmp_socket())
        .arg(destination.qmp_socket());
    command
}

fn update(bench: &Bench, source: &Guest, destination: &Guest, code: &str) -> Output {
    let mut command = migrate(bench, source, destination);
    command
        .arg("--update")
        .arg(fm_fixtures::path(code))
        .args(["--never-suspends", "--has-booted"]);
    command.output().unwrap()
}

fn state_of(bench: &Bench, guest: &Guest) -> Output {
    let mut command = bench.flashmoor();
    command.args(["--json", "update", "--status", &guest.pid().to_string()]);
    command.output().unwrap()
}

fn state(bench: &Bench, guest: &Guest) -> Value {
    document(&state_of(bench, guest))["updates"][0].clone()
}

fn listed(bench: &Bench, guest: &Guest) -> Value {
    let seen = document(&bench.flashmoor().args(["--json", "ps"]).output().unwrap());
    let rows = seen["guests"].as_array().unwrap();
    let mine = rows.iter().find(|row| row["pid"] == guest.pid());
    mine.unwrap()["code"].clone()
}

fn set(guest: &mut Guest, name: &str) {
    guest
        .shell(&format!("setvar {name} -guid {GUID} -bs -rt -nv =\"kept\""))
        .unwrap();
}

fn has(guest: &mut Guest, name: &str) -> bool {
    let shown = guest.shell(&format!("setvar {name} -guid {GUID}")).unwrap();
    shown.contains("6B 65 70 74")
}

/// Whether the flash of its variables holds it, which also a guest without a shell can be asked.
fn keeps(guest: &Guest, name: &str) -> bool {
    let guest = fm_host::find(&guest.pid().to_string()).unwrap();
    let bytes = guest.read_flash(1).unwrap();
    let store = VarStore::parse(&bytes).unwrap();
    let name = Name::from_units(name.encode_utf16());
    store
        .variable(Guid::literal(GUID), &name)
        .is_some_and(|variable| variable.data == b"kept")
}

/// Whether the build that the guest ends up on has a shell.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    InShell,
    /// Debian's newer builds for Secure Boot have none.
    InBootManager,
}

/// Updates on the way, and follows the guest over its reset: it notices nothing before, and keeps its variables after.
fn arrives(from: &str, to: &str, here: fn(Machine) -> Machine, there: fn(Machine) -> Machine, ends: Ends) {
    let mut bench = Bench::new();
    let mut source = guest(&mut bench, from, here);
    set(&mut source, "Before");
    let mut destination = blank(&mut bench, "a", there);
    let migrated = document(&update(&bench, &source, &destination, to));
    assert_eq!(migrated["code"]["sha256"], digest(to));
    assert_eq!(migrated["code"]["verified"], true);
    assert_eq!(migrated["updated"]["from"], digest(from));
    assert_eq!(migrated["updated"]["to"], digest(to));
    assert!(migrated["updated"]["pages_replaced"].as_u64().unwrap() > 0);
    drop(source);

    assert_eq!(held(&destination), digest(to));
    set(&mut destination, "Between");
    assert!(has(&mut destination, "Before"));
    assert_eq!(state(&bench, &destination)["state"], "pending_reset");
    let code = listed(&bench, &destination);
    assert_eq!(code["running_sha256"], digest(from));
    assert_eq!(code["next_reset_sha256"], digest(to));

    destination.reset().unwrap();
    match ends {
        Ends::InShell => {
            destination.boot_to_shell().unwrap();
            assert!(has(&mut destination, "Before") && has(&mut destination, "Between"));
        }
        Ends::InBootManager => assert!(!destination.serial.boot_once().unwrap()),
    }
    assert!(keeps(&destination, "Before") && keeps(&destination, "Between"));
    assert_eq!(state(&bench, &destination)["state"], "done");
    assert_eq!(listed(&bench, &destination)["running_sha256"], digest(to));

    // What it got goes on with it, by a plain migration too.
    let next = blank(&mut bench, "b", there);
    let migrated = document(&migrate(&bench, &destination, &next).output().unwrap());
    assert_eq!(migrated["code"]["sha256"], digest(to));
    assert_eq!(migrated.get("updated"), None);
    assert_eq!(held(&next), digest(to));
}

fn plain(machine: Machine) -> Machine {
    machine
}

fn on_qemu_10(machine: Machine) -> Machine {
    Machine {
        emulator: qemu_10(),
        machine: "pc-q35-7.2".into(),
        ..machine
    }
}

fn as_7_2(machine: Machine) -> Machine {
    Machine {
        machine: "pc-q35-7.2".into(),
        ..machine
    }
}

/// Where builds that need system management mode do not come up; on a plain `q35` they do.
fn without_smm(machine: Machine) -> Machine {
    Machine {
        machine: "q35,smm=off".into(),
        ..machine
    }
}

fn smm(machine: Machine) -> Machine {
    Machine {
        machine: "q35,smm=on".into(),
        ..machine
    }
    .with(&[
        "-global",
        "driver=cfi.pflash01,property=secure,value=on",
        "-global",
        "ICH9-LPC.disable_s3=1",
    ])
}

#[test]
fn a_guest_arrives_on_a_newer_build_and_resets_into_it() {
    arrives(OLD, NEW, plain, plain, Ends::InShell);
}

#[test]
fn a_guest_arrives_on_an_older_build_at_a_newer_qemu() {
    arrives(NEW, OLD, as_7_2, on_qemu_10, Ends::InShell);
}

#[test]
fn a_guest_with_system_management_mode_arrives_on_a_newer_build() {
    arrives(OLD_SMM, NEW_SMM, smm, smm, Ends::InBootManager);
}

#[test]
fn a_guest_whose_processor_is_in_flash_does_not_get_another_build_under_it() {
    let mut bench = Bench::new();
    let vars = bench.copy(VARS, "vars.fd");
    let machine = Machine::new(Arch::X86_64, &fm_fixtures::path(OLD), &vars);
    // At the reset vector.
    let source = bench.start(&Machine {
        stopped: true,
        ..machine
    });
    let destination = blank(&mut bench, "a", plain);
    let output = update(&bench, &source, &destination, NEW);
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reasons = document["refusals"].as_array().unwrap().iter();
    let reasons: Vec<_> = reasons.map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["boot_in_progress"]);
    assert_eq!(held(&source), digest(OLD));
}

#[test]
fn a_guest_that_resets_on_the_way_stays_where_its_own_build_boots() {
    let mut bench = Bench::new();
    let mut source = guest(&mut bench, OLD, plain);
    let destination = blank(&mut bench, "a", plain);
    let mut command = migrate(&bench, &source, &destination);
    command
        .arg("--update")
        .arg(fm_fixtures::path(NEW))
        .args(["--never-suspends", "--has-booted", "--bandwidth", "100K"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut patience = Patience::new(fm_lab::PATIENCE);
    while source.monitor().execute("query-migrate", None).unwrap()["status"] != "active" {
        patience.rest(|| "it does not begin".into());
    }
    // It stands at its reset vector when it is to leave.
    source.monitor().execute("stop", None).unwrap();
    source.reset().unwrap();
    let faster = json!({ "max-bandwidth": 1_u64 << 33 });
    source
        .monitor()
        .execute("migrate-set-parameters", Some(faster))
        .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(held(&source), digest(OLD));
    let status = state_of(&bench, &destination);
    assert_eq!(status.status.code(), Some(1), "{}", stderr(&status));
    source.monitor().execute("cont", None).unwrap();
    source.boot_to_shell().unwrap();
}

#[test]
fn a_boot_that_was_not_over_when_the_guest_left_does_not_count_as_its_reset() {
    let mut bench = Bench::new();
    let source = guest(&mut bench, OLD, plain);
    let mut destination = blank(&mut bench, "a", plain);
    // Nobody says that its boot is over, and a shell looks like DXE.
    let mut command = migrate(&bench, &source, &destination);
    command
        .arg("--update")
        .arg(fm_fixtures::path(NEW))
        .arg("--never-suspends");
    let _ = document(&command.output().unwrap());
    for told in ["pending_reset", "done"] {
        destination.reset().unwrap();
        destination.boot_to_shell().unwrap();
        assert_eq!(state(&bench, &destination)["state"], told);
    }
}

#[test]
fn a_guest_that_waits_for_its_reset_and_is_given_a_build_on_its_way_is_known_to_run_what_it_did() {
    let mut bench = Bench::new();
    let source = guest(&mut bench, OLD, plain);
    let first = blank(&mut bench, "a", plain);
    let _ = document(&update(&bench, &source, &first, NEW));
    // Nothing is waited for where it left.
    assert_eq!(state_of(&bench, &source).status.code(), Some(1));
    let third = bench.path("third.fd");
    std::fs::write(&third, twin(NEW)).unwrap();
    let second = blank(&mut bench, "b", plain);
    let mut command = migrate(&bench, &first, &second);
    command
        .arg("--update")
        .arg(&third)
        .args(["--never-suspends", "--has-booted"]);
    let _ = document(&command.output().unwrap());
    let waits = state(&bench, &second);
    assert_eq!(waits["state"], "pending_reset");
    assert_eq!(waits["from"], digest(OLD));
    // Given back on its next way what it runs, it waits for nothing.
    let last = blank(&mut bench, "c", plain);
    let _ = document(&update(&bench, &second, &last, OLD));
    assert_eq!(held(&last), digest(OLD));
    assert_eq!(state_of(&bench, &last).status.code(), Some(1));
    assert_eq!(listed(&bench, &last)["running_sha256"], digest(OLD));
}

#[test]
fn a_saved_guest_comes_back_on_what_it_was_given() {
    let mut bench = Bench::new();
    let source = guest(&mut bench, OLD, plain);
    let mut destination = blank(&mut bench, "a", plain);
    let migrated = document(&update(&bench, &source, &destination, NEW));
    assert_eq!(migrated["updated"]["to"], digest(NEW));
    drop(source);
    let stream = bench.path("saved");
    let uri = |how: &str| json!({ "uri": format!("exec:cat {how} {}", stream.display()) });
    destination.monitor().execute("stop", None).unwrap();
    destination.monitor().execute("migrate", Some(uri(">"))).unwrap();
    completed(&mut destination);
    destination.quit().unwrap();
    let mut back = blank(&mut bench, "b", plain);
    back.monitor().execute("migrate-incoming", Some(uri(""))).unwrap();
    let mut patience = Patience::new(fm_lab::PATIENCE);
    while back.status().unwrap() == "inmigrate" {
        patience.rest(|| back.stderr());
    }
    assert_eq!(held(&back), digest(NEW));
    back.monitor().execute("cont", None).unwrap();
    back.reset().unwrap();
    back.boot_to_shell().unwrap();
}

fn completed(guest: &mut Guest) {
    let mut patience = Patience::new(fm_lab::PATIENCE);
    loop {
        let state = guest.monitor().execute("query-migrate", None).unwrap();
        match state["status"].as_str() {
            Some("completed") => return,
            Some("failed") => panic!("{state}"),
            _ => patience.rest(|| state.to_string()),
        }
    }
}

#[test]
fn what_does_not_go_with_the_guest_or_the_way_is_refused_before_a_byte_is_sent() {
    let mut bench = Bench::new();
    let mut source = guest(&mut bench, OLD, without_smm);
    let mut destination = blank(&mut bench, "a", without_smm);
    let ask = |more: &[&str], code: &Path| {
        let mut command = migrate(&bench, &source, &destination);
        command.arg("--update").arg(code).args(more).output().unwrap()
    };
    let new = fm_fixtures::path(NEW);
    for (output, status, reason) in [
        (ask(&[], &new), 10, "may_suspend"),
        (
            ask(&["--never-suspends"], &fm_fixtures::path("bookworm/OVMF_CODE.fd")),
            10,
            "size_differs",
        ),
        (
            ask(&["--never-suspends"], &fm_fixtures::path(OLD)),
            10,
            "same_build",
        ),
        (
            ask(&["--never-suspends"], &fm_fixtures::path(NEW_SMM)),
            10,
            "incompatible",
        ),
    ] {
        assert_eq!(
            output.status.code(),
            Some(status),
            "{reason}: {}",
            stderr(&output)
        );
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["state"], "refused");
        let reasons = document["refusals"].as_array().unwrap();
        assert!(
            reasons.iter().any(|one| one["reason"] == reason),
            "{reason}: {reasons:?}"
        );
    }
    for more in [
        &["--multifd", "2"][..],
        &["--postcopy"],
        &["--uri", "exec:cat"],
        &["--uri", "fd:7"],
    ] {
        let words = [&["--never-suspends"], more].concat();
        let output = ask(&words, &new);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", stderr(&output));
    }
    let on = json!({"capabilities": [{"capability": "xbzrle", "state": true}]});
    source
        .monitor()
        .execute("migrate-set-capabilities", Some(on))
        .unwrap();
    let output = update(&bench, &source, &destination, NEW);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(source.status().unwrap(), "running");
    assert_eq!(destination.status().unwrap(), "inmigrate");
    assert_eq!(held(&source), digest(OLD));
}
