//! The guard on a real transaction of dnf and rpm, while a guest runs from a package's file.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use fm_lab::{Arch, Guest, Machine};
use tempfile::TempDir;

const OLD: &str = "bookworm/OVMF_CODE_4M.fd";
const NEW: &str = "trixie/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
const INSTALLED: &str = "root/usr/share/edk2/ovmf/OVMF_CODE_4M.fd";
const PYTHON: &str = "root/usr/lib/python3/dist-packages";

/// A root of its own for dnf, with a repository that has two versions of one package.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        // where dnf's own modules would be, if it were installed in there
        fs::create_dir_all(scene.path(PYTHON).join("dnf")).unwrap();
        fs::create_dir_all(scene.path(PYTHON).join("dnf-plugins")).unwrap();
        fs::create_dir_all(scene.path("log")).unwrap();
        for (version, image) in [("1", OLD), ("2", NEW)] {
            scene.package(version, image);
        }
        run(Command::new("createrepo_c").arg(scene.path("repo")));
        scene.dnf(&["install", "edk2-ovmf-1"]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Builds a package around a real image.
    fn package(&self, version: &str, image: &str) {
        let spec = self.path("edk2-ovmf.spec");
        let text = format!(
            "Name: edk2-ovmf\nVersion: {version}\nRelease: 1\nSummary: firmware\nLicense: BSD\nBuildArch: noarch\n\
             %description\nfirmware\n%install\ninstall -D -m 644 {} %{{buildroot}}/usr/share/edk2/ovmf/OVMF_CODE_4M.fd\n\
             %files\n/usr/share/edk2/ovmf/OVMF_CODE_4M.fd\n",
            fm_fixtures::path(image).display()
        );
        fs::write(&spec, text).unwrap();
        let top = self.path("build");
        run(Command::new("rpmbuild")
            .arg("-bb")
            .args(["--define", &format!("_topdir {}", top.display())])
            .args(["--define", &format!("_rpmdir {}", self.path("repo").display())])
            .args(["--define", "_binary_payload w0.gzdio"])
            .arg(&spec));
    }

    fn dnf_output(&self, words: &[&str]) -> Output {
        let mut command = Command::new("dnf");
        command
            .args(["--assumeyes", "--nogpgcheck", "--setopt=reposdir=/nowhere"])
            .args(["--setopt=module_platform_id=platform:none", "--releasever=1"])
            .arg(format!("--installroot={}", self.path("root").display()))
            .arg(format!("--repofrompath=here,{}", self.path("repo").display()))
            .arg("--repo=here")
            .arg(format!("--setopt=cachedir={}", self.path("cache").display()))
            .arg(format!("--setopt=logdir={}", self.path("log").display()))
            .arg(format!(
                "--setopt=pluginpath={}",
                self.path(PYTHON).join("dnf-plugins").display()
            ))
            .args(words)
            .env("LC_ALL", "C")
            .env("HOME", self.dir.path())
            .stdin(Stdio::null());
        command
            .output()
            .unwrap_or_else(|error| panic!("dnf is needed here: {error}"))
    }

    /// Runs dnf to its good end; what it and its plugins said.
    fn dnf(&self, words: &[&str]) -> String {
        let output = self.dnf_output(words);
        let said = text(&output);
        assert!(output.status.success(), "dnf {words:?}: {said}");
        said
    }

    fn guard(&self, words: &[&str]) {
        run(Command::new(env!("CARGO_BIN_EXE_flashmoor"))
            .args(["guard", "install", "--dnf", "--root"])
            .arg(self.path("root"))
            .args(words)
            .arg("--store")
            .arg(self.path("store")));
    }

    fn start(&self, name: &str) -> Guest {
        let vars = self.path("guest.vars");
        fs::copy(fm_fixtures::path(VARS), &vars).unwrap();
        let machine = Machine {
            stopped: true,
            memory_mib: 64,
            ..Machine::new(Arch::X86_64, &self.path(INSTALLED), &vars)
        };
        Guest::start(&machine.named(name), &self.path("guest")).unwrap()
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

#[test]
fn an_upgrade_by_dnf_captures_what_the_guest_uses_and_says_what_a_cold_boot_means() {
    let scene = Scene::new();
    scene.guard(&[]);
    let name = format!("on-dnf-{}", std::process::id());
    let guest = scene.start(&name);

    let said = scene.dnf(&["upgrade"]);
    assert!(scene.installed() == fm_fixtures::bytes(NEW), "{said}");
    assert!(
        said.contains(&format!("captured the firmware of guest {name}")),
        "{said}"
    );
    assert!(
        said.contains(&format!(
            "guest {name} (pid {}) runs on firmware that",
            guest.pid()
        )),
        "{said}"
    );
    assert!(said.contains("cold boot: caution"), "{said}");
    let old = fm_formats::Sha256::of(&fm_fixtures::bytes(OLD));
    let stored = scene.path(&format!("store/builds/sha256-{old}/CODE.fd"));
    assert!(fs::read(stored).unwrap() == fm_fixtures::bytes(OLD));
}

#[test]
fn a_failure_of_ours_never_stops_dnf_unless_it_was_told_to() {
    let scene = Scene::new();
    let _guest = scene.start(&format!("unlucky-dnf-{}", std::process::id()));
    fs::write(scene.path("store"), "no folder").unwrap();
    scene.guard(&["--block"]);
    let output = scene.dnf_output(&["upgrade"]);
    assert!(!output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("could not be captured"),
        "{}",
        text(&output)
    );
    assert!(scene.installed() == fm_fixtures::bytes(OLD));

    scene.guard(&[]);
    let said = scene.dnf(&["upgrade"]);
    assert!(said.contains("nothing is captured"), "{said}");
    assert!(scene.installed() == fm_fixtures::bytes(NEW));

    // With the program gone, too.
    let plugin = scene.path(PYTHON).join("dnf-plugins/flashmoor.py");
    let text = fs::read_to_string(&plugin).unwrap();
    fs::write(
        &plugin,
        text.replace(env!("CARGO_BIN_EXE_flashmoor"), "/nowhere/flashmoor"),
    )
    .unwrap();
    let said = scene.dnf(&["downgrade", "edk2-ovmf"]);
    assert!(said.contains("flashmoor: "), "{said}");
    assert!(scene.installed() == fm_fixtures::bytes(OLD));
}
