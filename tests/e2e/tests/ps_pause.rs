//! Looking at a guest never stops it: no pause in QEMU's own record, nor in the guest's clock.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fm_lab::{Arch, Guest, Machine};
use serde_json::Value;

const LISTINGS: usize = 50;

/// The seconds since midnight that the UEFI shell's `time` prints, as `10:20:30 …`.
fn clock(guest: &mut Guest) -> u64 {
    let said = guest.shell("time").unwrap();
    let words = said
        .split_ascii_whitespace()
        .find(|word| word.matches(':').count() == 2);
    let numbers = words.unwrap_or_else(|| panic!("{said:?}")).split(':');
    numbers.fold(0, |all, number| all * 60 + number.parse::<u64>().unwrap())
}

#[test]
fn neither_qemu_nor_the_guests_own_clock_knows_of_a_pause() {
    let dir = tempfile::tempdir().unwrap();
    let vars = dir.path().join("VARS.fd");
    std::fs::copy(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"), &vars).unwrap();
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    // this clock stands still while the guest does
    let machine =
        Machine::new(Arch::X86_64, &code, &vars).with(&["-rtc", "base=2026-01-01T01:00:00,clock=vm"]);
    let mut guest = Guest::start(&machine, &dir.path().join("run")).unwrap();
    guest.boot_to_shell().unwrap();

    let monitor = UnixStream::connect(guest.qmp_socket()).unwrap();
    let mut replies = BufReader::new(monitor.try_clone().unwrap()).lines();
    let mut ask = |command: &str, seen: &mut Vec<Value>| {
        writeln!(&monitor, "{{\"execute\": \"{command}\"}}").unwrap();
        loop {
            let line: Value = serde_json::from_str(&replies.next().unwrap().unwrap()).unwrap();
            if line.get("return").is_some() {
                return line["return"].clone();
            }
            seen.push(line);
        }
    };
    let mut events = Vec::new();
    ask("qmp_capabilities", &mut events);

    let (guests_start, began) = (clock(&mut guest), Instant::now());
    let mut listed = 0;
    while listed < LISTINGS || began.elapsed() < Duration::from_secs(5) {
        let seen = fm_jobs::ps::ps(&fm_jobs::ps::Request::default()).unwrap();
        let row = seen.guests.iter().find(|row| row.pid == guest.pid()).unwrap();
        assert!(row.code.as_ref().unwrap().running_sha256.is_some());
        listed += 1;
    }
    let took_s = began.elapsed().as_secs();
    let by_guest_s = clock(&mut guest) - guests_start;
    assert!(
        by_guest_s + 1 >= took_s,
        "{took_s} s, of which the guest saw {by_guest_s}"
    );

    assert_eq!(ask("query-status", &mut events)["status"], "running");
    let named: Vec<&Value> = events.iter().filter_map(|event| event.get("event")).collect();
    assert!(
        !named.iter().any(|name| *name == "STOP" || *name == "RESUME"),
        "{named:?}"
    );
}
