//! `kill -9` of an update at every step, and monitors that say no more: the guest runs on, on whole old or whole new
//! bytes, and the next command knows.
//!
//! The test sits between the update and the guest's monitor, and so knows at which command it is; between commands it
//! counts the writes to the guest's memory as its tracer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use fm_e2e::{Bench, digest, document, held, twin};
use fm_lab::{Arch, Guest, Machine, PATIENCE};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{Pid as RawPid, Signal, kill_process, kill_process_group};
use serde_json::Value;

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";

/// Where the update is killed, or its connection broken.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// When it asks for this, before QEMU hears of it.
    Asks(&'static str),
    /// When QEMU has done this, before the update hears of it.
    Has(&'static str),
    /// When it asks for this, as Ctrl-C does: with all that is of its process group.
    Interrupts(&'static str),
    /// At its write of this number to the guest's memory, counted from 0.
    Writes(usize),
    /// The same, and the monitor is somebody else's for a while then.
    WritesWhileBusy(usize),
    /// It lives on, and the guest leaves when it has looked at it for the last time before it writes.
    IsLeft,
    /// It lives on, and hears no answer to this, which QEMU has done.
    Loses(&'static str),
    /// It lives on, and QEMU never hears of this.
    LosesUnheard(&'static str),
    /// It lives on, and somebody else stops the guest when it has heard for the last time that it runs.
    IsForestalled,
}

const VOUCHED: [&str; 3] = ["--never-suspends", "--moves-before-reset", "--has-booted"];

fn start(bench: &Bench, guest: &Guest, monitor: &Path) -> Child {
    let mut command = bench.flashmoor();
    command
        .args(["update", &guest.pid().to_string(), "--monitor"])
        .arg(monitor)
        .args(VOUCHED)
        .args(["--max-pause", "60000", "--to"])
        .arg(fm_fixtures::path(NEW))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command.spawn().unwrap()
}

/// Passes lines on between the update and QEMU until `step` is reached. The update connects twice: for a look, and for what it
/// does. Later clients are not disturbed.
fn between(listener: &UnixListener, guest: &mut Guest, step: Step, victim: &mut Child) {
    for connection in 0.. {
        let (client, _) = listener.accept().unwrap();
        if talk(&client, guest, step, victim, connection) {
            return;
        }
    }
}

/// Whether the step was reached before the client left.
fn talk(client: &UnixStream, guest: &mut Guest, step: Step, victim: &mut Child, connection: usize) -> bool {
    let server = UnixStream::connect(guest.qmp_socket()).unwrap();
    let mut asks = BufReader::new(client.try_clone().unwrap()).lines();
    let mut says = BufReader::new(server.try_clone().unwrap()).lines();
    let pass = |line: &str, mut to: &UnixStream| writeln!(to, "{line}").unwrap();
    let mut stopped = false;
    let mut states = 0;
    pass(&says.next().unwrap().unwrap(), client);
    while let Some(Ok(ask)) = asks.next() {
        let command = serde_json::from_str::<Value>(&ask).unwrap()["execute"].clone();
        match step {
            Step::Asks(name) if command == name => {
                kill(victim);
                return true;
            }
            Step::Interrupts(name) if command == name => {
                let group = RawPid::from_raw(i32::try_from(victim.id()).unwrap()).unwrap();
                kill_process_group(group, Signal::INT).unwrap();
                return true;
            }
            Step::LosesUnheard(name) if command == name => return true,
            _ => {}
        }
        states += usize::from(connection == 1 && command == "query-status");
        pass(&ask, &server);
        loop {
            let said = says.next().unwrap().unwrap();
            let is_reply = said.contains("\"return\"") || said.contains("\"error\"");
            if is_reply {
                match step {
                    Step::Has(name) if command == name => {
                        kill(victim);
                        return true;
                    }
                    Step::Loses(name) if command == name => return true,
                    // The last answer before it writes.
                    Step::Writes(count) | Step::WritesWhileBusy(count)
                        if stopped && command == "human-monitor-command" =>
                    {
                        kill_at_write(victim, count, || pass(&said, client));
                        return true;
                    }
                    Step::IsLeft if stopped && command == "human-monitor-command" => {
                        let nobody = format!("unix:{}", nowhere(guest).display());
                        let words = serde_json::json!({ "uri": nobody });
                        guest.monitor().execute("migrate", Some(words)).unwrap();
                    }
                    // The last look before it stops the guest.
                    Step::IsForestalled if states == 2 && command == "query-status" => {
                        states = 0;
                        guest.monitor().execute("stop", None).unwrap();
                        pass(&says.next().unwrap().unwrap(), client);
                    }
                    _ => {}
                }
                stopped |= command == "stop";
            }
            pass(&said, client);
            if is_reply {
                break;
            }
        }
    }
    // The look ends with its connection, and so does an update that is not disturbed.
    connection > 0
}

/// Where somebody takes a connection and reads nothing, so that whoever goes there stays on the way.
fn nowhere(guest: &Guest) -> PathBuf {
    guest.qmp_socket().with_file_name("nowhere")
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

/// A guest whose update was disturbed, and what it takes to look at it.
struct Disturbed {
    bench: Bench,
    guest: Guest,
    status: Option<i32>,
    /// A migration to it goes on as long as it is there.
    _nowhere: UnixListener,
}

/// Gives the guest a build, undisturbed.
fn given(bench: &Bench, guest: &Guest, code: &Path) -> Value {
    let mut command = bench.flashmoor();
    command
        .args(["--json", "update", &guest.pid().to_string(), "--monitor"])
        .arg(guest.qmp_socket())
        .args(VOUCHED)
        .arg("--to")
        .arg(code);
    document(&command.output().unwrap())
}

/// Disturbs an update at `step`, of a guest that was given `first` before.
fn disturbed_at(step: Step, first: Option<&Path>) -> Disturbed {
    let mut bench = Bench::new();
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "vars.fd");
    let mut guest = bench.start_booted(&Machine::new(Arch::X86_64, &fm_fixtures::path(OLD), &vars));
    if let Some(code) = first {
        assert_eq!(given(&bench, &guest, code)["state"], "pending_reset");
    }
    let socket: PathBuf = bench.path("between");
    let listener = UnixListener::bind(&socket).unwrap();
    let nobody = UnixListener::bind(nowhere(&guest)).unwrap();
    guest.monitor().drain_events();
    let mut victim = start(&bench, &guest, &socket);
    between(&listener, &mut guest, step, &mut victim);
    // Whoever comes after it is let through, at last.
    let relayed = guest.qmp_socket();
    let is_busy = matches!(step, Step::WritesWhileBusy(_));
    thread::spawn(move || {
        if is_busy {
            // QEMU does not greet a second client; this one goes away by itself.
            let (mut client, _) = listener.accept().unwrap();
            let _ = std::io::copy(&mut client, &mut std::io::sink());
        }
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
    let status = victim.wait().unwrap().code();
    Disturbed {
        bench,
        guest,
        status,
        _nowhere: nobody,
    }
}

/// What the next command says of it once the guest runs, and what it holds.
fn told(disturbed: &mut Disturbed) -> (String, String) {
    let Disturbed { bench, guest, .. } = disturbed;
    // Nobody says anything more, and the guest runs on all the same.
    let deadline = Instant::now() + PATIENCE;
    while guest.status().unwrap() != "running" {
        let event = guest.monitor().event(deadline).unwrap();
        assert!(event.is_some(), "it stands still");
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
    (said, held(guest))
}

/// Kills an update at `step`; what the next command then says, and what the guest holds.
fn killed_at(step: Step) -> (String, String) {
    told(&mut disturbed_at(step, None))
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

#[test]
fn an_update_that_its_user_interrupts_leaves_no_guest_standing() {
    for (step, said, held) in [
        (Step::Interrupts("stop"), "undone", OLD),
        (Step::Interrupts("cont"), "pending_reset", NEW),
    ] {
        assert_eq!(killed_at(step), (said.to_owned(), digest(held)), "{step:?}");
    }
}

#[test]
fn an_update_that_hears_no_answer_leaves_no_guest_standing() {
    for (step, said, held) in [
        (Step::Loses("stop"), "undone", OLD),
        (Step::LosesUnheard("cont"), "pending_reset", NEW),
        (Step::Loses("cont"), "pending_reset", NEW),
    ] {
        let mut disturbed = disturbed_at(step, None);
        assert_eq!(disturbed.status, Some(1), "{step:?}");
        assert_eq!(told(&mut disturbed), (said.to_owned(), digest(held)), "{step:?}");
    }
}

#[test]
fn a_guest_that_somebody_else_stops_at_the_last_moment_stands_until_they_let_it_go_on() {
    let mut disturbed = disturbed_at(Step::IsForestalled, None);
    assert_eq!(disturbed.status, Some(1));
    assert_eq!(disturbed.guest.status().unwrap(), "paused");
    assert_eq!(held(&disturbed.guest), digest(OLD));
    disturbed.guest.monitor().execute("cont", None).unwrap();
    assert_eq!(told(&mut disturbed), ("undone".to_owned(), digest(OLD)));
}

#[test]
fn an_update_whose_guests_monitor_is_busy_is_undone_when_it_is_free() {
    let (said, held) = killed_at(Step::WritesWhileBusy(1));
    assert_eq!((said.as_str(), held), ("undone", digest(OLD)));
}

#[test]
fn a_guest_that_is_given_other_bytes_before_it_is_put_right_is_left_to_whoever_did_so() {
    let mut disturbed = disturbed_at(Step::WritesWhileBusy(1), None);
    let Disturbed { bench, guest, .. } = &mut disturbed;
    let other = twin(OLD);
    let seen = fm_host::find(&guest.pid().to_string()).unwrap();
    let region = seen.flash_region(&seen.memory().unwrap(), 0).unwrap();
    let memory = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/{}/mem", guest.pid()))
        .unwrap();
    memory.write_all_at(&other, region.address).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut status = bench.flashmoor();
    status.args(["--json", "update", "--status"]);
    while document(&status.output().unwrap())["updates"][0]["state"] != "overtaken" {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(held(guest), fm_formats::Sha256::of(&other).to_string());
    assert_eq!(guest.status().unwrap(), "paused");
    guest.monitor().execute("cont", None).unwrap();
    let done = given(bench, guest, &fm_fixtures::path(NEW));
    assert_eq!(
        (&done["state"], &done["from"]),
        (
            &"pending_reset".into(),
            &fm_formats::Sha256::of(&other).to_string().into()
        )
    );
}

#[test]
fn a_guest_that_begins_to_leave_while_it_is_updated_leaves_with_its_old_bytes() {
    let mut disturbed = disturbed_at(Step::IsLeft, None);
    assert_eq!(disturbed.status, Some(1));
    let migration = disturbed.guest.monitor().execute("query-migrate", None).unwrap();
    assert!(
        matches!(migration["status"].as_str(), Some("setup" | "active")),
        "{migration}"
    );
    disturbed.guest.monitor().execute("migrate_cancel", None).unwrap();
    assert_eq!(told(&mut disturbed), ("undone".to_owned(), digest(OLD)));
}

#[test]
fn an_update_over_one_that_waits_is_undone_to_that_one() {
    let folder = tempfile::tempdir().unwrap();
    let (first, bytes) = (folder.path().join("first.fd"), twin(OLD));
    std::fs::write(&first, &bytes).unwrap();
    let mut disturbed = disturbed_at(Step::Writes(1), Some(&first));
    let (said, held) = told(&mut disturbed);
    assert_eq!(
        (said.as_str(), held),
        ("pending_reset", fm_formats::Sha256::of(&bytes).to_string())
    );
    let status = disturbed
        .bench
        .flashmoor()
        .args(["--json", "update", "--status"])
        .output();
    let status = document(&status.unwrap());
    assert_eq!(status["updates"][0]["from"], digest(OLD));
    assert_eq!(
        status["updates"][0]["to"],
        fm_formats::Sha256::of(&bytes).to_string()
    );
}
