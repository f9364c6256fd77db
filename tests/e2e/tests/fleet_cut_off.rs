//! A host with a running guest is cut off, for as long as one likes: nothing goes, the host is named, and when it is reached
//! again everything goes on by itself. Clocks that are a year off change nothing of it.

mod fleet_bed;

use std::path::Path;

use fleet_bed::{Fleet, Wire, alone};
use fm_e2e::hostile::{by_clock, by_clock_in, set_ahead};
use fm_e2e::{document, stderr};
use fm_fixtures::Patience;
use fm_formats::Sha256;
use fm_lab::{Arch, Machine, PATIENCE};
use serde_json::Value;

const VARS: &str = "bookworm/OVMF_VARS.fd";
const YEAR: i32 = 365;

fn why(fleet: &Fleet, build: &Sha256) -> Value {
    document(&fleet.ask(&["why", &build.to_string(), "--json"]))
}

/// Asks until it is so.
fn until(
    fleet: &Fleet,
    build: &Sha256,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
    meanwhile: impl Fn(),
) -> Value {
    let mut patience = Patience::new(PATIENCE);
    loop {
        meanwhile();
        // One that the fleet has not heard of is refused.
        let said = fleet.ask(&["why", &build.to_string(), "--json"]);
        let why = said.status.success().then(|| document(&said));
        if let Some(why) = why.as_ref().filter(|why| is_so(why)) {
            return why.clone();
        }
        patience.rest(|| format!("not {what}: {why:#?} {}", stderr(&said)));
    }
}

/// Something that a host does that nothing runs on.
fn empty_host(fleet: &Fleet, host: &str, days: i32, words: &[&str]) {
    let mut command = by_clock(fleet.host(host), days);
    command.args(words);
    let done = alone(&command).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", stderr(&done));
}

/// What `b` needs for as long as it is pinned there, and what the fleet has of it.
fn pinned(fleet: &Fleet, path: &Path, build: &Sha256, days: i32) {
    let build_text = build.to_string();
    for words in [
        &["store", "import", path.to_str().unwrap()][..],
        &["store", "pin", &build_text, "--reason", "needed"],
        &["agent", "--once", "--connect", "test:///default"],
    ] {
        empty_host(fleet, "b", days, words);
    }
    assert_eq!(why(fleet, build)["state"], "live");
    empty_host(
        fleet,
        "b",
        days,
        &["store", "unpin", &build_text, "--reason", "needed"],
    );
}

fn is_blocked_by_a(why: &Value) -> bool {
    let mut blocked = why["blocked_by"].as_array().unwrap().iter();
    blocked.any(|obstacle| obstacle["host"] == "a")
}

/// Everything that happens, with the clocks of the two hosts so many days off.
fn a_host_is_cut_off(days_a: i32, days_b: i32) {
    let clock = tempfile::tempdir().unwrap();
    let clock = clock.path().join("clock");
    set_ahead(&clock, 0);
    let of_server = clock.clone();
    let mut fleet = Fleet::start_with(Box::new(move |mut command| {
        command.args(["--grace", "0"]);
        by_clock_in(command, &of_server)
    }));
    let wire = Wire::to(&fleet.url);
    fleet.join_at("a", &wire.url);
    fleet.join("b");
    let report = || {
        empty_host(
            &fleet,
            "b",
            days_b,
            &["agent", "--once", "--connect", "test:///default"],
        );
    };
    report();

    let (held_path, held) = fleet.own_build("held");
    let (first_path, first) = fleet.own_build("first");
    let (second_path, second) = fleet.own_build("second");
    let vars = fleet.bench.path("vars.fd");
    std::fs::copy(fm_fixtures::path(VARS), &vars).unwrap();
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, &held_path, &vars)
    };
    let guest = fm_lab::Guest::start(&machine, &fleet.bench.path("g")).unwrap();
    let agent = Fleet::agent_of(by_clock(fleet.host("a"), days_a));
    until(&fleet, &held, "live", |why| why["state"] == "live", || {});

    wire.cut();
    pinned(&fleet, &first_path, &first, days_b);
    let condemned = |why: &Value| why["state"] == "condemned" && is_blocked_by_a(why);
    until(
        &fleet,
        &first,
        "held up by the host that is cut off",
        condemned,
        report,
    );

    // Two hundred days later, by every clock of the server's.
    set_ahead(&clock, 200);
    pinned(&fleet, &second_path, &second, days_b);
    // By now it has decided anew: what came since is condemned as well.
    until(&fleet, &second, "held up as well", condemned, report);
    let silent = |why: &Value| {
        let mut blocked = why["blocked_by"].as_array().unwrap().iter();
        blocked.any(|obstacle| obstacle["host"] == "a" && obstacle["kind"] == "silent_host")
    };
    let still = until(&fleet, &first, "the silent host's fault", silent, || {});
    assert_eq!(still["state"], "condemned", "{still:#}");
    let needed = why(&fleet, &held);
    assert_eq!(needed["state"], "live", "{needed:#}");
    let mut needs = needed["needed_by"].as_array().unwrap().iter();
    assert!(
        needs.any(|need| need["host"] == "a" && need["reason"] == "runs"),
        "{needed:#}"
    );

    wire.mend();
    let purged = |why: &Value| why["state"] == "purged";
    for build in [&first, &second] {
        until(&fleet, build, "purged, once the host is back", purged, report);
    }
    assert_eq!(why(&fleet, &held)["state"], "live");
    assert!(fleet.server_blob(&held.to_string()) == std::fs::read(&held_path).unwrap());
    drop((agent, guest));
    fleet.end_server();
}

#[test]
fn a_host_with_a_guest_that_is_cut_off_is_named_and_waited_for_and_goes_on_by_itself() {
    a_host_is_cut_off(0, 0);
}

#[test]
fn it_is_the_same_with_clocks_that_are_a_year_off() {
    a_host_is_cut_off(YEAR, -YEAR);
}
