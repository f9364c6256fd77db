//! A clock that was set by a year, forward or back: no backup that is needed is pruned, the newest is the one that was made
//! last, and what somebody waits for is not collected.

use std::fs;
use std::path::Path;
use std::process::Command;

use fm_e2e::hostile::by_clock;
use fm_e2e::moments::{digest, must, with};
use fm_e2e::{Bench, document, stderr};
use fm_lab::{Arch, Machine};

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
const YEAR: i32 = 365;

fn done(mut command: Command) -> std::process::Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    output
}

fn at(folder: &Path, days: i32, words: &[&str]) -> std::process::Output {
    done(by_clock(with(folder, words), days))
}

/// The agent, once. Guests of other tests come and go meanwhile, so that its status says nothing.
fn agent(folder: &Path, days: i32) {
    let words = ["agent", "--once", "--connect", "test:///default"];
    let output = by_clock(with(folder, &words), days).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
}

#[test]
fn the_clock_of_a_command_is_the_one_that_it_is_given() {
    let year = |days| {
        let mut date = Command::new("date");
        date.arg("+%s");
        let said = done(by_clock(date, days));
        String::from_utf8(said.stdout)
            .unwrap()
            .trim()
            .parse::<i64>()
            .unwrap()
    };
    let (back, ahead) = (year(-YEAR), year(YEAR));
    assert_eq!((ahead - back) / (24 * 3600), i64::from(2 * YEAR));
}

#[test]
fn whatever_the_clock_says_the_newest_backup_is_the_one_made_last_and_the_oldest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vars.fd");
    fs::copy(fm_fixtures::path(VARS), &path).unwrap();
    let file = path.to_str().unwrap();
    let first = fs::read(&path).unwrap();
    // Long enough for backups to be pruned in each of the three times, and in turns.
    let clocks = [0, YEAR, -YEAR].into_iter().flat_map(|days| [days; 12]);
    let turns = [YEAR, 0, -YEAR].into_iter().cycle().take(12);
    let backups = || {
        let list = document(
            &with(folder.path(), &["--json", "vars", "backups", file])
                .output()
                .unwrap(),
        );
        let backups = list["backups"].as_array().unwrap().iter();
        let paths = backups.map(|backup| backup["path"].as_str().unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    for (number, days) in clocks.chain(turns).enumerate() {
        let before = fs::read(&path).unwrap();
        let number = number.to_string();
        at(
            folder.path(),
            days,
            &["vars", "set", file, "Lang", "--text", &number],
        );
        let kept = backups();
        let context = format!("turn {number}, {days} days off: {kept:?}");
        assert!(fs::read(kept.last().unwrap()).unwrap() == before, "{context}");
        assert!(fs::read(&kept[0]).unwrap() == first, "{context}");
        assert!(kept.len() <= 10, "{context}");
    }
    for days in [YEAR, -YEAR, 0] {
        at(
            folder.path(),
            0,
            &["vars", "set", file, "Lang", "--text", "before"],
        );
        let before = fs::read(&path).unwrap();
        at(
            folder.path(),
            -days,
            &["vars", "set", file, "Lang", "--text", "after"],
        );
        at(folder.path(), days, &["vars", "restore", file]);
        assert!(fs::read(&path).unwrap() == before, "restored {days} days off");
    }
}

#[test]
fn whoever_is_waited_for_finds_his_landing_by_any_clock_and_what_nobody_wants_goes() {
    let mut bench = Bench::new();
    let vars = bench.copy(VARS, "VARS.fd");
    let machine = |code: &Path| Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, code, &vars)
    };
    let guest = bench.start(&machine(&fm_fixtures::path(CODE)));
    let offer = bench.path("offer.json");
    let offered = bench
        .flashmoor()
        .args(["--json", "offer", &guest.pid().to_string()])
        .output();
    fs::write(&offer, document(&offered.unwrap()).to_string()).unwrap();
    guest.kill();
    let offer = offer.to_str().unwrap();
    for (made, looked) in [
        (-YEAR, 0),
        (0, YEAR),
        (YEAR, 0),
        (0, -YEAR),
        (-YEAR, YEAR),
        (YEAR, -YEAR),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let context = format!("made {made} and looked at {looked} days off");
        let own = folder.path().join("vars.fd");
        at(
            folder.path(),
            made,
            &["prepare", offer, "--vars", own.to_str().unwrap()],
        );
        // Nobody names it yet: the migration is about to begin.
        let collected = document(&at(folder.path(), looked, &["--json", "store", "gc"]));
        assert_eq!(collected["removed"], serde_json::json!([]), "{context}");
        agent(folder.path(), looked);
        let landings = document(&at(folder.path(), looked, &["--json", "store", "landings"]));
        assert_eq!(landings["landings"].as_array().unwrap().len(), 1, "{context}");
        let words = ["--json", "store", "gc", "--placeholder-hours", "0"];
        let collected = document(&at(folder.path(), looked, &words));
        let mut removed = collected["removed"].as_array().unwrap().iter();
        assert!(
            removed.any(|removed| removed["what"] == "landing"),
            "{context}: {collected}"
        );
    }
}

#[test]
fn a_build_that_a_guest_runs_or_a_pin_names_stays_by_any_clock() {
    let mut bench = Bench::new();
    let folder = bench.path("");
    let other = fm_fixtures::path("trixie/OVMF_CODE_4M.fd");
    let code = fm_fixtures::path(CODE);
    by_clock_imported(&folder, &[code.as_path(), other.as_path()]);
    must(
        &folder,
        &[
            "store",
            "pin",
            &digest("trixie/OVMF_CODE_4M.fd"),
            "--reason",
            "mine",
        ],
    );
    let stored = folder.join(format!("store/builds/sha256-{}/CODE.fd", digest(CODE)));
    let vars = bench.copy(VARS, "VARS.fd");
    let guest = bench.start(&Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, &stored, &vars)
    });
    for days in [YEAR, -YEAR] {
        at(&folder, days, &["store", "gc"]);
        agent(&folder, days);
        let list = document(&with(&folder, &["--json", "store", "list"]).output().unwrap());
        for build in [CODE, "trixie/OVMF_CODE_4M.fd"] {
            let mut listed = list["builds"].as_array().unwrap().iter();
            assert!(
                listed.any(|listed| listed["id"] == digest(build)),
                "{days}: {list}"
            );
        }
    }
    drop(guest);
    let collected = document(&at(&folder, -YEAR, &["--json", "store", "gc"]));
    let mut removed = collected["removed"].as_array().unwrap().iter();
    assert!(
        removed.any(|removed| removed["id"] == digest(CODE)),
        "{collected}"
    );
}

/// Each a year further back than the one before it.
fn by_clock_imported(folder: &Path, builds: &[&Path]) {
    for (number, build) in (0..).zip(builds) {
        at(
            folder,
            -YEAR * number,
            &["store", "import", build.to_str().unwrap()],
        );
    }
}
