//! A guest as Incus starts it: CODE and VARS are descriptors that QEMU inherits, named in the file of `-readconfig`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use fm_e2e::{document, flashmoor};

#[test]
fn flash_that_a_guest_inherited_is_found_through_its_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let code = fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd");
    fs::write(path("code.fd"), &code).unwrap();
    fs::write(path("vars.fd"), fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd")).unwrap();
    let config = "\
[machine]\ntype = \"q35\"\naccel = \"tcg\"\n
[drive]\nfile = \"/dev/fd/7\"\nif = \"pflash\"\nformat = \"raw\"\nunit = \"0\"\nreadonly = \"on\"\n
[drive]\nfile = \"/dev/fd/8\"\nif = \"pflash\"\nformat = \"raw\"\nunit = \"1\"\n";
    fs::write(path("qemu.conf"), config).unwrap();
    let mut guest = Command::new("sh")
        .arg("-c")
        .arg(
            "exec 7<code.fd 8<>vars.fd; exec qemu-system-x86_64 -S -name incus -nodefaults -display none -m 64 \
             -readconfig qemu.conf -qmp stdio",
        )
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut said = BufReader::new(guest.stdout.take().unwrap());
    said.read_line(&mut greeting).unwrap();
    let ps = document(&flashmoor().args(["ps", "--json"]).output().unwrap());
    let pid = guest.id();
    guest.kill().unwrap();
    guest.wait().unwrap();
    assert!(greeting.contains("QMP"), "{greeting}");
    let guests = ps["guests"].as_array().unwrap();
    let own = guests.iter().find(|one| one["pid"] == pid).unwrap();
    assert_eq!(own["code"]["path"], path("code.fd").to_str().unwrap(), "{own}");
    assert_eq!(own["vars"]["path"], path("vars.fd").to_str().unwrap(), "{own}");
    assert_eq!(
        own["code"]["running_sha256"],
        fm_formats::Sha256::of(&code).to_string()
    );
    assert_eq!(own["code"]["drift"], false, "{own}");
}

/// `incus`, as far as it is asked: one instance, whose settings are in a file.
const INCUS: &str = r#"#!/usr/bin/env python3
import json, os, sys
path = os.path.join(os.environ["BED"], "instance.json")
instance = json.load(open(path))
words = sys.argv[1:]
if words[0] == "query":
    address = words[1]
    if "/instances/web" not in address or not address.endswith("?project=default"):
        sys.exit("Error: Instance not found")
    print(json.dumps(instance["state"] if "/state?" in address else instance))
elif words[:2] == ["config", "set"]:
    key, value = words[3].split("=", 1)
    instance["config"][key] = value
elif words[:2] == ["config", "unset"]:
    instance["config"].pop(words[3], None)
else:
    sys.exit("Error: what?")
json.dump(instance, open(path, "w"))
"#;

/// What Incus does with `raw.qemu.conf` before it writes QEMU's file, for settings of the first drive.
const OVERRIDE: &str = r#"
import json, os, re, sys
bed = os.environ["BED"]
conf = json.load(open(bed + "/instance.json"))["config"].get("raw.qemu.conf", "")
text = open(bed + "/template.conf").read()
inside = False
for line in conf.splitlines():
    if line.startswith("["):
        inside = line in ("[drive]", "[drive][0]")
    elif inside and line.startswith("file"):
        text = re.sub(r'file = ".*"', line.strip(), text, count=1)
open(bed + "/qemu.conf", "w").write(text)
"#;

/// One instance of Incus's.
struct Instance {
    folder: tempfile::TempDir,
    qemu: Option<std::process::Child>,
}

impl Instance {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let instance = Self { folder, qemu: None };
        let path = |name: &str| instance.path(name);
        fs::create_dir(path("bin")).unwrap();
        fs::write(path("bin/incus"), INCUS).unwrap();
        fs::set_permissions(path("bin/incus"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("override.py"), OVERRIDE).unwrap();
        fs::write(path("CODE.fd"), fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd")).unwrap();
        fs::write(path("qemu.nvram"), fm_fixtures::bytes("bookworm/OVMF_VARS_4M.fd")).unwrap();
        let template = format!(
            "[machine]\ntype = \"q35\"\naccel = \"tcg\"\n\n\
             # Firmware (read only)\n[drive]\nfile = \"{}\"\nif = \"pflash\"\nformat = \"raw\"\nunit = \"0\"\nreadonly = \"on\"\n\n\
             # Firmware settings (writable)\n[drive]\nfile = \"/dev/fd/8\"\nif = \"pflash\"\nformat = \"raw\"\nunit = \"1\"\n",
            path("CODE.fd").display()
        );
        fs::write(path("template.conf"), template).unwrap();
        instance.set(&serde_json::json!({
            "type": "virtual-machine", "status": "Stopped", "config": {"raw.apparmor": "/srv/** r,"}, "state": {"pid": 0},
        }));
        instance
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn get(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path("instance.json")).unwrap()).unwrap()
    }

    fn set(&self, instance: &serde_json::Value) {
        fs::write(self.path("instance.json"), instance.to_string()).unwrap();
    }

    fn start(&mut self) {
        let made = Command::new("python3")
            .arg(self.path("override.py"))
            .env("BED", self.path(""))
            .status()
            .unwrap();
        assert!(made.success());
        let mut qemu = Command::new("sh")
            .arg("-c")
            .arg(
                "exec 8<>qemu.nvram; exec qemu-system-x86_64 -S -name web -nodefaults -display none -m 64 -readconfig \
                 qemu.conf -qmp stdio",
            )
            .current_dir(self.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It greets before its devices are there; what it answers, it answers when they are.
        let asked = b"{\"execute\": \"qmp_capabilities\"}{\"execute\": \"query-status\"}\n";
        std::io::Write::write_all(qemu.stdin.as_mut().unwrap(), asked).unwrap();
        let said = BufReader::new(qemu.stdout.take().unwrap());
        let status = said
            .lines()
            .map(Result::unwrap)
            .find(|line| line.contains("\"status\""));
        assert!(status.is_some(), "QEMU has ended");
        let mut instance = self.get();
        instance["status"] = "Running".into();
        instance["state"]["pid"] = qemu.id().into();
        self.set(&instance);
        self.qemu = Some(qemu);
    }

    fn stop(&mut self) {
        if let Some(mut qemu) = self.qemu.take() {
            qemu.kill().unwrap();
            qemu.wait().unwrap();
        }
        let mut instance = self.get();
        instance["status"] = "Stopped".into();
        instance["state"]["pid"] = 0.into();
        self.set(&instance);
    }

    fn flashmoor(&self, words: &[&str]) -> std::process::Output {
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = flashmoor();
        command.arg("--store").arg(self.path("store")).args(words);
        command
            .env("PATH", path)
            .env("BED", self.path(""))
            .output()
            .unwrap()
    }

    /// Whether a build is kept for it.
    fn is_held(&self, build: &str) -> bool {
        let shown = document(&self.flashmoor(&["store", "show", build, "--json"]));
        let pins = shown["build"]["pins"].as_array().unwrap();
        pins.iter()
            .any(|pin| pin == "incus instance web of project default")
    }

    /// The digest of the CODE that it runs, and its file.
    fn runs(&self) -> (String, String) {
        let ps = document(&self.flashmoor(&["ps", "--json"]));
        let pid = self.qemu.as_ref().unwrap().id();
        let guests = ps["guests"].as_array().unwrap();
        let own = guests.iter().find(|one| one["pid"] == pid).unwrap();
        let text = |name: &str| own["code"][name].as_str().unwrap().to_owned();
        (text("running_sha256"), text("path"))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn an_adopted_instance_starts_from_the_build_that_it_ran_and_gets_its_settings_back() {
    let mut instance = Instance::new();
    let before = instance.get()["config"].clone();
    let refused = instance.flashmoor(&["incus", "adopt", "web"]);
    assert!(
        fm_e2e::stderr(&refused).contains("does not run"),
        "{}",
        fm_e2e::stderr(&refused)
    );
    instance.start();
    let (old, _) = instance.runs();
    let adopted = document(&instance.flashmoor(&["incus", "adopt", "web", "--json"]));
    assert_eq!(adopted["build"], old.as_str());
    let config = instance.get()["config"].clone();
    let conf = config["raw.qemu.conf"].as_str().unwrap();
    assert_eq!(
        conf,
        format!("[drive][0]\nfile = \"{}\"\n", adopted["code"].as_str().unwrap())
    );
    let rules = config["raw.apparmor"].as_str().unwrap();
    assert_eq!(
        rules,
        format!("/srv/** r,\n{}/builds/** r,", instance.path("store").display())
    );

    // The package is upgraded, and the instance started again.
    instance.stop();
    fs::write(
        instance.path("CODE.fd"),
        fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd"),
    )
    .unwrap();
    instance.start();
    assert_eq!(
        instance.runs(),
        (old.clone(), adopted["code"].as_str().unwrap().to_owned())
    );
    assert!(instance.is_held(&old));

    let done = document(&instance.flashmoor(&["incus", "unadopt", "web", "--json"]));
    assert_eq!(done["build"], serde_json::Value::Null);
    assert_eq!(instance.get()["config"], before);
    assert!(!instance.is_held(&old));
    instance.stop();
    instance.start();
    assert_ne!(instance.runs().0, old);
}

#[test]
fn a_dry_run_says_what_would_be_held_and_let_go_and_changes_nothing() {
    let mut instance = Instance::new();
    instance.start();
    let run = |words: &[&str]| instance.flashmoor(words);
    let state = || {
        let store = instance.path("store");
        let files = store.exists().then(|| fm_fixtures::files(&store));
        (instance.get(), files)
    };
    let (old, _) = instance.runs();
    let adopted = fm_e2e::dry_then_real(&["incus", "adopt", "web"], run, state);
    assert_eq!(adopted["build"], old.as_str());
    fm_e2e::dry_then_real(&["incus", "unadopt", "web"], run, state);
    instance.stop();
    let before = instance.get();
    let refused = instance.flashmoor(&["incus", "adopt", "web", "--dry-run"]);
    assert!(
        fm_e2e::stderr(&refused).contains("does not run"),
        "{}",
        fm_e2e::stderr(&refused)
    );
    assert_eq!(instance.get(), before);
}

#[test]
fn who_has_firmware_of_his_own_or_none_is_left_as_he_is() {
    let mut instance = Instance::new();
    instance.start();
    let mut own = instance.get();
    own["config"]["raw.qemu.conf"] = "[drive][0]\nfile = \"/srv/own.fd\"\n".into();
    instance.set(&own);
    let refused = instance.flashmoor(&["incus", "adopt", "web"]);
    assert!(
        fm_e2e::stderr(&refused).contains("/srv/own.fd"),
        "{}",
        fm_e2e::stderr(&refused)
    );
    assert_eq!(instance.get(), own);
    own["type"] = "container".into();
    instance.set(&own);
    assert_eq!(
        instance.flashmoor(&["incus", "adopt", "web"]).status.code(),
        Some(2)
    );
    assert_eq!(instance.get(), own);
    for odd in ["web?x", "../web", ""] {
        assert_eq!(
            instance.flashmoor(&["incus", "adopt", odd]).status.code(),
            Some(2),
            "{odd}"
        );
    }
}
