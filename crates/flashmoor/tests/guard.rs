//! `flashmoor capture` and the guard, on a real upgrade by apt and dpkg while guests run from its files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fm_lab::{Arch, Guest, Machine};
use serde_json::Value;
use tempfile::TempDir;

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
const OLD_2M: &str = "bookworm/OVMF_CODE.fd";
const VARS_2M: &str = "bookworm/OVMF_VARS.fd";
const INSTALLED: &str = "root/usr/share/OVMF/OVMF_CODE_4M.fd";

/// A system of its own for apt and dpkg, with a repository that has Debian's `ovmf` in two versions.
struct Scene {
    dir: TempDir,
    /// What apt is told to install, by version.
    older: String,
    newer: String,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self {
            dir: tempfile::tempdir().unwrap(),
            older: String::new(),
            newer: String::new(),
        };
        for folder in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/log/apt",
        ] {
            fs::create_dir_all(scene.path("root").join(folder)).unwrap();
        }
        let (root, repo) = (scene.path("root"), scene.path("repo"));
        let (root, repo) = (root.display(), repo.display());
        fs::write(scene.path("root/var/lib/dpkg/status"), "").unwrap();
        fs::write(
            scene.path("root/etc/apt/sources.list"),
            format!("deb [trusted=yes] file:{repo} ./\n"),
        )
        .unwrap();
        let config = format!(
            "Dir \"{root}/\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\n\
             DPkg::Options {{ \"--root={root}\"; \"--log={root}/var/log/dpkg.log\"; \"--force-not-root\"; }};\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n"
        );
        fs::write(scene.path("apt.conf"), config).unwrap();
        let (older, newer) = (
            scene.package("bookworm/ovmf.deb"),
            scene.package("trixie/ovmf.deb"),
        );
        fs::write(scene.path("repo/Packages"), older.0 + &newer.0).unwrap();
        (scene.older, scene.newer) = (format!("ovmf={}", older.1), format!("ovmf={}", newer.1));
        scene.apt(&["update"]);
        scene.apt(&["install", &scene.older]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a package of Debian's into the repository, and gives its entry and its version.
    fn package(&self, fixture: &str) -> (String, String) {
        let deb = fm_fixtures::path(fixture);
        let control = Command::new("dpkg-deb")
            .arg("--field")
            .arg(&deb)
            .output()
            .unwrap();
        assert!(control.status.success(), "{}", text(&control));
        let control = String::from_utf8(control.stdout).unwrap();
        let version = control
            .lines()
            .find_map(|line| line.strip_prefix("Version: "))
            .unwrap()
            .to_owned();
        fs::create_dir_all(self.path("repo")).unwrap();
        fs::copy(&deb, self.path(&format!("repo/ovmf_{version}_all.deb"))).unwrap();
        let bytes = fs::read(&deb).unwrap();
        let digest = fm_formats::Sha256::of(&bytes);
        let entry = format!(
            "{}\nFilename: ./ovmf_{version}_all.deb\nSize: {}\nSHA256: {digest}\n\n",
            control.trim_end(),
            bytes.len()
        );
        (entry, version)
    }

    fn apt_output(&self, words: &[&str]) -> Output {
        let mut command = Command::new("apt-get");
        command
            .arg("--yes")
            .args(["--allow-downgrades", "--no-install-recommends"])
            .args(words);
        command
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("apt-get is needed here: {error}"))
    }

    /// Runs apt to its good end; what it and its hooks said.
    fn apt(&self, words: &[&str]) -> String {
        let output = self.apt_output(words);
        let said = text(&output);
        assert!(output.status.success(), "apt-get {words:?}: {said}");
        said
    }

    fn flashmoor(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flashmoor"));
        command
            .args(words)
            .arg("--store")
            .arg(self.path("store"))
            .stdin(Stdio::null());
        command
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.flashmoor(words).arg("--json").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn guard(&self, words: &[&str]) {
        let root = self.path("root");
        run(self
            .flashmoor(&["guard", "install", "--apt"])
            .arg("--root")
            .arg(root)
            .args(words));
    }

    fn start(&self, name: &str, code: &Path) -> Guest {
        self.start_on(name, code, VARS)
    }

    fn start_on(&self, name: &str, code: &Path, template: &str) -> Guest {
        let vars = self.path(&format!("{name}.vars"));
        fs::copy(fm_fixtures::path(template), &vars).unwrap();
        let machine = Machine {
            stopped: true,
            memory_mib: 64,
            ..Machine::new(Arch::X86_64, code, &vars)
        };
        Guest::start(&machine.named(name), &self.path(name)).unwrap()
    }

    fn installed(&self) -> Vec<u8> {
        fs::read(self.path(INSTALLED)).unwrap()
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
}

/// A guest's name that no other test's guest has.
fn name(stem: &str) -> String {
    format!("{stem}-{}", std::process::id())
}

#[test]
fn an_upgrade_captures_what_guests_use_and_tells_which_drift_and_what_that_means() {
    let scene = Scene::new();
    scene.guard(&[]);
    let (inside, outside, dropped) = (name("inside"), name("outside"), name("dropped"));
    let guest = scene.start(&inside, &scene.path(INSTALLED));
    // Debian 13 has no 2M build any more
    let stranded = scene.start_on(&dropped, &scene.path("root/usr/share/OVMF/OVMF_CODE.fd"), VARS_2M);
    let other = scene.start(&outside, &fm_fixtures::path(OLD));

    let said = scene.apt(&["upgrade"]);
    assert_eq!(scene.installed(), fm_fixtures::bytes(NEW));
    assert!(
        said.contains(&format!("captured the firmware of guest {inside}")),
        "{said}"
    );
    assert!(
        said.contains(&format!(
            "guest {inside} (pid {}) runs on firmware that",
            guest.pid()
        )),
        "{said}"
    );
    // what a cold boot means is the judge's word
    assert!(said.contains("cold boot: caution"), "{said}");
    assert!(said.contains("FM-DRIFT the path "), "{said}");
    assert!(!said.contains("FM-FLASH-SIZE"), "{said}");
    assert!(!said.contains(&outside), "{said}");

    let gone = said.split(&format!("guest {dropped} (pid ")).nth(1).unwrap();
    assert!(gone.contains("file now:  gone"), "{gone}");
    assert!(gone.contains("cold boot: incompatible"), "{gone}");
    assert!(gone.contains("FM-FLASH-FILE the CODE file"), "{gone}");

    let list = scene.json(&["store", "list"]);
    for (guest, image) in [(&inside, OLD), (&dropped, OLD_2M)] {
        let pin = Value::from(format!("captured for guest {guest}"));
        let mut builds = list["builds"].as_array().unwrap().iter();
        let build = builds.find(|build| build["pins"][0] == pin).unwrap();
        let stored = fs::read(build["path"].as_str().unwrap()).unwrap();
        assert!(stored == fm_fixtures::bytes(image), "{image}");
    }
    // It stays for the guest's next start, also when nothing runs any more.
    drop((guest, other, stranded));
    assert_eq!(scene.json(&["store", "gc"])["removed"], Value::Array(Vec::new()));
}

#[test]
fn a_removal_that_leaves_a_guest_without_its_file_says_that_a_cold_boot_fails() {
    let scene = Scene::new();
    scene.guard(&[]);
    let _guest = scene.start(&name("stranded"), &scene.path(INSTALLED));
    let said = scene.apt(&["remove", "ovmf"]);
    assert!(!scene.path(INSTALLED).exists());
    assert!(
        said.contains("file now:  gone") && said.contains("cold boot: incompatible"),
        "{said}"
    );
}

#[test]
fn a_failure_of_ours_never_stops_an_upgrade_unless_it_was_told_to() {
    let scene = Scene::new();
    let _guest = scene.start(&name("unlucky"), &scene.path(INSTALLED));
    fs::write(scene.path("store"), "no folder").unwrap();
    scene.guard(&["--block"]);
    let output = scene.apt_output(&["upgrade"]);
    assert!(!output.status.success(), "{}", text(&output));
    assert_eq!(scene.installed(), fm_fixtures::bytes(OLD));

    scene.guard(&[]);
    let said = scene.apt(&["upgrade"]);
    assert!(said.contains("nothing is captured"), "{said}");
    assert_eq!(scene.installed(), fm_fixtures::bytes(NEW));

    // With the program gone, too.
    let hook = scene.path("root/etc/apt/apt.conf.d/50flashmoor");
    let text = fs::read_to_string(&hook).unwrap();
    fs::write(
        &hook,
        text.replace(env!("CARGO_BIN_EXE_flashmoor"), "/nowhere/flashmoor"),
    )
    .unwrap();
    scene.apt(&["install", &scene.older]);
    assert_eq!(scene.installed(), fm_fixtures::bytes(OLD));
}

#[test]
fn an_upgrade_that_was_cut_off_is_told_after_the_next() {
    let scene = Scene::new();
    let [first, second] = ["first", "second"].map(|stem| {
        let code = scene.path(stem);
        fs::write(&code, fm_fixtures::bytes(OLD)).unwrap();
        let guest = scene.start(&name(stem), &code);
        (code, guest)
    });
    let before = |code: &Path| {
        let mut half = scene.flashmoor(&["guard", "before", "--files"]);
        let mut half = half.stdin(Stdio::piped()).spawn().unwrap();
        let mut list = half.stdin.take().unwrap();
        writeln!(list, "{}", code.display()).unwrap();
        drop(list);
        assert!(half.wait().unwrap().success());
    };
    before(&first.0);
    before(&second.0);
    fs::write(&first.0, fm_fixtures::bytes(NEW)).unwrap();
    let told = || {
        let report = scene.json(&["guard", "after"]);
        let guests = report["guests"].as_array().unwrap().iter();
        guests.map(|guest| guest["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(), [name("first")]);
    assert!(told().is_empty(), "told once");
    fs::write(&second.0, fm_fixtures::bytes(NEW)).unwrap();
    assert_eq!(told(), [name("second")]);
}

#[test]
fn an_upgrade_of_other_packages_captures_nothing() {
    let scene = Scene::new();
    let _guest = scene.start(&name("bystander"), &scene.path(INSTALLED));
    fs::remove_file(scene.path("root/var/lib/dpkg/info/ovmf.list")).unwrap();
    fs::write(
        scene.path("root/var/lib/dpkg/info/ovmf.list"),
        "/.\n/usr/share/doc/ovmf\n",
    )
    .unwrap();
    scene.guard(&[]);
    let said = scene.apt(&["install", &scene.newer]);
    assert!(!said.contains("captured"), "{said}");
    assert!(!scene.path("store").exists());
}

#[test]
fn the_hook_ends_within_its_bound_though_its_input_does_not() {
    let scene = Scene::new();
    for (words, status) in [
        (&["guard", "before", "--apt", "--timeout", "1"][..], 0),
        (&["guard", "before", "--apt", "--timeout", "1", "--block"], 1),
    ] {
        let mut hook = scene
            .flashmoor(words)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let endless = hook.stdin.take();
        assert_eq!(hook.wait().unwrap().code(), Some(status), "{words:?}");
        drop(endless);
    }
}

#[test]
fn a_bound_of_nothing_is_refused_and_each_verb_says_what_it_does() {
    let scene = Scene::new();
    for words in [
        &["guard", "before", "--apt", "--timeout", "0"][..],
        &["guard", "install", "--apt", "--timeout", "0"],
    ] {
        let refused = scene.flashmoor(words).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{words:?}: {}", text(&refused));
    }
    let mut help = Command::new(env!("CARGO_BIN_EXE_flashmoor"));
    help.args(["guard", "--help"])
        .env_remove("FLASHMOOR_STORE")
        .env("COLUMNS", "100");
    insta::assert_snapshot!(text(&help.output().unwrap()));
}

#[test]
fn capture_stores_what_the_guest_runs_also_after_its_file_was_replaced() {
    let scene = Scene::new();
    let (first, second) = (name("first"), name("second"));
    let one = scene.start(&first, &scene.path(INSTALLED));
    scene.apt(&["upgrade"]);
    let _two = scene.start(&second, &scene.path(INSTALLED));
    let done = scene.json(&["capture", &first]);
    let guest = &done["guests"][0];
    let old = fm_formats::Sha256::of(&fm_fixtures::bytes(OLD)).to_string();
    let new = fm_formats::Sha256::of(&fm_fixtures::bytes(NEW)).to_string();
    assert_eq!(
        (&guest["pid"], &guest["new"]),
        (&Value::from(one.pid()), &Value::Bool(true))
    );
    assert_eq!(
        (
            guest["code"]["running_sha256"].as_str(),
            guest["code"]["file_sha256"].as_str()
        ),
        (Some(&*old), Some(&*new))
    );
    assert_eq!(guest["code"]["drift"], true);
    assert_eq!(
        fs::read(guest["stored"].as_str().unwrap()).unwrap(),
        fm_fixtures::bytes(OLD)
    );

    // Guests of other tests may be among them, and may end while they are looked at.
    let output = scene.flashmoor(&["capture", "--all", "--json"]).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str| {
        all["guests"]
            .as_array()
            .unwrap()
            .iter()
            .find(|guest| guest["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("{all}"))
    };
    assert_eq!(
        (&of(&first)["new"], &of(&first)["code"]["drift"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
    assert_eq!(
        (
            of(&second)["code"]["running_sha256"].as_str(),
            &of(&second)["code"]["drift"]
        ),
        (Some(&*new), &Value::Bool(false))
    );

    let unknown = scene
        .flashmoor(&["capture", "nobody-of-that-name"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn a_build_is_captured_with_the_template_that_came_with_it_and_with_no_other() {
    let scene = Scene::new();
    let template = |guest: &str| {
        let done = scene.json(&["capture", guest]);
        let id = done["guests"][0]["code"]["running_sha256"]
            .as_str()
            .unwrap()
            .to_owned();
        scene.json(&["store", "show", &id])
    };
    let fresh = name("fresh");
    let _one = scene.start(&fresh, &scene.path(INSTALLED));
    let build = template(&fresh);
    let stored = build["build"]["vars_template"]["path"].as_str();
    let stored = stored.unwrap_or_else(|| panic!("{build:#}"));
    assert!(fs::read(stored).unwrap() == fm_fixtures::bytes(VARS));

    // what lies beside the file after an upgrade belongs to another build
    let stale = name("stale");
    let _two = scene.start_on(
        &stale,
        &scene.path("root/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"),
        VARS,
    );
    scene.apt(&["upgrade"]);
    assert!(template(&stale)["build"]["vars_template"].is_null());
}

#[test]
fn the_firmware_of_an_aarch64_guest_is_captured_whole() {
    let dir = tempfile::tempdir().unwrap();
    let vars = dir.path().join("vars.fd");
    fs::copy(fm_fixtures::path("bookworm/AAVMF_VARS.fd"), &vars).unwrap();
    let code = fm_fixtures::path("bookworm/AAVMF_CODE.fd");
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::Aarch64, &code, &vars)
    };
    let name = name("arm");
    let _guest = Guest::start(&machine.named(&name), &dir.path().join("run")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flashmoor"))
        .args(["capture", &name, "--json", "--store"])
        .arg(dir.path().join("store"))
        .output()
        .unwrap();
    let done: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let stored = done["guests"][0]["stored"].as_str().unwrap();
    assert!(fs::read(stored).unwrap() == fs::read(&code).unwrap());
}
