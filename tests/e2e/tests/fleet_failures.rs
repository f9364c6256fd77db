//! What fails around a fleet: what the failure table of docs/fleet.md says of servers, disks and certificates.

mod fleet_bed;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use fleet_bed::{Fleet, alone};
use fm_e2e::hostile::by_clock;
use fm_e2e::{document, stderr};
use fm_formats::Sha256;

/// Ten years are over, by whatever clock one reads.
const ELEVEN_YEARS: i32 = 11 * 366;
const AGENT: [&str; 4] = ["agent", "--once", "--connect", "test:///default"];

/// The agent of a host that nothing runs on, once.
fn look(fleet: &Fleet, host: &str) -> Output {
    let mut command = fleet.host(host);
    command.args(AGENT);
    alone(&command).output().unwrap()
}

fn must_look(fleet: &Fleet, host: &str) {
    let said = look(fleet, host);
    assert!(said.status.success(), "{}", stderr(&said));
}

/// What the fleet has on record of a host: its report's number.
fn recorded(fleet: &Fleet, host: &str) -> u64 {
    let hosts = document(&fleet.ask(&["hosts", "--json"]));
    let mut hosts = hosts["hosts"].as_array().unwrap().iter();
    let found = hosts.find(|found| found["host"] == host);
    found.map_or(0, |found| found["sequence"].as_u64().unwrap())
}

/// The host comes to need a build.
fn pin(fleet: &Fleet, host: &str, path: &Path, build: &Sha256) {
    for words in [
        &["store", "import", path.to_str().unwrap()][..],
        &["store", "pin", &build.to_string(), "--reason", "needed"],
    ] {
        let done = fleet.flashmoor(host, words);
        assert!(done.status.success(), "{}", stderr(&done));
    }
}

fn needs(fleet: &Fleet, build: &Sha256) -> u64 {
    let said = fleet.ask(&["why", &build.to_string(), "--json"]);
    match said.status.success() {
        true => document(&said)["need_count"].as_u64().unwrap(),
        // The fleet has never heard of it.
        false => 0,
    }
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 16, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn what_happened_while_the_server_was_down_is_told_when_it_is_back() {
    let mut fleet = Fleet::start();
    fleet.join("a");
    must_look(&fleet, "a");
    let (path, build) = fleet.own_build("build");
    fleet.end_server();
    pin(&fleet, "a", &path, &build);
    let said = stderr(&look(&fleet, "a"));
    assert!(said.contains(&fleet.url), "who does not answer: {said}");
    // The host itself goes on.
    assert!(fleet.flashmoor("a", &["store", "verify"]).status.success());
    fleet.restart_server();
    must_look(&fleet, "a");
    assert_eq!(needs(&fleet, &build), 1);
    assert!(fleet.server_blob(&build.to_string()) == std::fs::read(path).unwrap());
}

#[test]
fn a_server_whose_disk_is_full_refuses_reports_which_wait_and_is_well_with_room() {
    // Its folder on a file system of its own.
    let mut fleet = Fleet::start_with(Box::new(|inner| {
        let store = inner.get_args().nth(1).unwrap().to_owned();
        let script =
            "mkdir -p \"$1\" && mount -t tmpfs -o size=12m,mode=755 tmpfs \"$1\" && shift && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(store);
        command.arg(inner.get_program()).args(inner.get_args());
        command
    }));
    let root = Path::new("/proc")
        .join(fleet.server_pid().to_string())
        .join("root");
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap());
    // Only the server sees what it made there.
    let seen = inside(&fleet.administrator());
    let here = fleet.bench.path("administrator");
    std::fs::create_dir(&here).unwrap();
    for file in std::fs::read_dir(seen).unwrap().flatten() {
        std::fs::copy(file.path(), here.join(file.file_name())).unwrap();
    }
    let filler = inside(&fleet.bench.path("controller/filler"));
    fleet.ask_from_now_on_as(&here);
    fleet.join("a");
    must_look(&fleet, "a");
    let before = recorded(&fleet, "a");
    let (path, build) = fleet.own_build("build");
    pin(&fleet, "a", &path, &build);
    fill(&filler);
    let said = stderr(&look(&fleet, "a"));
    assert!(said.contains("cannot be used now"), "{said}");
    assert_eq!((recorded(&fleet, "a"), needs(&fleet, &build)), (before, 0));
    std::fs::remove_file(&filler).unwrap();
    must_look(&fleet, "a");
    assert_eq!(needs(&fleet, &build), 1);
    fleet.end_server();
}

#[test]
fn a_host_whose_disk_is_full_says_so_needs_what_it_needed_and_is_well_with_room() {
    let fleet = Fleet::start();
    fleet.join("a");
    let (path, build) = fleet.own_build("build");
    pin(&fleet, "a", &path, &build);
    must_look(&fleet, "a");
    let before = recorded(&fleet, "a");
    assert_eq!(needs(&fleet, &build), 1);
    // The folder in which it writes down what is to be told, on a file system of its own: full, and then not.
    let script = "cp -a \"$1\" \"$1.kept\" && mount -t tmpfs -o size=256k tmpfs \"$1\" && cp -a \"$1.kept/.\" \"$1\" && \
                  cat /dev/zero >\"$1/filler\" 2>/dev/null; folder=$1; unpin=$2; shift 2; \
                  \"$@\" store unpin \"$unpin\" --reason needed || exit 99; \
                  \"$@\" agent --once --connect test:///default; \
                  echo and then >&2; rm \"$folder/filler\"; \
                  \"$@\" agent --once --connect test:///default; ended=$?; cp -a \"$folder/.\" \"$folder.kept\"; exit $ended";
    let host = fleet.host("a");
    let mut full = Command::new("unshare");
    full.args(["--mount", "sh", "-c", script, "sh"]);
    full.arg(fleet.host_identity("a")).arg(build.to_string());
    full.arg(host.get_program()).args(host.get_args());
    let done = alone(&full).output().unwrap();
    let said = stderr(&done);
    let (first, then) = said.split_once("and then").unwrap();
    assert!(first.contains("No space left on device"), "{said}");
    assert!(done.status.success(), "{said}");
    assert!(then.contains("knows this host"), "{said}");
    assert!(recorded(&fleet, "a") > before, "{said}");
    assert_eq!(needs(&fleet, &build), 0);
}

#[test]
fn a_fleet_whose_ca_has_expired_lets_nobody_in_and_its_hosts_join_a_new_one() {
    let days = Arc::new(AtomicI32::new(0));
    let of_server = Arc::clone(&days);
    let mut old = Fleet::start_with(Box::new(move |command| {
        by_clock(command, of_server.load(Ordering::SeqCst))
    }));
    old.join("a");
    must_look(&old, "a");
    let (path, build) = old.own_build("build");
    pin(&old, "a", &path, &build);
    old.end_server();
    days.store(ELEVEN_YEARS, Ordering::SeqCst);
    old.restart_server();
    // By today's clock and by that of eleven years later.
    for at in [0, ELEVEN_YEARS] {
        let mut command = old.host("a");
        command.args(AGENT);
        let refused = alone(&by_clock(command, at)).output().unwrap();
        let said = stderr(&refused);
        assert!(
            !said.contains("knows this host") && said.contains("xpired"),
            "{at}: {said}"
        );
    }
    // The host has what it needs, and joins the fleet that is made instead.
    assert!(old.flashmoor("a", &["store", "verify"]).status.success());
    let new = Fleet::start_with(Box::new(|command| by_clock(command, ELEVEN_YEARS)));
    let mut token = fm_e2e::flashmoor();
    token.arg("--store").arg(new.bench.path("nobody"));
    token.args(["fleet", "token", "--json", "--url", &new.url, "--identity"]);
    token.arg(new.administrator());
    let token = document(&by_clock(token, ELEVEN_YEARS).output().unwrap());
    let mut join = old.host("a");
    join.args([
        "agent",
        "join",
        "--replace",
        "--name",
        "a",
        "--token",
        token["text"].as_str().unwrap(),
    ]);
    let joined = by_clock(join, ELEVEN_YEARS).output().unwrap();
    assert!(joined.status.success(), "{}", stderr(&joined));
    let mut command = old.host("a");
    command.args(AGENT);
    let said = alone(&by_clock(command, ELEVEN_YEARS)).output().unwrap();
    assert!(said.status.success(), "{}", stderr(&said));
    assert!(new.server_blob(&build.to_string()) == std::fs::read(path).unwrap());
}
