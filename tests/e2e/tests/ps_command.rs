//! `flashmoor ps` as its users call it: exit statuses, metrics, watching, without rights, towards a host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fm_e2e::{Bench, document, stderr};
use fm_lab::{Arch, Guest, Machine};
use serde_json::{Deserializer, Value};

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const NEWER_CODE: &str = "trixie/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";

/// A halted guest of this name with files of its own, and its CODE file.
fn halted(bench: &mut Bench, name: &str) -> (Guest, PathBuf) {
    let (code, vars) = (bench.copy(CODE, "CODE.fd"), bench.copy(VARS, "VARS.fd"));
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, &code, &vars)
    };
    (bench.start(&machine.named(name)), code)
}

/// What a package manager does: a new file under the old name.
fn replace(path: &Path) {
    let new = path.with_extension("dpkg-new");
    fs::write(&new, fm_fixtures::bytes(NEWER_CODE)).unwrap();
    fs::rename(&new, path).unwrap();
}

fn row(document: &Value, pid: u32) -> Value {
    let guests = document["guests"].as_array().unwrap();
    let row = guests.iter().find(|row| row["pid"] == pid).cloned();
    row.unwrap_or_else(|| panic!("{document:#}"))
}

#[test]
fn drift_fails_the_command_only_if_that_was_asked_for() {
    let mut bench = Bench::new();
    let (guest, code) = halted(&mut bench, "drifting");
    replace(&code);
    let seen = bench.flashmoor().args(["ps", "--json"]).output().unwrap();
    assert_eq!(row(&document(&seen), guest.pid())["code"]["drift"], true);
    let asked = bench
        .flashmoor()
        .args(["ps", "--fail-on-drift"])
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(10), "{}", stderr(&asked));
    let text = String::from_utf8(asked.stdout).unwrap();
    let line = text.lines().find(|line| line.contains(" drifting ")).unwrap();
    assert!(line.trim_end().ends_with("yes"), "{line}");
}

#[test]
fn names_that_would_steer_the_terminal_are_shown_and_the_long_form_has_it_all() {
    let mut bench = Bench::new();
    let (guest, code) = halted(&mut bench, "esc\u{1b}[31m\nforged");
    let text = |words: &[&str]| {
        let done = bench.flashmoor().args(words).output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        String::from_utf8(done.stdout).unwrap()
    };
    let pid = guest.pid().to_string();
    let table = text(&["ps"]);
    assert!(table.contains("esc\\u{1b}[31m\\nforged"), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
    let captured = text(&["capture", &pid]);
    assert!(captured.contains("esc\\u{1b}[31m\\nforged (pid "), "{captured}");

    let long = text(&["ps", "--long"]);
    let own = long.split(&format!("{pid} esc")).nth(1).unwrap();
    let digest = fm_formats::Sha256::of(&fm_fixtures::bytes(CODE)).to_string();
    for part in [
        code.to_str().unwrap(),
        "VARS.fd",
        &digest,
        "isa-bios, 131072 bytes",
        "uuid",
    ] {
        assert!(own.contains(part), "{part}: {own}");
    }
}

#[test]
fn a_build_is_called_as_the_catalogue_or_the_store_calls_it() {
    let mut bench = Bench::new();
    let (guest, _) = halted(&mut bench, "named");
    let build = |bench: &Bench| {
        let seen = bench.flashmoor().args(["ps", "--json"]).output().unwrap();
        row(&document(&seen), guest.pid())["code"]["build"].clone()
    };
    let by_catalogue = build(&bench);
    assert!(
        by_catalogue.as_str().unwrap().starts_with("ovmf 2022.11-6"),
        "{by_catalogue}"
    );
    let imported = bench
        .flashmoor()
        .args(["store", "import", "--name", "golden"])
        .arg(fm_fixtures::path(CODE))
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", stderr(&imported));
    assert!(
        build(&bench).as_str().unwrap().starts_with("golden"),
        "{}",
        build(&bench)
    );
}

#[test]
fn the_metrics_of_a_guest_say_whether_it_drifts() {
    let mut bench = Bench::new();
    let (_guest, code) = halted(&mut bench, "measured");
    let file = bench.path("flashmoor.prom");
    let drift = |bench: &Bench| {
        let done = bench
            .flashmoor()
            .args(["ps", "--prometheus"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        let text = fs::read_to_string(&file).unwrap();
        let own = "name=\"measured\"";
        assert!(
            !text.contains("pid="),
            "a series is born with each start of a guest"
        );
        let line = |metric: &str| {
            let start = format!("{metric}{{{own}");
            let found = text
                .lines()
                .find(|line| line.starts_with(&start))
                .map(str::to_owned);
            found.unwrap_or_else(|| panic!("no {start} in {text}"))
        };
        assert!(line("flashmoor_guest_firmware_info").contains("machine=\"pc-q35-7.2\""));
        line("flashmoor_guest_firmware_drift")
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(drift(&bench), "0");
    replace(&code);
    assert_eq!(drift(&bench), "1");
}

/// Ends a process that would go on for ever, however the test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watching_sees_a_file_that_is_replaced_meanwhile() {
    let mut bench = Bench::new();
    let (guest, code) = halted(&mut bench, "watched");
    let mut watch = bench.flashmoor();
    watch
        .args(["ps", "--json", "--watch", "1"])
        .stdout(Stdio::piped());
    let mut watch = Ended(watch.spawn().unwrap());
    let mut documents = Deserializer::from_reader(watch.0.stdout.take().unwrap()).into_iter::<Value>();
    let mut drift = || row(&documents.next().unwrap().unwrap(), guest.pid())["code"]["drift"].clone();
    assert_eq!(drift(), false);
    replace(&code);
    // the one that was under way may still have seen the old file
    assert!((0..5).any(|_| drift() == true));
}

#[test]
fn without_rights_it_shows_what_it_may_and_says_what_it_may_not() {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can give up its rights; run this test as root"
    );
    let mut bench = Bench::new();
    let (guest, _) = halted(&mut bench, "private");
    // where nobody may go
    let program = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let copy = program.path().join("flashmoor");
    fs::copy(fm_e2e::flashmoor().get_program(), &copy).unwrap();
    let seen = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["ps", "--json", "--store", "/nonexistent/store"])
        .output()
        .unwrap();
    let row = row(&document(&seen), guest.pid());
    assert_eq!(
        (&row["name"], &row["arch"]),
        (&Value::from("private"), &Value::from("x86_64"))
    );
    assert_eq!(row["code"]["path"].as_str(), bench.path("CODE.fd").to_str());
    assert_eq!(row["code"]["running_sha256"], Value::Null);
    assert_eq!(row["code"]["drift"], Value::Null);
    let remarks = row["remarks"].to_string();
    for refused in [format!("mappings of process {}", guest.pid()), "CODE.fd".into()] {
        assert!(remarks.contains(&refused), "{refused}: {remarks}");
    }
    assert!(remarks.contains("no permission to read"), "{remarks}");
}

#[test]
fn where_a_guest_could_migrate_to_is_the_judges_word() {
    let mut bench = Bench::new();
    let (guest, _) = halted(&mut bench, "mobile");
    let towards = |to: &Path, qemu: &[&str]| {
        let seen = bench
            .flashmoor()
            .args(["ps", "--json", "--to"])
            .arg(to)
            .args(qemu)
            .output()
            .unwrap();
        row(&document(&seen), guest.pid())["migration"].clone()
    };
    let folder = fm_fixtures::path(NEWER_CODE);
    let folder = folder.parent().unwrap();
    let there = towards(folder, &["--to-qemu", "10.0"]);
    assert_eq!(there["outcome"], "compatible", "{there:#}");
    let smaller = towards(&fm_fixtures::path("bookworm/OVMF_CODE.fd"), &["--to-qemu", "7.2"]);
    assert_eq!(smaller["outcome"], "incompatible", "{smaller:#}");
    assert_eq!(smaller["findings"][0]["code"], "FM-FLASH-SIZE");
    // without the version of QEMU there nothing is promised
    assert_eq!(towards(folder, &[])["outcome"], "unknown");

    let offer = bench.path("offer.json");
    let said = bench
        .flashmoor()
        .args(["offer", &guest.pid().to_string()])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", stderr(&said));
    fs::write(&offer, said.stdout).unwrap();
    assert_eq!(towards(&offer, &[])["outcome"], "compatible");
    let none = bench
        .flashmoor()
        .args(["ps", "--json", "--to", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(1), "{}", stderr(&none));
}
