//! `kill -9` of an update at every step: the guest runs on, on whole old or whole new bytes, and the next command knows.
//!
//! The test sits between the update and the guest's monitor, and so knows at which command it is; between commands it
//! counts the writes to the guest's memory as its tracer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use fm_e2e::{Bench, digest, document, held};
use fm_lab::{Arch, Guest, Machine, PATIENCE};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{Pid as RawPid, Signal, kill_process};
use serde_json::Value;

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";

/// Where the update is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// When it asks for this, before QEMU hears of it.
    Asks(&'static str),
    /// When QEMU has done this, before the update hears of it.
    Has(&'static str),
    /// At its write of this number to the guest's memory, counted from 0.
    Writes(usize),
}

fn start(bench: &Bench, guest: &Guest, monitor: &Path) -> Child {
    let mut command = bench.flashmoor();
    command
        .args(["update", &guest.pid().to_string(), "--monitor"])
        .arg(monitor)
        .args([
            "--never-suspends",
            "--moves-before-reset",
            "--max-pause",
            "60000",
            "--to",
        ])
        .arg(fm_fixtures::path(NEW))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Passes lines on between the update and QEMU. The first client is killed at `step`; later ones are not disturbed.
fn between(listener: &UnixListener, qemu: &Path, step: Step, victim: &mut Child) {
    let (client, _) = listener.accept().unwrap();
    let server = UnixStream::connect(qemu).unwrap();
    let mut asks = BufReader::new(client.try_clone().unwrap()).lines();
    let mut says = BufReader::new(server.try_clone().unwrap()).lines();
    let pass = |line: &str, mut to: &UnixStream| writeln!(to, "{line}").unwrap();
    let mut stopped = false;
    pass(&says.next().unwrap().unwrap(), &client);
    loop {
        let ask = asks.next().unwrap().unwrap();
        let command = serde_json::from_str::<Value>(&ask).unwrap()["execute"].clone();
        if matches!(step, Step::Asks(name) if command == name) {
            return kill(victim);
        }
        pass(&ask, &server);
        loop {
            let said = says.next().unwrap().unwrap();
            let is_reply = said.contains("\"return\"") || said.contains("\"error\"");
            if is_reply {
                if matches!(step, Step::Has(name) if command == name) {
                    return kill(victim);
                }
                // The last answer before it writes.
                if let Step::Writes(count) = step
                    && stopped
                    && command == "human-monitor-command"
                {
                    return kill_at_write(victim, count, || pass(&said, &client));
                }
                stopped |= command == "stop";
            }
            pass(&said, &client);
            if is_reply {
                break;
            }
        }
    }
}

fn kill(victim: &mut Child) {
    let pid = RawPid::from_raw(i32::try_from(victim.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    victim.wait().unwrap();
}

/// `pwrite64` on x86-64; the lab's hosts are of that kind.
const PWRITE: u64 = 18;

/// Lets the update write so often, and kills it when it is about to do so once more.
fn kill_at_write(victim: &mut Child, count: usize, answer: impl FnOnce()) {
    let pid = Pid::from_raw(i32::try_from(victim.id()).unwrap());
    ptrace::attach(pid).unwrap();
    assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(..)));
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
    answer();
    let mut writes = 0;
    loop {
        ptrace::syscall(pid, None).unwrap();
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                let registers = ptrace::getregs(pid).unwrap();
                // It was attached in a system call that waits, whose end comes first.
                let enters = registers.rax as i64 == -i64::from(nix::libc::ENOSYS);
                if enters && registers.orig_rax == PWRITE {
                    if writes == count {
                        return kill(victim);
                    }
                    writes += 1;
                }
            }
            WaitStatus::Stopped(..) => {}
            other => panic!("{other:?} after {writes} writes"),
        }
    }
}

/// Kills an update at `step`; what the next command then says, and what the guest holds.
fn killed_at(step: Step) -> (String, String) {
    let mut bench = Bench::new();
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "vars.fd");
    let mut guest = bench.start_booted(&Machine::new(Arch::X86_64, &fm_fixtures::path(OLD), &vars));
    let socket: PathBuf = bench.path("between");
    let listener = UnixListener::bind(&socket).unwrap();
    let qemu = guest.qmp_socket();
    guest.monitor().drain_events();
    let mut victim = start(&bench, &guest, &socket);
    between(&listener, &qemu, step, &mut victim);
    // Whoever comes after it is let through.
    let relayed = qemu.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = UnixStream::connect(&relayed) else {
                return;
            };
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let back = thread::spawn(move || std::io::copy(&mut server.try_clone().unwrap(), &mut &client));
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
            let _ = back.join();
        }
    });
    // Nobody says anything more, and the guest runs on all the same.
    let deadline = Instant::now() + PATIENCE;
    while guest.status().unwrap() != "running" {
        let event = guest.monitor().event(deadline).unwrap();
        assert!(event.is_some(), "{step:?}: it stands still");
    }
    let mut command = bench.flashmoor();
    command.args(["--json", "update", "--status"]);
    let said = loop {
        let said = document(&command.output().unwrap());
        // The one that watches over it may still write down what it found.
        match said["updates"][0]["state"].as_str() {
            Some("interrupted") => assert!(Instant::now() < deadline, "{said}"),
            Some(state) => break state.to_owned(),
            None => break String::new(),
        }
    };
    guest.shell("ver").unwrap();
    assert_eq!(guest.status().unwrap(), "running");
    (said, held(&guest))
}

#[test]
fn an_update_that_is_killed_before_it_writes_has_never_been() {
    for step in [Step::Asks("stop"), Step::Has("stop"), Step::Writes(0)] {
        let (said, held) = killed_at(step);
        assert_eq!((said.as_str(), held), ("undone", digest(OLD)), "{step:?}");
    }
}

#[test]
fn an_update_that_is_killed_while_it_writes_is_undone() {
    for count in [1, 2] {
        let (said, held) = killed_at(Step::Writes(count));
        assert_eq!((said.as_str(), held), ("undone", digest(OLD)), "{count}");
    }
}

#[test]
fn an_update_that_is_killed_after_it_wrote_is_whole() {
    for step in [Step::Asks("cont"), Step::Has("cont")] {
        let (said, held) = killed_at(step);
        assert_eq!((said.as_str(), held), ("pending_reset", digest(NEW)), "{step:?}");
    }
}
