//! A migration that works, and every way in which one must not hurt: the guest always runs somewhere.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fm_e2e::{Bench, document, qemu_10, stderr};
use fm_fixtures::Patience;
use fm_formats::Sha256;
use fm_lab::{Arch, Guest, Machine};
use serde_json::Value;

const CODE_2M: &str = "bookworm/OVMF_CODE.fd";
const CODE_4M: &str = "bookworm/OVMF_CODE_4M.fd";
const SIZE_2M: u64 = 1_966_080;
const VARS_SIZE_2M: u64 = 131_072;

/// A destination that waits with blank flash of the 2M build's sizes.
fn blank_destination(bench: &mut Bench) -> Guest {
    let code = bench.zeros("blank-code.fd", SIZE_2M);
    let vars = bench.zeros("blank-vars.fd", VARS_SIZE_2M);
    bench.start(&Machine::new(Arch::X86_64, &code, &vars).incoming())
}

fn migrate(bench: &Bench, source: &Guest, destination: &Guest) -> Command {
    let mut command = bench.flashmoor();
    command
        .args(["--json", "migrate"])
        .arg(source.qmp_socket())
        .arg(destination.qmp_socket());
    command
}

/// Starts a migration that takes long enough to be disturbed, and returns once pages are on their way.
fn migrate_slowly(bench: &Bench, source: &Guest, destination: &Guest) -> Child {
    let mut command = migrate(bench, source, destination);
    command
        .args(["--bandwidth", "64K"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut events = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"status\":\"active\"") {
        line.clear();
        assert_ne!(
            events.read_line(&mut line).unwrap(),
            0,
            "the migration ended too early"
        );
    }
    child.stderr = Some(events.into_inner());
    child
}

fn runs(guest: &mut Guest) -> bool {
    guest.status().unwrap() == "running"
}

/// How many migration capabilities are on.
fn enabled(guest: &mut Guest) -> usize {
    let capabilities = guest
        .monitor()
        .execute("query-migrate-capabilities", None)
        .unwrap();
    capabilities
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["state"] == true)
        .count()
}

fn sha256(path: &Path) -> String {
    Sha256::of(&fs::read(path).unwrap()).to_string()
}

#[test]
fn a_guest_arrives_with_its_firmware_its_variables_and_a_verified_build() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    source
        .shell("setvar Mine -guid 4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11 -bs -rt -nv =\"kept\"")
        .unwrap();

    let offer = bench
        .flashmoor()
        .args(["--json", "offer", &source.pid().to_string()])
        .output()
        .unwrap();
    fs::write(bench.path("offer.json"), &offer.stdout).unwrap();
    let vars = bench.path("vars.fd");
    let mut prepare = bench.flashmoor();
    prepare
        .arg("--json")
        .arg("prepare")
        .arg(bench.path("offer.json"))
        .arg("--vars")
        .arg(&vars);
    let prepared = document(&prepare.output().unwrap());
    assert_eq!(prepared["code"]["placeholder"], true);
    let landing = Path::new(prepared["code"]["path"].as_str().unwrap()).to_owned();
    assert_eq!(fs::metadata(&landing).unwrap().len(), SIZE_2M);
    assert!(
        !landing
            .to_str()
            .unwrap()
            .contains(&sha256(&fm_fixtures::path(CODE_2M)))
    );

    let mut destination = bench.start(&Machine::new(Arch::X86_64, &landing, &vars).incoming());
    let migrated = document(&migrate(&bench, &source, &destination).output().unwrap());
    let digest = sha256(&fm_fixtures::path(CODE_2M));
    assert_eq!(migrated["schema"], "flashmoor/migrate/1");
    assert_eq!(migrated["outcome"], "completed");
    assert_eq!(migrated["code"]["sha256"], digest);
    assert_eq!(migrated["code"]["verified"], true);
    assert!(migrated["bytes"].as_u64().unwrap() > SIZE_2M && migrated["downtime_ms"].is_u64());
    // QEMU has the times a moment after it says completed.
    assert!(migrated["total_time_ms"].as_u64().unwrap() > 0);
    assert_eq!(source.status().unwrap(), "postmigrate");
    drop(source);

    assert!(runs(&mut destination));
    assert_eq!(sha256(&landing), digest, "the landing holds the true bytes");
    let stored = migrated["code"]["path"].as_str().unwrap();
    assert!(stored.contains(&digest));
    assert_eq!(sha256(Path::new(stored)), digest);
    destination.reset().unwrap();
    destination.boot_to_shell().unwrap();
    let shown = destination
        .shell("setvar Mine -guid 4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11")
        .unwrap();
    assert!(shown.contains("6B 65 70 74"), "{shown}");
}

#[test]
fn what_qemu_would_refuse_is_refused_before_a_byte_is_sent_in_qemus_own_words() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "vars-4m.fd");
    let mut destination =
        bench.start(&Machine::new(Arch::X86_64, &fm_fixtures::path(CODE_4M), &vars).incoming());
    let output = migrate(&bench, &source, &destination).output().unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    let predicted = "Size mismatch: system.flash0: 0x1e0000 != 0x37c000: Invalid argument";
    assert!(stderr(&output).contains(predicted), "{}", stderr(&output));
    assert!(stderr(&output).contains("remedy"), "{}", stderr(&output));
    assert!(runs(&mut source) && destination.status().unwrap() == "inmigrate");

    // And so it is: the same migration, driven past us.
    let uri = serde_json::json!({ "uri": format!("unix:{}", bench.path("stream").display()) });
    destination
        .monitor()
        .execute("migrate-incoming", Some(uri.clone()))
        .unwrap();
    source.monitor().execute("migrate", Some(uri)).unwrap();
    destination.wait_for_end().unwrap();
    assert!(
        destination.stderr().contains(predicted),
        "{}",
        destination.stderr()
    );
    assert!(runs(&mut source));
}

#[test]
fn a_destination_that_does_not_wait_is_left_alone() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    let vars = bench.copy("bookworm/OVMF_VARS.fd", "other.fd");
    let mut other = bench.start(&Machine::new(Arch::X86_64, &fm_fixtures::path(CODE_2M), &vars));
    let output = migrate(&bench, &source, &other).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("-incoming defer"), "{}", stderr(&output));
    assert!(runs(&mut source) && runs(&mut other));
}

#[test]
fn a_destination_that_listens_for_somebody_else_is_left_alone() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    let mut destination = blank_destination(&mut bench);
    let uri = serde_json::json!({ "uri": format!("unix:{}", bench.path("stream").display()) });
    destination
        .monitor()
        .execute("migrate-incoming", Some(uri))
        .unwrap();
    let output = migrate(&bench, &source, &destination).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("nobody else has told to listen"),
        "{}",
        stderr(&output)
    );
    assert!(runs(&mut source) && destination.status().unwrap() == "inmigrate");
    assert_eq!(
        (enabled(&mut source), enabled(&mut destination)),
        (0, 0),
        "settings are as they were"
    );
}

#[test]
fn a_monitor_that_another_client_holds_is_said_to_be_held() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    let destination = blank_destination(&mut bench);
    let _holder = UnixStream::connect(source.qmp_socket()).unwrap();
    let output = migrate(&bench, &source, &destination).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another client"), "{}", stderr(&output));
    assert!(runs(&mut source));
}

#[test]
fn a_destination_that_dies_midway_leaves_the_guest_running_at_the_source() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    let destination = blank_destination(&mut bench);
    let child = migrate_slowly(&bench, &source, &destination);
    destination.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the guest is at the source"),
        "{}",
        stderr(&output)
    );
    assert!(runs(&mut source));
    assert_eq!(enabled(&mut source), 0, "settings are as they were");

    // Nothing is left that would stop a second attempt.
    let again = blank_destination(&mut bench);
    assert_eq!(
        document(&migrate(&bench, &source, &again).output().unwrap())["outcome"],
        "completed"
    );
}

#[test]
fn a_source_that_dies_midway_is_said_to_have_died() {
    let mut bench = Bench::new();
    let source = bench.guest_2m();
    let destination = blank_destination(&mut bench);
    let child = migrate_slowly(&bench, &source, &destination);
    source.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the source's QEMU ended during the migration"),
        "{}",
        stderr(&output)
    );
}

/// Between these two, under TCG, QEMU finds only after the source has sent everything that it cannot load the guest's
/// processor: the source says completed, the older destination ends, the newer one stays and says failed.
#[test]
fn a_destination_that_cannot_load_a_device_in_the_end_leaves_the_guest_running_at_the_source() {
    let newer = fm_fixtures::qemu_10("aarch64");
    let older = Path::new("qemu-system-aarch64");
    for (from, to) in [(older, newer.as_path()), (newer.as_path(), older)] {
        let mut bench = Bench::new();
        let machine = |code: &Path, vars: &Path, program: &Path| {
            let mut machine = Machine::new(Arch::Aarch64, code, vars);
            machine.machine = "virt-7.2".into();
            machine.emulator.program = program.to_owned();
            machine
        };
        let vars = bench.copy("bookworm/AAVMF_VARS.fd", "vars.fd");
        let code = fm_fixtures::path("bookworm/AAVMF_CODE.fd");
        let mut source = bench.start(&machine(&code, &vars, from));
        let blank = ["blank-code.fd", "blank-vars.fd"].map(|name| bench.zeros(name, 64 << 20));
        let destination = bench.start(&machine(&blank[0], &blank[1], to).incoming());
        // It boots, and what it writes then would call the migration off for a reason of its own.
        let mut command = migrate(&bench, &source, &destination);
        let output = command.arg("--stop-first").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("the guest is at the source"), "{said}");
        assert!(runs(&mut source), "{said}");
    }
}

#[test]
fn ctrl_c_cancels_and_the_guest_runs_on_at_the_source() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    let destination = blank_destination(&mut bench);
    let child = migrate_slowly(&bench, &source, &destination);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cancelled; the guest runs on at the source"),
        "{}",
        stderr(&output)
    );
    assert!(runs(&mut source));
}

#[test]
fn other_bytes_than_announced_are_not_stored_and_the_guest_runs_on() {
    let mut bench = Bench::new();
    let source = bench.guest_2m();
    let mut destination = blank_destination(&mut bench);
    let other = sha256(&fm_fixtures::path(CODE_4M));
    let output = migrate(&bench, &source, &destination)
        .args(["--expect", &other])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["outcome"], &document["code"]["verified"]),
        (&"completed".into(), &false.into())
    );
    let said = stderr(&output);
    assert!(
        said.contains(&other) && said.contains(&sha256(&fm_fixtures::path(CODE_2M))),
        "{said}"
    );
    assert!(runs(&mut destination));
    let builds = fs::read_dir(bench.path("store/builds")).map_or(0, Iterator::count);
    assert_eq!(builds, 0, "nothing was stored");
}

#[test]
fn a_store_that_is_full_costs_the_harvest_and_nothing_else() {
    let mut bench = Bench::new();
    let source = bench.guest_2m();
    let mut destination = blank_destination(&mut bench);
    fs::create_dir(bench.path("store")).unwrap();
    // A file system of its own, too small for the build, that only this command sees.
    let script = "mount -t tmpfs -o size=512k,mode=755 tmpfs \"$1\" && shift && exec \"$@\"";
    let inner = migrate(&bench, &source, &destination);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(bench.path("store"));
    command.arg(inner.get_program()).args(inner.get_args());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("No space left on device"),
        "{}",
        stderr(&output)
    );
    assert!(runs(&mut destination));
    let harvest = bench
        .flashmoor()
        .args(["--json", "harvest", &destination.pid().to_string()])
        .output()
        .unwrap();
    assert_eq!(
        document(&harvest)["code"]["sha256"],
        sha256(&fm_fixtures::path(CODE_2M))
    );
}

#[test]
fn channels_postcopy_and_an_address_of_ones_own_reach_qemu() {
    for words in [
        &["--multifd", "2", "--compression", "zlib"][..],
        &["--postcopy"],
        &["--uri", "tcp:127.0.0.1:0"],
    ] {
        let mut bench = Bench::new();
        let source = bench.guest_2m();
        let mut destination = blank_destination(&mut bench);
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if let Some(uri) = words.iter_mut().find(|word| word.starts_with("tcp:")) {
            let free = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            *uri = format!("tcp:127.0.0.1:{free}");
        }
        let migrated = document(
            &migrate(&bench, &source, &destination)
                .args(&words)
                .output()
                .unwrap(),
        );
        assert_eq!(migrated["code"]["verified"], true, "{words:?}");
        assert!(runs(&mut destination), "{words:?}");
    }
}

/// libvirt and scripts set what they need and expect the rest to be as QEMU starts.
#[test]
fn a_guest_that_arrived_migrates_on_for_somebody_who_knows_nothing_of_us() {
    let mut bench = Bench::new();
    let mut source = bench.guest_2m();
    let mut here = blank_destination(&mut bench);
    let settings = |guest: &mut Guest| {
        ["query-migrate-capabilities", "query-migrate-parameters"]
            .map(|query| guest.monitor().execute(query, None).unwrap())
    };
    let before = [settings(&mut source), settings(&mut here)];
    let mut command = migrate(&bench, &source, &here);
    command.args(["--bandwidth", "500M", "--downtime-limit", "77", "--multifd", "2"]);
    let migrated = document(&command.output().unwrap());
    assert_eq!(migrated["outcome"], "completed");
    assert_eq!([settings(&mut source), settings(&mut here)], before);

    let (code, vars) = (
        bench.zeros("further-code.fd", SIZE_2M),
        bench.zeros("further-vars.fd", VARS_SIZE_2M),
    );
    let mut further = bench.start(&Machine::new(Arch::X86_64, &code, &vars).incoming());
    let uri = serde_json::json!({ "uri": format!("unix:{}", bench.path("further").display()) });
    for (guest, command) in [(&mut further, "migrate-incoming"), (&mut here, "migrate")] {
        guest.monitor().execute(command, Some(uri.clone())).unwrap();
    }
    let mut patience = Patience::new(fm_lab::PATIENCE);
    let state = loop {
        let info = here.monitor().execute("query-migrate", None).unwrap();
        let state = info["status"].as_str().unwrap().to_owned();
        if matches!(state.as_str(), "completed" | "failed") {
            break state;
        }
        patience.rest(|| info.to_string());
    };
    assert_eq!(state, "completed");
}

#[test]
fn a_guest_goes_from_qemu_7_2_to_10_0_and_back_on_one_machine_type() {
    let mut bench = Bench::new();
    let vars = bench.copy("bookworm/OVMF_VARS.fd", "vars-2m.fd");
    let mut machine = Machine::new(Arch::X86_64, &fm_fixtures::path(CODE_2M), &vars);
    machine.machine = "pc-q35-7.2".into();
    let source = bench.start_booted(&machine);
    let (code, vars) = (
        bench.zeros("code-10.fd", SIZE_2M),
        bench.zeros("vars-10.fd", VARS_SIZE_2M),
    );
    let mut newer = Machine::new(Arch::X86_64, &code, &vars).incoming();
    newer.machine = "pc-q35-7.2".into();
    newer.emulator = qemu_10();
    let mut there = bench.start(&newer);
    let migrated = document(&migrate(&bench, &source, &there).output().unwrap());
    assert_eq!(migrated["code"]["verified"], true);
    drop(source);
    assert_eq!(there.shell("echo here").unwrap(), "here");

    let (code, vars) = (
        bench.zeros("code-7.fd", SIZE_2M),
        bench.zeros("vars-7.fd", VARS_SIZE_2M),
    );
    let mut older = Machine::new(Arch::X86_64, &code, &vars).incoming();
    older.machine = "pc-q35-7.2".into();
    let mut back = bench.start(&older);
    let migrated = document(&migrate(&bench, &there, &back).output().unwrap());
    assert_eq!(migrated["code"]["verified"], true);
    assert_eq!(back.shell("echo again").unwrap(), "again");
}
