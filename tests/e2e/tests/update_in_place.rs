//! Other firmware written into a running guest's memory. Under TCG translated code stays, so that each guest here moves
//! to a fresh process before it resets; KVM translates nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use fm_e2e::{Bench, digest, document, held, stderr, twin};
use fm_lab::{Arch, Guest, Machine};
use serde_json::Value;

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";
const GUID: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";

fn guest(bench: &mut Bench) -> Guest {
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "vars.fd");
    bench.start_booted(&Machine::new(Arch::X86_64, &fm_fixtures::path(OLD), &vars))
}

fn ask(bench: &Bench, guest: &Guest, words: &[&str]) -> Command {
    let mut command = bench.flashmoor();
    command
        .args(["--json", "update", &guest.pid().to_string(), "--monitor"])
        .arg(guest.qmp_socket())
        .args(words);
    command
}

/// What a test says of its guest: it moves to another process before it resets, and sits in the firmware's shell.
const VOUCHED: [&str; 3] = ["--never-suspends", "--moves-before-reset", "--has-booted"];

fn update(bench: &Bench, guest: &Guest, code: &str) -> Output {
    update_to(bench, guest, &fm_fixtures::path(code))
}

fn update_to(bench: &Bench, guest: &Guest, code: &Path) -> Output {
    let mut command = ask(bench, guest, &VOUCHED);
    command.arg("--to").arg(code).output().unwrap()
}

fn revert(bench: &Bench, guest: &Guest) -> Output {
    ask(bench, guest, &["--has-booted", "--revert"]).output().unwrap()
}

fn status(bench: &Bench) -> Output {
    let mut command = bench.flashmoor();
    command.args(["--json", "update", "--status"]).output().unwrap()
}

fn reasons(output: &Output) -> Vec<String> {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["state"], "refused");
    let refusals = document["refusals"].as_array().unwrap().iter();
    refusals
        .map(|one| one["reason"].as_str().unwrap().to_owned())
        .collect()
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

#[test]
fn a_guest_goes_on_over_an_update_and_resets_into_it_in_a_fresh_process() {
    let mut bench = Bench::new();
    let mut source = guest(&mut bench);
    set(&mut source, "Before");
    let planned = ask(&bench, &source, &VOUCHED)
        .args(["--dry-run", "--to"])
        .arg(fm_fixtures::path(NEW))
        .output()
        .unwrap();
    let planned = document(&planned);
    assert_eq!(planned["state"], "planned");
    assert!(!bench.path("store").exists(), "a dry run leaves nothing");
    assert_eq!(held(&source), digest(OLD));

    let done = document(&update(&bench, &source, NEW));
    assert_eq!(done["state"], "pending_reset");
    assert_eq!(done["from"], digest(OLD));
    assert_eq!(done["to"], digest(NEW));
    assert_eq!(done["bytes_written"], planned["bytes_written"]);
    assert!(done["pause_us"].as_u64().unwrap() > 0);
    assert_eq!(held(&source), digest(NEW));
    assert_eq!(source.status().unwrap(), "running");
    set(&mut source, "Between");
    assert!(has(&mut source, "Before") && has(&mut source, "Between"));

    // Both builds are kept for it.
    let list = document(
        &bench
            .flashmoor()
            .args(["--json", "store", "list"])
            .output()
            .unwrap(),
    );
    let text = list.to_string();
    assert!(
        text.contains(&digest(OLD)) && text.contains(&digest(NEW)),
        "{text}"
    );

    let code = bench.zeros("blank-code.fd", 3_653_632);
    let vars = bench.zeros("blank-vars.fd", 540_672);
    let mut fresh = bench.start(&Machine::new(Arch::X86_64, &code, &vars).incoming());
    let mut command = bench.flashmoor();
    command
        .args(["--json", "migrate"])
        .arg(source.qmp_socket())
        .arg(fresh.qmp_socket());
    let migrated = document(&command.output().unwrap());
    assert_eq!(migrated["code"]["sha256"], digest(NEW));
    // Where it came to they know that it waits, and for what, until it has booted.
    let offer = |bench: &Bench, guest: &Guest| {
        let mut command = bench.flashmoor();
        document(
            &command
                .args(["offer", &guest.pid().to_string()])
                .output()
                .unwrap(),
        )
    };
    let waits = &offer(&bench, &fresh)["pending_reset"];
    assert_eq!(waits["running_sha256"], digest(OLD));
    assert_eq!(waits["next_reset_sha256"], digest(NEW));
    fresh.reset().unwrap();
    fresh.boot_to_shell().unwrap();
    assert_eq!(offer(&bench, &fresh)["pending_reset"], Value::Null);
    assert!(has(&mut fresh, "Before") && has(&mut fresh, "Between"));
}

#[test]
fn an_update_is_taken_back_byte_for_byte_and_the_guest_resets_in_its_own_process() {
    let mut bench = Bench::new();
    let mut guest = guest(&mut bench);
    for _ in 0..3 {
        let there = document(&update(&bench, &guest, NEW));
        assert_eq!(there["state"], "pending_reset");
        assert_eq!(held(&guest), digest(NEW));
        let back = document(&revert(&bench, &guest));
        assert_eq!(back["state"], "reverted");
        assert_eq!(held(&guest), digest(OLD));
    }
    let again = revert(&bench, &guest);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    // What was translated is of these very bytes.
    guest.reset().unwrap();
    guest.boot_to_shell().unwrap();
}

#[test]
fn what_must_not_happen_is_refused_and_the_guest_is_not_touched() {
    let mut bench = Bench::new();
    let mut guest = guest(&mut bench);
    let new = fm_fixtures::path(NEW);
    let plain = ask(&bench, &guest, &["--never-suspends", "--has-booted", "--to"])
        .arg(&new)
        .output()
        .unwrap();
    assert_eq!(plain.status.code(), Some(10), "{}", stderr(&plain));
    assert_eq!(reasons(&plain), ["emulated"]);
    let sleeps = ask(&bench, &guest, &["--moves-before-reset", "--has-booted", "--to"])
        .arg(&new)
        .output()
        .unwrap();
    assert_eq!(reasons(&sleeps), ["may_suspend"]);
    // From outside a shell looks like DXE, whose boot would count itself yet.
    let boots = ask(
        &bench,
        &guest,
        &["--moves-before-reset", "--never-suspends", "--to"],
    )
    .arg(&new)
    .output()
    .unwrap();
    assert_eq!(reasons(&boots), ["in_firmware"]);
    assert_eq!(
        reasons(&update(&bench, &guest, "bookworm/OVMF_CODE.fd")),
        ["size_differs", "incompatible"]
    );
    assert_eq!(reasons(&update(&bench, &guest, OLD)), ["same_build"]);

    // Nobody is let in at a monitor that has a client.
    let busy = bench
        .flashmoor()
        .args(["--json", "update", &guest.pid().to_string()])
        .args(VOUCHED)
        .arg("--monitor")
        .arg(guest.qmp_socket().with_file_name("lab"))
        .arg("--to")
        .arg(&new)
        .output()
        .unwrap();
    assert_eq!(busy.status.code(), Some(11), "{}", stderr(&busy));
    assert_eq!(reasons(&busy), ["no_monitor"]);

    // A guest that boots executes from flash. One that was reset while it stood still is in state `prelaunch` besides.
    guest.monitor().execute("stop", None).unwrap();
    guest.reset().unwrap();
    assert_eq!(
        reasons(&update(&bench, &guest, NEW)),
        ["run_state", "boot_in_progress"],
        "at its reset vector"
    );
    assert_eq!(held(&guest), digest(OLD));
    assert!(!bench.path("store").exists());
}

#[test]
fn a_stored_build_whose_bytes_are_not_its_own_is_given_to_nobody() {
    let mut bench = Bench::new();
    let guest = guest(&mut bench);
    assert!(update(&bench, &guest, NEW).status.success());
    let blob = bench.path("store/blobs/sha256").join(digest(OLD));
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[4096] ^= 1;
    // Into the very file, which the build's folder has too.
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    let back = revert(&bench, &guest);
    assert_eq!(back.status.code(), Some(1), "{}", stderr(&back));
    assert_eq!(held(&guest), digest(NEW));
}

#[test]
fn a_pause_that_takes_too_long_ends_with_the_old_bytes() {
    let mut bench = Bench::new();
    let mut guest = guest(&mut bench);
    let output = ask(&bench, &guest, &VOUCHED)
        .args(["--max-pause", "0", "--to"])
        .arg(fm_fixtures::path(NEW))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(held(&guest), digest(OLD));
    assert_eq!(guest.status().unwrap(), "running");
    guest.reset().unwrap();
    guest.boot_to_shell().unwrap();
}

fn human(guest: &mut Guest, line: &str) {
    let words = serde_json::json!({ "command-line": line });
    let said = guest
        .monitor()
        .execute("human-monitor-command", Some(words))
        .unwrap();
    assert_eq!(said, "", "{line}");
}

#[test]
fn a_snapshot_after_an_update_carries_the_new_bytes_and_one_from_before_the_old_ones() {
    let mut bench = Bench::new();
    // `savevm` wants every writable image to hold snapshots.
    let raw = bench.copy("bookworm/OVMF_VARS_4M.fd", "raw.fd");
    let vars = bench.path("vars.qcow2");
    let made = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &vars])
        .status();
    assert!(made.unwrap().success());
    let machine = |code: &std::path::Path, more: &[&str]| {
        let drive = format!("if=pflash,format=qcow2,unit=1,file={}", vars.display());
        let mut machine = Machine::bare(Arch::X86_64).with(&["-drive", &drive]).with(more);
        machine.code = Some(code.to_owned());
        machine
    };
    let mut source = bench.start(&machine(&fm_fixtures::path(OLD), &[]));
    source.boot_to_shell().unwrap();
    human(&mut source, "savevm before");
    set(&mut source, "Between");
    let done = document(&update(&bench, &source, NEW));
    assert_eq!(done["state"], "pending_reset");
    human(&mut source, "savevm after");
    human(&mut source, "loadvm before");
    assert_eq!(held(&source), digest(OLD));
    assert_eq!(document(&status(&bench))["updates"][0]["state"], "overtaken");
    // It can be updated as one that never was.
    let done = document(&update(&bench, &source, NEW));
    assert_eq!(
        (&done["state"], &done["from"]),
        (&"pending_reset".into(), &digest(OLD).into())
    );
    source.quit().unwrap();

    let code = bench.zeros("blank-code.fd", 3_653_632);
    let mut back = bench.start(&machine(&code, &["-loadvm", "after"]));
    assert_eq!(held(&back), digest(NEW));
    assert!(has(&mut back, "Between"));
    back.reset().unwrap();
    back.boot_to_shell().unwrap();
    assert!(has(&mut back, "Between"));
}

#[test]
fn an_update_waits_for_its_moment_and_is_refused_when_that_does_not_come() {
    let mut bench = Bench::new();
    let mut guest = guest(&mut bench);
    let asked = |guest: &Guest, more: &[&str]| {
        let words = [&VOUCHED[..], &["--wait", "0"], more, &["--to"]].concat();
        let mut command = ask(&bench, guest, &words);
        command.arg(fm_fixtures::path(NEW)).output().unwrap()
    };
    // An hour from now, and an hour long.
    let minute = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        / 60;
    let clock = |hours: u64| {
        let minute = (minute + 60 * hours) % (24 * 60);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    let later = format!("{}-{}", clock(1), clock(2));
    let refused = asked(&guest, &["--window", &later]);
    assert_eq!(reasons(&refused), ["outside_window"]);
    let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(refused["from"], digest(OLD));
    assert_eq!(
        reasons(&asked(&guest, &["--when-agent-answers"])),
        ["agent_silent"]
    );
    // The shell's `stall` spins.
    guest.serial.send("stall 60000000\r").unwrap();
    assert_eq!(reasons(&asked(&guest, &["--when-idle"])), ["not_idle"]);
    assert_eq!(held(&guest), digest(OLD));
    let now = format!("{}-{}", clock(23), clock(1));
    // One that stands still has nothing to do.
    guest.monitor().execute("stop", None).unwrap();
    let done = document(&asked(&guest, &["--when-idle", "--window", &now]));
    assert_eq!(done["state"], "pending_reset");
    // The way back waits as well.
    let back = ask(
        &bench,
        &guest,
        &["--revert", "--has-booted", "--wait", "0", "--window", &later],
    )
    .output();
    assert_eq!(reasons(&back.unwrap()), ["outside_window"]);
    assert_eq!(held(&guest), digest(NEW));
}

fn pins(bench: &Bench) -> Vec<(String, bool)> {
    let list = document(
        &bench
            .flashmoor()
            .args(["--json", "store", "list"])
            .output()
            .unwrap(),
    );
    let builds = list["builds"].as_array().unwrap().iter();
    let mut pins: Vec<(String, bool)> = builds
        .map(|build| {
            let pins = build["pins"].as_array().unwrap();
            (build["id"].as_str().unwrap().to_owned(), !pins.is_empty())
        })
        .collect();
    pins.sort();
    pins
}

fn sorted(mut pins: Vec<(String, bool)>) -> Vec<(String, bool)> {
    pins.sort();
    pins
}

#[test]
fn a_guest_that_is_updated_again_before_its_reset_is_known_to_run_what_it_booted_with() {
    let mut bench = Bench::new();
    let guest = guest(&mut bench);
    assert_eq!(document(&update(&bench, &guest, NEW))["state"], "pending_reset");
    let third = bench.path("third.fd");
    std::fs::write(&third, twin(NEW)).unwrap();
    let of_third = fm_formats::Sha256::of(&twin(NEW)).to_string();
    let again = document(&update_to(&bench, &guest, &third));
    assert_eq!(again["state"], "pending_reset");
    assert_eq!(
        (&again["from"], &again["to"]),
        (&digest(OLD).into(), &of_third.as_str().into())
    );
    assert_eq!(held(&guest), of_third);
    let offer = bench
        .flashmoor()
        .args(["offer", &guest.pid().to_string()])
        .output();
    assert_eq!(
        document(&offer.unwrap())["pending_reset"]["running_sha256"],
        digest(OLD)
    );
    // What lay between is not needed any more.
    assert_eq!(
        pins(&bench),
        sorted(vec![
            (digest(OLD), true),
            (digest(NEW), false),
            (of_third.clone(), true)
        ])
    );

    // What it runs is given to it by the way back, whichever word is said.
    let planned = ask(&bench, &guest, &["--has-booted", "--revert", "--dry-run"]).output();
    let planned = document(&planned.unwrap());
    assert_eq!(planned["state"], "planned");
    assert_eq!(
        (&planned["from"], &planned["to"]),
        (&of_third.as_str().into(), &digest(OLD).into())
    );
    let back = document(&update(&bench, &guest, OLD));
    assert_eq!(back["state"], "reverted");
    assert_eq!(held(&guest), digest(OLD));
    assert_eq!(
        pins(&bench),
        sorted(vec![(digest(OLD), true), (digest(NEW), false), (of_third, false)])
    );
    assert_eq!(revert(&bench, &guest).status.code(), Some(1));
}

#[test]
fn a_guest_that_counts_no_boots_is_not_taken_for_one_that_has_not_reset() {
    let mut bench = Bench::new();
    let mut guest = bench.start(&Machine {
        vars: None,
        ..Machine::new(Arch::X86_64, &fm_fixtures::path(OLD), Path::new("/none"))
    });
    guest.boot_to_shell().unwrap();
    assert_eq!(document(&update(&bench, &guest, NEW))["state"], "pending_reset");
    // What it runs is not known, so that the way back is judged as any other.
    assert_eq!(reasons(&revert(&bench, &guest)), ["may_suspend", "emulated"]);
    assert_eq!(held(&guest), digest(NEW));
}

#[test]
fn a_monitor_of_another_guest_is_refused_and_neither_is_touched() {
    let mut bench = Bench::new();
    let mine = guest(&mut bench);
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "other.fd");
    let mut other = bench.start_booted(&Machine::new(Arch::X86_64, &fm_fixtures::path(OLD), &vars));
    other.monitor().drain_events();
    let output = bench
        .flashmoor()
        .args(["--json", "update", &mine.pid().to_string()])
        .args(VOUCHED)
        .arg("--monitor")
        .arg(other.qmp_socket())
        .arg("--to")
        .arg(fm_fixtures::path(NEW))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!((held(&mine), held(&other)), (digest(OLD), digest(OLD)));
    assert!(
        other
            .monitor()
            .drain_events()
            .iter()
            .all(|event| event.name != "STOP")
    );
}

#[test]
fn a_record_that_says_nothing_hides_no_other_and_goes_with_its_guest() {
    let mut bench = Bench::new();
    let mine = guest(&mut bench);
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "other.fd");
    let other = bench.start_booted(&Machine::new(Arch::X86_64, &fm_fixtures::path(OLD), &vars));
    for guest in [&mine, &other] {
        assert_eq!(document(&update(&bench, guest, NEW))["state"], "pending_reset");
    }
    let started = fm_host::find(&mine.pid().to_string())
        .unwrap()
        .process()
        .start_ticks();
    let record = bench.path(&format!("store/updates/{}-{started}.json", mine.pid()));
    std::fs::write(&record, "{").unwrap();
    let output = status(&bench);
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["updates"].as_array().unwrap().len(), 1);
    assert_eq!(said["updates"][0]["guest"]["pid"], other.pid());
    assert_eq!(said["unreadable"][0]["pid"], mine.pid());
    // What it runs is not known for certain, and said to be so.
    let seen = document(&bench.flashmoor().args(["--json", "ps"]).output().unwrap());
    let rows = seen["guests"].as_array().unwrap();
    let row = rows.iter().find(|row| row["pid"] == mine.pid()).unwrap();
    assert!(row["remarks"].to_string().contains("json"), "{row}");
    mine.quit().unwrap();
    let said = document(&status(&bench));
    assert_eq!(said.get("unreadable"), None, "{said}");
    assert!(!record.exists());
}
