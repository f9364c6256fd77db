//! Looking at a guest never stops it: no pause in the kernel's and QEMU's record, nor in the guest's clock.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fm_e2e::booted::booted;
use fm_formats::Sha256;
use fm_lab::{Arch, Guest, Machine};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
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
    let mut guest = booted(&machine, &dir.path().join("run"));

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
        let seen = fm_agent::ps::ps(&fm_agent::ps::Request::default()).unwrap();
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

/// A halted guest, and the digest that `ps` reads of its CODE.
fn halted(dir: &std::path::Path) -> Guest {
    let vars = dir.join("VARS.fd");
    std::fs::copy(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"), &vars).unwrap();
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(
            Arch::X86_64,
            &fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
            &vars,
        )
    };
    Guest::start(&machine, &dir.join("run")).unwrap()
}

fn running_digest(pid: u32) -> Option<String> {
    let seen = fm_agent::ps::ps(&fm_agent::ps::Request::default()).unwrap();
    let row = seen.guests.into_iter().find(|row| row.pid == pid).unwrap();
    row.code.unwrap().running_sha256.map(String::from)
}

#[test]
fn no_signal_stops_a_guest_that_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let guest = halted(dir.path());
    let pid = Pid::from_raw(i32::try_from(guest.pid()).unwrap()).unwrap();
    // the kernel keeps for the parent that a child was stopped, and that it was continued, until it is asked
    let either = WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED;
    let record = || waitid(WaitId::Pid(pid), either | WaitIdOptions::NOHANG).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    assert!(record().is_some(), "a stop that is over leaves no record");
    assert!(record().is_none());
    for _ in 0..LISTINGS {
        assert!(running_digest(guest.pid()).is_some());
    }
    assert!(record().is_none(), "it was stopped");
}

#[test]
fn a_guest_is_read_without_being_traced() {
    let dir = tempfile::tempdir().unwrap();
    let guest = halted(dir.path());
    let pid = guest.pid();
    // A process has one tracer. While that is we, without stopping it, whoever would trace it is refused.
    let read = std::thread::scope(|scope| {
        let traced = scope.spawn(|| {
            for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
                let task = task.unwrap().file_name().into_string().unwrap();
                let task = nix::unistd::Pid::from_raw(task.parse().unwrap());
                let options = nix::sys::ptrace::Options::empty();
                nix::sys::ptrace::seize(task, options).unwrap();
                let again = nix::sys::ptrace::seize(task, options);
                assert_eq!(again, Err(nix::errno::Errno::EPERM));
            }
            running_digest(pid)
        });
        // the kernel lets go of whatever a thread traced when it ends
        traced.join().unwrap()
    });
    let code = fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd");
    assert_eq!(read, Some(Sha256::of(&code).to_string()));
}
