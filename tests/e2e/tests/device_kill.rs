//! `kill -9` of a verb at each of its system calls that change something: the device holds the old or the new variables, or
//! says that it is half written, and the next command settles what was begun.
//!
//! `DEVICE_KILLS` is how many kills each verb takes; without it one at each call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::process::Command;

use fm_e2e::device::Device;
use fm_e2e::{document, stderr};
use fm_formats::varstore::{VarStore, Variable};

const STORE_4M: usize = 540_672;
/// What changes a disk, or says that it is changed.
const CALLS: &str = "pwrite64,write,fsync,fdatasync,renameat2,renameat,unlinkat,linkat,mkdirat,ftruncate";

/// The verb's words behind `flashmoor --store …`, killed at its call number `at`. Whether it came to that call.
fn killed(device: &Device, words: &[&str], at: usize) -> bool {
    let verb = device.command(words);
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={CALLS}"))
        .arg("-e")
        .arg(format!("inject={CALLS}:signal=SIGKILL:when={at}"))
        .arg(verb.get_program())
        .args(verb.get_args());
    let output = strace.output().expect("strace runs; it is in Debian's strace");
    !output.status.success()
}

/// What a store holds, in whatever order; nothing if it is damaged.
fn variables(store: &[u8]) -> Option<Vec<Variable>> {
    let view = VarStore::parse(store).ok()?;
    let mut all = view.to_variables();
    all.sort_by_key(|one| (one.guid.to_string(), one.name.to_string()));
    view.first_lossy_damage().is_none().then_some(all)
}

/// Kills `words` again and again, and looks each time what the device holds, before and after the next command.
fn kills(prepare: impl Fn(&Device), words: impl Fn(&Device) -> Vec<String>) {
    let device = Device::new(&fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd"));
    prepare(&device);
    let old = device.content(STORE_4M);
    let words = words(&device);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = device.flashmoor(&words);
    assert!(output.status.success(), "{}", stderr(&output));
    let new = device.content(STORE_4M);
    let (was, meant) = (variables(&old), variables(&new));
    assert_ne!(old, new);
    let wanted: Option<usize> = std::env::var("DEVICE_KILLS")
        .ok()
        .map(|count| count.parse().unwrap());
    let (mut at, mut count, mut halves) = (0, 0, BTreeSet::new());
    loop {
        at += 1;
        device.write(&old);
        if !killed(&device, &words, at) {
            assert!(at > 10, "it was never killed");
            assert_eq!(variables(&device.content(STORE_4M)), meant);
            match wanted {
                Some(wanted) if count < wanted => {
                    at = 0;
                    continue;
                }
                _ => break,
            }
        }
        count += 1;
        let backups = document(&device.flashmoor(&["vars", "backups", "--json"]));
        let pending = backups["interrupted"].as_array().unwrap().len();
        let found = variables(&device.content(STORE_4M));
        if found != was && found != meant {
            halves.insert(at);
            assert_eq!(pending, 1, "half written at call {at}, and nothing says so");
        }
        // What touches it next settles it: here a verb that has nothing to do.
        let path = device.path().to_str().unwrap();
        let output = device.flashmoor(&["vars", "compact", path]);
        assert!(output.status.success(), "{}", stderr(&output));
        let found = variables(&device.content(STORE_4M));
        assert!(found == was || found == meant, "call {at}: neither old nor new");
        if pending == 1 {
            assert_eq!(found, meant, "call {at}");
        }
        assert!(device.rest_is_untouched(STORE_4M));
        let backups = document(&device.flashmoor(&["vars", "backups", "--keep", "1", "--json"]));
        assert_eq!(backups["interrupted"].as_array().unwrap().len(), 0);
        if wanted.is_some_and(|wanted| count >= wanted) {
            break;
        }
    }
    println!("{count} kills, half written at {halves:?}");
}

fn words(device: &Device, words: &[&str]) -> Vec<String> {
    let path = device.path().to_str().unwrap();
    let words = words
        .iter()
        .map(|word| if *word == "DEVICE" { path } else { word });
    words.map(str::to_owned).collect()
}

const GUID: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

#[test]
fn set_is_killed_at_every_call_and_nothing_is_lost() {
    kills(
        |_| {},
        |device| {
            words(
                device,
                &["vars", "set", "DEVICE", "Ours", "--guid", GUID, "--hex", "0102"],
            )
        },
    );
}

#[test]
fn deletion_is_killed_at_every_call_and_nothing_is_lost() {
    kills(
        |_| {},
        |device| words(device, &["vars", "delete", "DEVICE", "dbx"]),
    );
}

#[test]
fn enrolment_is_killed_at_every_call_and_nothing_is_lost() {
    kills(
        |_| {},
        |device| {
            words(
                device,
                &["vars", "secure-boot", "enroll", "DEVICE", "--microsoft", "both"],
            )
        },
    );
}

#[test]
fn import_is_killed_at_every_call_and_nothing_is_lost() {
    let from = fm_fixtures::path("bookworm/OVMF_VARS_4M.snakeoil.fd");
    kills(
        |_| {},
        |device| {
            words(
                device,
                &[
                    "vars",
                    "import",
                    "DEVICE",
                    "--only",
                    "--from",
                    from.to_str().unwrap(),
                ],
            )
        },
    );
}

#[test]
fn restore_is_killed_at_every_call_and_nothing_is_lost() {
    let backup = fm_fixtures::path("bookworm/OVMF_VARS_4M.snakeoil.fd");
    kills(
        |_| {},
        |device| {
            words(
                device,
                &["vars", "restore", "DEVICE", "--backup", backup.to_str().unwrap()],
            )
        },
    );
}

#[test]
fn conversion_is_killed_at_every_call_and_nothing_is_lost() {
    let input = fm_fixtures::path("bookworm/OVMF_VARS.ms.fd");
    let input = input.to_str().unwrap();
    kills(
        |_| {},
        |device| {
            words(
                device,
                &[
                    "vars",
                    "convert",
                    input,
                    "--layout",
                    "4M",
                    "--output",
                    "DEVICE",
                    "--replace",
                ],
            )
        },
    );
}

#[test]
fn repair_is_killed_at_every_call_and_nothing_is_lost() {
    kills(
        |device| {
            let mut torn = device.content(STORE_4M);
            torn[0x32] ^= 0xff;
            device.write(&torn);
        },
        |device| words(device, &["vars", "repair", "DEVICE", "--yes"]),
    );
}
