//! `kill -9` of a verb at each of its system calls that change something: the device holds the old or the new variables, or
//! says that it is half written, and the next command settles what was begun.
//!
//! `DEVICE_KILLS` is how many kills each verb takes at least; without it one at each call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;

use fm_e2e::device::Device;
use fm_e2e::hostile::{Injection, changes, injected};
use fm_e2e::{document, stderr};
use fm_varstore::{VarStore, Variable};

const STORE_4M: usize = 540_672;

/// The verb's words behind `flashmoor --store …`, killed at the `at`th of its calls of this kind. Whether it came to that.
fn killed(device: &Device, words: &[&str], call: &str, at: usize) -> bool {
    let step = (call.to_owned(), at);
    let output = injected(&device.command(words), &step, Injection::Kill)
        .output()
        .expect("strace runs; it is in Debian's strace");
    let code = output.status.code();
    assert!(matches!(code, None | Some(0)), "{}", stderr(&output));
    code.is_none()
}

/// What a store holds, in whatever order; nothing if it is damaged.
fn variables(store: &[u8]) -> Option<Vec<Variable>> {
    let view = VarStore::parse(store).ok()?;
    let mut all = view.to_variables();
    all.sort_by_key(|one| (one.guid.to_string(), one.name.to_string()));
    view.first_lossy_damage().is_none().then_some(all)
}

/// What a device may hold, and what was counted.
struct Seen {
    was: Option<Vec<Variable>>,
    meant: Option<Vec<Variable>>,
    kills: usize,
    halves: BTreeSet<(String, usize)>,
}

impl Seen {
    /// Looks what the device holds after a kill, before and after the next command.
    fn look(&mut self, device: &Device, call: &str, at: usize) {
        self.kills += 1;
        let interrupted = |device: &Device, words: &[&str]| {
            let backups = document(&device.flashmoor(words));
            backups["interrupted"].as_array().unwrap().len()
        };
        let pending = interrupted(device, &["vars", "backups", "--json"]);
        let found = variables(&device.content(STORE_4M));
        if found != self.was && found != self.meant {
            self.halves.insert((call.to_owned(), at));
            assert_eq!(pending, 1, "half written at {call} {at}, and nothing says so");
        }
        // What touches it next settles it: here a verb that has nothing to do.
        let path = device.path().to_str().unwrap();
        let output = device.flashmoor(&["vars", "compact", path]);
        assert!(output.status.success(), "{}", stderr(&output));
        let found = variables(&device.content(STORE_4M));
        assert!(
            found == self.was || found == self.meant,
            "{call} {at}: neither old nor new"
        );
        if pending == 1 {
            assert_eq!(found, self.meant, "{call} {at}");
        }
        assert!(device.rest_is_untouched(STORE_4M));
        let keep = ["vars", "backups", "--keep", "1", "--json"];
        assert_eq!(interrupted(device, &keep), 0);
    }
}

/// Kills `words` at each call of each kind that changes something, and looks each time what the device holds.
fn kills(prepare: impl Fn(&Device), words: impl Fn(&Device) -> Vec<String>) {
    let device = Device::new(&fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd"));
    prepare(&device);
    let old = device.content(STORE_4M);
    let words = words(&device);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (output, steps) = changes(&device.command(&words));
    assert!(output.status.success(), "{}", stderr(&output));
    let new = device.content(STORE_4M);
    assert_ne!(old, new);
    let kinds: BTreeSet<String> = steps.into_iter().map(|(call, _)| call).collect();
    for call in ["pwrite64", "fsync"] {
        assert!(kinds.contains(call), "a device is written by {kinds:?}");
    }
    let mut seen = Seen {
        was: variables(&old),
        meant: variables(&new),
        kills: 0,
        halves: BTreeSet::new(),
    };
    let wanted: usize = std::env::var("DEVICE_KILLS").map_or(1, |count| count.parse().unwrap());
    while seen.kills < wanted {
        let before = seen.kills;
        for call in &kinds {
            for at in 1.. {
                device.write(&old);
                if !killed(&device, &words, call, at) {
                    assert_eq!(variables(&device.content(STORE_4M)), seen.meant);
                    break;
                }
                seen.look(&device, call, at);
            }
        }
        assert!(seen.kills > before + 10, "it is hardly ever killed");
    }
    println!("{} kills, half written at {:?}", seen.kills, seen.halves);
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
fn a_change_is_killed_at_every_call_and_nothing_is_lost() {
    kills(
        |_| {},
        |device| {
            words(
                device,
                &["vars", "set", "DEVICE", "SecureBootEnable", "--hex", "00"],
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
        |device| words(device, &["vars", "repair", "DEVICE"]),
    );
}
