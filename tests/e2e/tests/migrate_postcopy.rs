//! Once a guest was switched to postcopy its memory lies at both ends: a connection that breaks is made again, and
//! where that cannot be, the guest never goes on at the source with what it was before.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use fm_e2e::{Bench, qemu_10, stderr};
use fm_fixtures::Patience;
use fm_lab::{Arch, Emulator, Guest, Machine, PATIENCE};
use serde_json::{Value, json};

const CODE: &str = "bookworm/OVMF_CODE.fd";

/// A guest whose memory is on its way after the switch, slowly, and the command that moves it.
struct Moving {
    source: Guest,
    destination: Guest,
    command: Child,
    events: Receiver<String>,
}

impl Moving {
    fn start(bench: &mut Bench, emulator: &Emulator, more: &[&str]) -> Self {
        let vars = bench.copy("bookworm/OVMF_VARS.fd", "vars.fd");
        let blank = [("blank-code.fd", 1_966_080), ("blank-vars.fd", 131_072)]
            .map(|(name, size)| bench.zeros(name, size));
        let machine = |code: &std::path::Path, vars: &std::path::Path| {
            let mut machine = Machine::new(Arch::X86_64, code, vars);
            machine.emulator = emulator.clone();
            machine
        };
        let mut source = bench.start(&machine(&fm_fixtures::path(CODE), &vars));
        let mut destination = bench.start(&machine(&blank[0], &blank[1]).incoming());
        set(&mut source, "max-postcopy-bandwidth", 8192);
        let mut command = bench
            .flashmoor()
            .args(["--json", "migrate", "--postcopy", "--bandwidth", "64K"])
            .args(more)
            .arg(source.qmp_socket())
            .arg(destination.qmp_socket())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(command.stderr.take().unwrap()).lines();
        let (give, events) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| give.send(line)));
        wait_until(&mut source, |info| info["status"] == "active");
        // Earlier than the command would, so that much is left to send.
        source.monitor().execute("migrate-start-postcopy", None).unwrap();
        // Before it runs there, the devices are still on their way.
        let deadline = Instant::now() + PATIENCE;
        while let Some(event) = destination.monitor().event(deadline).unwrap() {
            if event.name == "RESUME" {
                break;
            }
        }
        assert!(Instant::now() < deadline, "it never runs at the destination");
        // Nor does the source make a connection again before it sends what is left.
        wait_until(&mut source, |info| {
            info["ram"]["postcopy-bytes"].as_u64() > Some(0)
        });
        Self {
            source,
            destination,
            command,
            events,
        }
    }

    /// Waits until the command says this.
    fn hear(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains(wanted)) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(line) => said.push(line),
                Err(why) => panic!(
                    "{why} before it said {wanted}: {said:#?}{}",
                    self.destination.stderr()
                ),
            }
        }
    }

    /// The exit status of the command, and what it said.
    fn end(&mut self) -> (Option<i32>, String) {
        let said: Vec<String> = self.events.iter().collect();
        (self.command.wait().unwrap().code(), said.join("\n"))
    }
}

fn set(guest: &mut Guest, parameter: &str, value: u64) {
    let arguments = json!({ parameter: value });
    guest
        .monitor()
        .execute("migrate-set-parameters", Some(arguments))
        .unwrap();
}

/// Waits until the source says this of the migration.
fn wait_until(source: &mut Guest, said: impl Fn(&Value) -> bool) {
    let mut patience = Patience::new(PATIENCE);
    loop {
        let info = source.monitor().execute("query-migrate", None).unwrap();
        if said(&info) {
            return;
        }
        patience.rest(|| info.to_string());
    }
}

#[test]
fn a_connection_that_breaks_is_made_again_and_the_guest_arrives_whole() {
    for emulator in [Emulator::system(Arch::X86_64), qemu_10()] {
        let mut bench = Bench::new();
        let mut moving = Moving::start(&mut bench, &emulator, &[]);
        moving.source.monitor().execute("migrate-pause", None).unwrap();
        moving.hear("postcopy-paused");
        moving.hear("postcopy-active");
        set(&mut moving.source, "max-postcopy-bandwidth", 0);
        let (status, said) = moving.end();
        assert_eq!(status, Some(0), "{said}");
        let migrated: Value = serde_json::from_reader(moving.command.stdout.take().unwrap()).unwrap();
        assert_eq!(
            (&migrated["outcome"], &migrated["code"]["verified"]),
            (&"completed".into(), &true.into())
        );
        drop(moving.source);
        assert_eq!(moving.destination.status().unwrap(), "running");
        moving.destination.boot_to_shell().unwrap();
    }
}

/// What `migrate` goes by where it is told that a destination listens already (QEMU before 7.1): no class of errors tells.
#[test]
fn every_refusal_to_recover_has_the_class_of_all_others() {
    for emulator in [Emulator::system(Arch::X86_64), qemu_10()] {
        let mut bench = Bench::new();
        let vars = bench.copy("bookworm/OVMF_VARS.fd", "vars.fd");
        let mut machine = Machine::new(Arch::X86_64, &fm_fixtures::path(CODE), &vars);
        machine.emulator = emulator;
        let mut waiting = bench.start(&machine.incoming());
        let uri = json!({ "uri": "tcp:127.0.0.1:0" });
        let refused = waiting.monitor().execute("migrate-recover", Some(uri));
        let Err(fm_host::qmp::Error::Refused {
            class, description, ..
        }) = refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!(class, "GenericError");
        assert_eq!(
            description,
            "Migrate recover can only be run when postcopy is paused."
        );
    }
}

#[test]
fn as_long_as_the_ends_do_not_reach_each_other_it_is_tried_again_until_somebody_ends_it() {
    for ended in [false, true] {
        let mut bench = Bench::new();
        let way = bench.path("way");
        std::fs::create_dir(&way).unwrap();
        let words = ["--uri", &format!("unix:{}", way.join("stream").display())];
        let mut moving = Moving::start(&mut bench, &qemu_10(), &words);
        std::fs::remove_dir_all(&way).unwrap();
        moving.source.monitor().execute("migrate-pause", None).unwrap();
        // With QEMU 10.0 each is one attempt.
        for _ in 0..3 {
            moving.hear("postcopy-paused");
        }
        // Nobody else waits for the memory either.
        let there = moving.destination.pid().to_string();
        for words in [&["ps"][..], &["harvest", &there], &["offer", &there]] {
            let output = bench.flashmoor().args(words).output().unwrap();
            let said = stderr(&output);
            assert!(said.contains("has not arrived yet"), "{words:?}: {said}");
        }
        if ended {
            let pid = rustix::process::Pid::from_child(&moving.command);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
            let (status, said) = moving.end();
            assert_eq!(status, Some(1), "{said}");
            for wanted in ["was not made again", "No such file or directory"] {
                assert!(said.contains(wanted), "{said}");
            }
            let state = moving.source.status().unwrap();
            assert!(!matches!(state.as_str(), "running" | "paused"), "{state}");
        } else {
            std::fs::create_dir(&way).unwrap();
            moving.hear("postcopy-active");
            set(&mut moving.source, "max-postcopy-bandwidth", 0);
            let (status, said) = moving.end();
            assert_eq!(status, Some(0), "{said}");
            assert_eq!(moving.destination.status().unwrap(), "running");
        }
    }
}

#[test]
fn a_guest_whose_destination_ends_does_not_go_on_at_the_source_with_what_it_was_before() {
    let mut bench = Bench::new();
    let mut moving = Moving::start(&mut bench, &Emulator::system(Arch::X86_64), &[]);
    moving
        .destination
        .monitor()
        .execute("quit", None)
        .unwrap_or_default();
    let (status, said) = moving.end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("too old to go on with"), "{said}");
    let state = moving.source.status().unwrap();
    assert!(!matches!(state.as_str(), "running" | "paused"), "{state}");
}

#[test]
fn a_source_that_ends_leaves_a_guest_that_is_said_to_lack_memory() {
    let mut bench = Bench::new();
    let mut moving = Moving::start(&mut bench, &Emulator::system(Arch::X86_64), &[]);
    moving.source.monitor().execute("quit", None).unwrap_or_default();
    let (status, said) = moving.end();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("lacks memory that only the source had"), "{said}");
}
