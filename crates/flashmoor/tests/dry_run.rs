//! What `--dry-run` of each verb outside `vars` says, and that no byte is changed by it.

mod saved_bytes;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";

/// Everything below a folder: inode, mode, and what a file holds.
fn all(folder: &Path) -> BTreeMap<PathBuf, (u64, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let status = fs::symlink_metadata(&path).unwrap();
        let mut bytes = Vec::new();
        if status.is_dir() {
            found.extend(all(&path));
        } else {
            bytes = fs::read(&path).unwrap();
        }
        found.insert(path, (status.ino(), status.permissions().mode(), bytes));
    }
    found
}

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/etc/apt")).unwrap();
        fs::create_dir_all(dir.path().join("root/etc/apparmor.d/local")).unwrap();
        fs::write(
            dir.path().join("root/etc/apparmor.d/usr.sbin.virtqemud"),
            "profile\n",
        )
        .unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_flashmoor"))
            .args(words)
            .env("FLASHMOOR_STORE", self.path("store"))
            .env("FLASHMOOR_CONFIG", "")
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    fn done(&self, words: &[&str]) -> Output {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.done(&[&["--json"], words].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Runs the verb dry, as text and as a document, and then really: holds what was said to what is done.
    fn verb(&self, words: &[&str]) -> Value {
        let before = all(self.dir.path());
        let dry_words = [words, &["--dry-run"]].concat();
        let text = self.done(&dry_words);
        let said = String::from_utf8_lossy(&text.stdout) + String::from_utf8_lossy(&text.stderr);
        assert!(said.contains("would"), "{words:?}: {said}");
        let mut dry = self.json(&dry_words);
        assert!(all(self.dir.path()) == before, "{words:?} changed something");
        assert_eq!(dry["dry_run"], true, "{words:?}");
        let mut real = self.json(words);
        assert!(all(self.dir.path()) != before, "{words:?} changed nothing");
        assert_ne!(real["dry_run"], true, "{words:?}");
        for document in [&mut dry, &mut real] {
            document.as_object_mut().unwrap().remove("dry_run");
        }
        assert_eq!(dry, real, "{words:?}");
        real
    }

    fn refused(&self, words: &[&str]) {
        let before = all(self.dir.path());
        let dry = self.run(&[words, &["--dry-run"]].concat());
        assert!(all(self.dir.path()) == before, "{words:?}");
        let real = self.run(words);
        assert!(!dry.status.success(), "{words:?}");
        assert_eq!((dry.status, dry.stderr), (real.status, real.stderr), "{words:?}");
    }
}

#[test]
fn the_stores_verbs_say_what_they_would_change_and_change_nothing() {
    let scene = Scene::new();
    let (code, vars) = (fm_fixtures::path(CODE), fm_fixtures::path(VARS));
    let (code, vars) = (code.to_str().unwrap(), vars.to_str().unwrap());
    // Of a store that there is not yet, and of one that there is.
    scene.verb(&["store", "import", code, "--name", "old"]);
    scene.verb(&["store", "import", code, "--vars-template", vars]);
    scene.verb(&["store", "pin", "old", "--reason", "first"]);
    scene.verb(&["store", "pin", "old", "--reason", "second"]);
    scene.verb(&["store", "unpin", "old", "--reason", "first"]);
    scene.verb(&["store", "unpin", "old"]);
    let layout = format!("oci:{}", scene.path("layout").display());
    scene.done(&["store", "export", "old", &layout]);
    let removed = scene.verb(&["store", "gc"]);
    assert_eq!(removed["removed"][0]["what"], "build", "{removed}");
    scene.verb(&["store", "import", &layout]);
    scene.refused(&["store", "import", "layout/oci-layout"]);
    scene.refused(&["store", "pin", "nothing-like-it"]);
    scene.refused(&["store", "unpin", "nothing-like-it"]);
    scene.refused(&["store", "forget", "nothing-like-it"]);
}

#[test]
fn an_arrival_is_prepared_and_forgotten_dry_and_then_really() {
    let scene = Scene::new();
    fs::write(scene.path("stream"), saved_bytes::described()).unwrap();
    let offer = scene.done(&["saved", "offer", "stream"]).stdout;
    fs::write(scene.path("offer.json"), offer).unwrap();
    let words = ["prepare", "offer.json", "--vars", "web_VARS.fd"];
    let dry = scene.done(&[&words[..], &["--dry-run"]].concat());
    let text = String::from_utf8(dry.stdout).unwrap();
    assert!(text.lines().all(|line| line.starts_with("# would be ")), "{text}");
    let prepared = scene.verb(&words);
    let landing = prepared["landing"].as_str().unwrap();
    scene.verb(&["store", "forget", landing]);
    fs::write(scene.path("web_VARS.fd"), "another guest's").unwrap();
    scene.refused(&words);
}

#[test]
fn saved_guests_are_adopted_and_planned_for_dry_and_then_really() {
    let scene = Scene::new();
    for (name, room) in [("roomy.save", 4096), ("tight.save", 0)] {
        let image = saved_bytes::save_image_of("shop", &saved_bytes::described(), 0, room);
        fs::write(scene.path(name), image).unwrap();
        scene.verb(&["saved", "adopt", name]);
    }
    fs::write(scene.path("stream"), saved_bytes::described()).unwrap();
    scene.verb(&["saved", "restore-plan", "stream", "--vars", "shop_VARS.fd"]);
    fs::write(scene.path("other"), "another guest's").unwrap();
    scene.refused(&["saved", "restore-plan", "stream", "--vars", "other"]);
    scene.refused(&["saved", "adopt", "other"]);
}

#[test]
fn names_hooks_and_units_are_put_in_place_and_taken_away_dry_and_then_really() {
    let scene = Scene::new();
    let code = fm_fixtures::path("trixie/OVMF_CODE_4M.fd");
    let code = code.to_str().unwrap();
    let named = ["--name", "mine", "--build-version", "7"];
    scene.verb(&[&["catalogue", "add", code][..], &named].concat());
    scene.verb(&["catalogue", "remove", "mine"]);
    scene.refused(&["catalogue", "remove", "mine"]);
    scene.verb(&[
        "libvirt",
        "install",
        "--root",
        "root",
        "--program",
        "/usr/bin/flashmoor",
    ]);
    scene.verb(&["libvirt", "uninstall", "--root", "root"]);
    let guard = ["guard", "install", "--apt", "--block", "--root", "root"];
    scene.verb(&[&guard[..], &["--program", "/usr/bin/flashmoor"]].concat());
    scene.verb(&["guard", "uninstall", "--root", "root"]);
    fs::write(scene.path("root/etc/apt/apt.conf.d/50flashmoor"), "// mine\n").unwrap();
    scene.refused(&guard);
}

#[test]
fn an_update_of_the_catalogue_and_the_fleet_that_is_left_are_said_beforehand() {
    let scene = Scene::new();
    let firmware = fm_fixtures::folder().join("bookworm");
    let before = all(scene.dir.path());
    let dry = scene.json(&["catalogue", "update", firmware.to_str().unwrap(), "--dry-run"]);
    assert_eq!((&dry["dry_run"], &dry["entries"]), (&true.into(), &json!([])));
    let unnamed = dry["unnamed"].as_array().unwrap();
    assert!(!unnamed.is_empty(), "no package owns a fixture");
    assert!(all(scene.dir.path()) == before);
    let said = |words: &[&str]| String::from_utf8(scene.done(words).stderr).unwrap();
    let none = said(&["agent", "leave", "--dry-run"]);
    assert!(none.starts_with("there is no fleet to forget in "), "{none}");
    assert!(all(scene.dir.path()) == before);
}

#[test]
fn backups_that_are_too_many_are_named_before_they_go() {
    let scene = Scene::new();
    fs::copy(fm_fixtures::path(VARS), scene.path("VARS.fd")).unwrap();
    for value in ["0100", "0200", "0300"] {
        scene.done(&[
            "vars", "set", "VARS.fd", "Timeout", "--guid", "global", "--hex", value,
        ]);
    }
    let done = scene.verb(&["vars", "backups", "VARS.fd", "--keep", "1"]);
    assert_eq!(done["removed"].as_array().unwrap().len(), 1, "{done}");
}

/// A guest that waits before its first instruction, with its firmware in memory.
struct Waiting(Child);

impl Waiting {
    fn start(scene: &Scene) -> Self {
        fs::copy(fm_fixtures::path(CODE), scene.path("code.fd")).unwrap();
        fs::copy(fm_fixtures::path(VARS), scene.path("vars.fd")).unwrap();
        let mut child = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg",
                "-S",
                "-name",
                "dry",
                "-machine",
                "q35",
                "-nodefaults",
            ])
            .args(["-display", "none", "-m", "64", "-qmp", "stdio"])
            .args(["-drive", "if=pflash,unit=0,format=raw,readonly=on,file=code.fd"])
            .args(["-drive", "if=pflash,unit=1,format=raw,file=vars.fd"])
            .current_dir(scene.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It greets before its devices are there; what it answers, it answers when they are.
        let asked = b"{\"execute\": \"qmp_capabilities\"}{\"execute\": \"query-status\"}\n";
        child.stdin.as_mut().unwrap().write_all(asked).unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let status = said
            .lines()
            .map(Result::unwrap)
            .find(|line| line.contains("\"status\""));
        assert!(status.is_some(), "QEMU has ended");
        Self(child)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_firmware_of_a_guest_is_captured_and_harvested_dry_and_then_really() {
    let scene = Scene::new();
    let guest = Waiting::start(&scene);
    let pid = guest.0.id().to_string();
    let captured = scene.verb(&["capture", &pid]);
    assert_eq!(captured["guests"][0]["new"], true, "{captured}");
    let id = captured["guests"][0]["code"]["running_sha256"].as_str().unwrap();
    let shown = scene.done(&["store", "show", id]);
    assert!(shown.stdout.starts_with(b"ovmf\n"), "by its package: {shown:?}");
    fs::remove_dir_all(scene.path("store")).unwrap();
    scene.verb(&["harvest", &pid]);
    let other = fm_formats::Sha256::of(b"other").to_string();
    fs::remove_dir_all(scene.path("store")).unwrap();
    scene.refused(&["harvest", &pid, "--expect", &other]);
}
