//! A domain of libvirt's is given other firmware in place, and its definition follows.

use std::fs;
use std::process::Output;

use fm_e2e::bed::{Bed, Host, packaged};
use fm_e2e::{digest, document, stderr};
use fm_fixtures::Patience;
use fm_formats::Sha256;
use serde_json::Value;

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";
const GUID: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";

fn update(host: &Host, domain: &str, words: &[&str]) -> Output {
    let mut command = host.flashmoor();
    command.args(["--json", "update", domain, "--connect", &host.uri()]);
    command.args(words).output().unwrap()
}

/// As on a host where the guest, which is emulated, moves before it resets.
fn give(host: &Host, domain: &str, code: &str) -> Output {
    let path = fm_fixtures::path(code);
    let words = ["--never-suspends", "--has-booted", "--moves-before-reset", "--to"];
    update(host, domain, &[&words[..], &[path.to_str().unwrap()]].concat())
}

fn reasons(output: &Output) -> Vec<String> {
    assert_eq!(output.status.code(), Some(10), "{}", stderr(output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let refusals = document["refusals"].as_array().unwrap().iter();
    refusals
        .map(|one| one["reason"].as_str().unwrap().to_owned())
        .collect()
}

/// The digest of the file that the next cold boot takes CODE from.
fn defined(host: &Host, domain: &str) -> String {
    let xml = host.ask(&["dumpxml", "--inactive", domain]);
    let (_, loader) = xml.split_once("<loader").unwrap();
    let (_, path) = loader.split_once('>').unwrap();
    let (path, _) = path.split_once('<').unwrap();
    Sha256::of(&fs::read(host.path(path)).unwrap()).to_string()
}

#[test]
fn an_adopted_domain_is_given_another_build_and_its_definition_follows_there_and_back() {
    let bed = Bed::new();
    let host = &bed.a;
    host.install_flashmoor(false);
    let name = format!("update-{}", std::process::id());
    host.define(&packaged(&name, "_4M"));
    host.ask(&["start", &name]);
    let mut serial = host.booted_serial(&name);

    assert_eq!(reasons(&give(host, &name, NEW)), ["not_adopted"]);
    assert_eq!(host.running_code(&name), digest(OLD));
    host.adopt(&name);
    assert_eq!(defined(host, &name), digest(OLD));

    let done = document(&give(host, &name, NEW));
    assert_eq!(done["state"], "pending_reset");
    assert!(done["pause_us"].as_u64().unwrap() > 0);
    assert_eq!(host.ask(&["domstate", &name]).trim(), "running");
    assert_eq!(host.running_code(&name), digest(NEW));
    assert_eq!(defined(host, &name), digest(NEW), "{done}");
    let set = serial.shell(&format!("setvar Between -guid {GUID} -bs -rt -nv =6b"));
    assert_eq!(set.unwrap(), "");

    let back = document(&update(host, &name, &["--revert", "--has-booted"]));
    assert_eq!(back["state"], "reverted");
    assert_eq!(host.running_code(&name), digest(OLD));
    assert_eq!(defined(host, &name), digest(OLD), "{back}");

    // One that stands still already is not set going.
    host.ask(&["suspend", &name]);
    let done = document(&give(host, &name, NEW));
    assert_eq!(done["state"], "pending_reset");
    assert_eq!(host.ask(&["domstate", &name]).trim(), "paused");
    let _ = document(&update(host, &name, &["--revert", "--has-booted"]));
    host.ask(&["resume", &name]);

    // What was translated from flash is of these very bytes.
    host.ask(&["reset", &name]);
    host.boot_to_shell(&name, &mut serial);
    let shown = serial.shell(&format!("setvar Between -guid {GUID}")).unwrap();
    assert!(shown.contains("6B"), "{shown}");
}

/// What is known of a domain's update; nothing if none is.
fn status(host: &Host, domain: &str) -> Value {
    let output = update(host, domain, &["--status"]);
    match output.status.success() {
        true => document(&output)["updates"][0].clone(),
        false => Value::Null,
    }
}

#[test]
fn a_domain_that_moves_before_it_resets_is_waited_for_where_it_comes_to() {
    let bed = Bed::new();
    bed.a.install_flashmoor(true);
    bed.b.install_flashmoor(true);
    let name = format!("moves-{}", std::process::id());
    bed.a.define(&packaged(&name, "_4M"));
    bed.a.ask(&["start", &name]);
    let mut serial = bed.a.booted_serial(&name);
    let set = serial.shell(&format!("setvar Before -guid {GUID} -bs -rt -nv =6b"));
    assert_eq!(set.unwrap(), "");
    bed.a.adopt(&name);
    let done = document(&give(&bed.a, &name, NEW));
    assert_eq!(done["state"], "pending_reset");

    bed.a
        .must_migrate(&name, &bed.b, &["--persistent", "--undefinesource"]);
    bed.b.wait_for_harvest(&digest(NEW));
    assert_eq!(bed.b.running_code(&name), digest(NEW));
    let mut patience = Patience::new(fm_lab::PATIENCE);
    let mut waits = status(&bed.b, &name);
    while waits.is_null() {
        patience.rest(|| bed.b.agent_log());
        waits = status(&bed.b, &name);
    }
    assert_eq!(waits["state"], "pending_reset", "{waits}");
    assert_eq!(
        (&waits["from"], &waits["to"]),
        (&digest(OLD).into(), &digest(NEW).into())
    );

    let mut serial = bed.b.serial(&name);
    bed.b.ask(&["reset", &name]);
    bed.b.boot_to_shell(&name, &mut serial);
    assert_eq!(status(&bed.b, &name)["state"], "done");
    let shown = serial.shell(&format!("setvar Before -guid {GUID}")).unwrap();
    assert!(shown.contains("6B"), "{shown}");
}

#[test]
fn a_domain_that_migrates_is_not_updated_until_that_is_over() {
    let bed = Bed::new();
    let host = &bed.a;
    host.install_flashmoor(false);
    let name = format!("job-{}", std::process::id());
    host.define(&packaged(&name, "_4M"));
    host.ask(&["start", &name]);
    let serial = host.booted_serial(&name);
    host.adopt(&name);
    // A megabyte a second: it goes on until it is told to end.
    let mut migration = host.command("virsh");
    migration.args([
        "-c",
        &host.uri(),
        "migrate",
        "--live",
        "--p2p",
        "--bandwidth",
        "1",
    ]);
    let mut migration = migration.arg(&name).arg(bed.b.uri()).spawn().unwrap();
    let deadline = std::time::Instant::now() + fm_lab::PATIENCE;
    while !host.ask(&["domjobinfo", &name]).contains("Outgoing migration") {
        assert!(std::time::Instant::now() < deadline, "no job began");
    }
    assert_eq!(reasons(&give(host, &name, NEW)), ["job_runs"]);
    assert_eq!(host.running_code(&name), digest(OLD));
    host.ask(&["domjobabort", &name]);
    assert!(!migration.wait().unwrap().success(), "it was aborted");
    let done = document(&give(host, &name, NEW));
    assert_eq!(done["state"], "pending_reset");
    drop(serial);
}
