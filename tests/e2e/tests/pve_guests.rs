//! Guests of Proxmox VE: adopted, upgraded under, migrated to a node without their build, and given back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Output};

use fm_e2e::device::Device;
use fm_e2e::pve::Cluster;
use fm_e2e::{document, stderr};
use serde_json::{Value, json};

const CONFIG: &str = "\
agent: 1
args: -smbios 'type=1,serial=a b'
bios: ovmf
efidisk0: lvm:vm-100-disk-0,efitype=4m,pre-enrolled-keys=1,size=4M
hookscript: own:snippets/own.sh
machine: q35
name: web
";

fn done(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

struct Bed {
    cluster: Cluster,
    device: Device,
    old: Vec<u8>,
}

fn bed() -> Bed {
    let old = fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd").to_vec();
    let cluster = Cluster::new(&old);
    let device = Device::new(&fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd"));
    cluster.volume("lvm:vm-100-disk-0", device.path());
    cluster.guest(100, CONFIG);
    let own = "#!/bin/sh\necho \"own $*\" >>\"$BED/calls\"\n";
    cluster.script("shared/snippets/own.sh", own);
    for node in ["a", "b"] {
        done(&cluster.flashmoor(node, &["pve", "install", "--program", program().as_str()]));
    }
    Bed { cluster, device, old }
}

fn program() -> String {
    fm_e2e::flashmoor().get_program().to_str().unwrap().to_owned()
}

/// A guest with its monitor.
struct Running {
    child: Child,
    monitor: BufReader<UnixStream>,
}

impl Running {
    fn start(cluster: &Cluster, node: &str, more: &str) -> Self {
        let line = cluster.command_line(node, 100);
        let mut child = cluster
            .on(node, "sh")
            .args([
                "-c",
                &format!(
                    "exec {} -S {more} -daemonize -pidfile \"$BED/pid-{node}\"",
                    line.trim()
                ),
            ])
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success());
        Self::connect(cluster, node, child)
    }

    fn connect(cluster: &Cluster, node: &str, child: Child) -> Self {
        let socket = cluster.path(&format!("{node}/var/run/qemu-server/100.qmp"));
        let monitor = BufReader::new(UnixStream::connect(socket).unwrap());
        let mut running = Self { child, monitor };
        running.line();
        running.ask(&json!({"execute": "qmp_capabilities"}));
        running
    }

    fn pid(cluster: &Cluster, node: &str) -> u64 {
        fs::read_to_string(cluster.path(&format!("pid-{node}")))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.monitor.read_line(&mut line).unwrap(), 0, "the guest is gone");
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, question: &Value) -> Value {
        self.monitor
            .get_mut()
            .write_all(question.to_string().as_bytes())
            .unwrap();
        loop {
            let line = self.line();
            if line.get("return").is_some() || line.get("error").is_some() {
                return line;
            }
        }
    }

    fn wait_for(&mut self, status: &str) {
        while self.line()["data"]["status"] != status {}
    }

    fn quit(mut self) {
        self.ask(&json!({"execute": "quit"}));
        let _ = self.child.wait();
        // The process is gone when its end of the monitor is.
        let mut line = String::new();
        while self.monitor.read_line(&mut line).is_ok_and(|len| len > 0) {}
    }
}

/// What the guest on this node runs after its next reset.
fn digest_at_reset(cluster: &Cluster, node: &str) -> String {
    match &code_of(cluster, node)["next_reset_sha256"] {
        Value::String(digest) => digest.clone(),
        _ => digest_of_running(cluster, node),
    }
}

fn digest_of_running(cluster: &Cluster, node: &str) -> String {
    code_of(cluster, node)["running_sha256"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn code_of(cluster: &Cluster, node: &str) -> Value {
    let pid = Running::pid(cluster, node);
    let ps = document(&cluster.flashmoor(node, &["ps", "--json"]));
    let guests = ps["guests"].as_array().unwrap();
    let own = guests.iter().find(|one| one["pid"] == pid).unwrap();
    own["code"].clone()
}

#[test]
fn an_adopted_guest_keeps_its_build_through_an_upgrade_and_its_own_hookscript_is_called_on() {
    // What is left out of a pattern is dropped at once, and the device would be gone.
    let Bed {
        cluster,
        old,
        device: _device,
    } = bed();
    let adopted = document(&cluster.flashmoor("a", &["pve", "adopt", "100", "--json"]));
    let build = fm_formats::Sha256::of(&old).to_string();
    assert_eq!(adopted["guests"][0]["build"], build.as_str());
    cluster.upgrade(&fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd"));
    done(&cluster.pre_start("a", 100, None));
    assert!(
        cluster.calls().contains("own 100 pre-start"),
        "{}",
        cluster.calls()
    );
    let guest = Running::start(&cluster, "a", "");
    assert_eq!(digest_of_running(&cluster, "a"), build);
    guest.quit();
    let status = document(&cluster.flashmoor("a", &["pve", "status", "--json"]));
    assert_eq!(status["installed"], true);
    assert_eq!(status["guests"][0]["is_stored"], true);
    assert_eq!(status["guests"][0]["hookscript"], "own:snippets/own.sh");
    assert_eq!(status["guests"][0]["problems"].as_array().unwrap().len(), 0);
    // Given back, it says what it said before, in whatever order.
    done(&cluster.flashmoor("a", &["pve", "unadopt", "100"]));
    let lines = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        lines(&fs::read_to_string(cluster.config(100)).unwrap()),
        lines(CONFIG)
    );
    assert!(
        !cluster.calls().contains("/etc/pve"),
        "nobody but qm set writes configurations"
    );
}

#[test]
fn a_dry_run_says_what_would_be_held_and_let_go_and_changes_nothing() {
    let Bed {
        cluster,
        old,
        device: _device,
    } = bed();
    let run = |words: &[&str]| cluster.flashmoor("a", words);
    // How the programs were called is written down of those that only look as well.
    let state = || {
        let mut files = fm_fixtures::files(&cluster.path(""));
        files.remove(&cluster.path("calls"));
        files
    };
    let script = cluster.path("a/var/lib/vz/snippets/flashmoor");
    fs::remove_file(&script).unwrap();
    let install = ["pve", "install", "--program", &program()];
    let said = run(&[&install[..], &["--dry-run"]].concat());
    assert!(stderr(&said).contains("would be"), "{}", stderr(&said));
    assert!(!script.exists());
    done(&run(&install));
    assert!(script.exists());
    let adopted = fm_e2e::dry_then_real(&["pve", "adopt", "100"], run, state);
    let build = fm_formats::Sha256::of(&old).to_string();
    assert_eq!(adopted["guests"][0]["build"], build.as_str());
    fm_e2e::dry_then_real(&["pve", "unadopt", "--all"], run, state);
    let before = state();
    let refused = run(&["pve", "adopt", "101", "--dry-run"]);
    assert_eq!(stderr(&refused), stderr(&run(&["pve", "adopt", "101"])));
    assert!(!refused.status.success() && state() == before);
}

#[test]
fn a_guest_that_migrates_finds_its_build_by_ssh_or_brings_it_along() {
    // What is left out of a pattern is dropped at once, and the device would be gone.
    let Bed {
        cluster,
        old,
        device: _device,
    } = bed();
    done(&cluster.flashmoor("a", &["pve", "adopt", "100"]));
    let build = fm_formats::Sha256::of(&old).to_string();
    cluster.upgrade(&fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd"));
    done(&cluster.pre_start("a", 100, None));
    let mut source = Running::start(&cluster, "a", "");
    // Node b cannot reach node a: room is made, and the stream brings the bytes.
    fs::write(cluster.path("unreachable"), "").unwrap();
    assert!(
        !cluster.pre_start("b", 100, None).status.success(),
        "a cold start without the build"
    );
    done(&cluster.pre_start("b", 100, Some("a")));
    let socket = cluster.path("migration");
    let mut target = Running::start(&cluster, "b", &format!("-incoming unix:{}", socket.display()));
    source.ask(&json!({"execute": "migrate-set-capabilities",
        "arguments": {"capabilities": [{"capability": "events", "state": true}]}}));
    target.ask(&json!({"execute": "migrate-set-capabilities",
        "arguments": {"capabilities": [{"capability": "events", "state": true}]}}));
    let uri = format!("unix:{}", socket.display());
    let said = source.ask(&json!({"execute": "migrate", "arguments": {"uri": uri}}));
    assert!(said.get("return").is_some(), "{said}");
    source.wait_for("completed");
    assert_eq!(digest_of_running(&cluster, "b"), build);
    // The agent stores what came, in a store that nobody wrote to before. What it says of others' guests is not asked.
    let agent = [
        "agent",
        "--once",
        "--connect",
        "qemu+unix:///system?socket=/nonexistent",
    ];
    let agent = cluster.flashmoor("b", &agent);
    let shown = cluster.flashmoor("b", &["store", "show", &build]);
    assert!(shown.status.success(), "{}{}", stderr(&agent), stderr(&shown));
    source.quit();
    target.quit();
    // The next time node a answers, and sends the build to a node that has it no more.
    fs::remove_file(cluster.path("unreachable")).unwrap();
    fs::remove_dir_all(cluster.path("b/var/lib/flashmoor")).unwrap();
    done(&cluster.pre_start("b", 100, Some("a")));
    let shown = cluster.flashmoor("b", &["store", "show", &build]);
    done(&shown);
    let config = cluster.config(100);
    fs::rename(&config, cluster.path("shared/nodes/b/qemu-server/100.conf")).unwrap();
    done(&cluster.pre_start("b", 100, None));
    let guest = Running::start(&cluster, "b", "");
    assert_eq!(digest_of_running(&cluster, "b"), build);
    guest.quit();
}

#[test]
fn a_snapshot_with_memory_goes_on_with_its_build_although_the_guest_has_another_by_now() {
    let Bed {
        cluster,
        old,
        device: _device,
    } = bed();
    let build = fm_formats::Sha256::of(&old).to_string();
    done(&cluster.flashmoor("a", &["pve", "adopt", "100"]));
    done(&cluster.pre_start("a", 100, None));
    let state = cluster.path("vmstate");
    let mut guest = Running::start(&cluster, "a", "");
    guest.ask(&json!({"execute": "migrate-set-capabilities",
        "arguments": {"capabilities": [{"capability": "events", "state": true}]}}));
    let uri = format!("exec:cat >{}", state.display());
    guest.ask(&json!({"execute": "migrate", "arguments": {"uri": uri}}));
    guest.wait_for("completed");
    guest.quit();
    // The snapshot is a section behind the configuration, as Proxmox writes it.
    let config = fs::read_to_string(cluster.config(100)).unwrap();
    let snapshot = format!("\n[before]\n{config}vmstate: lvm:vm-100-state-before\n");
    fs::write(cluster.config(100), format!("{config}{snapshot}")).unwrap();
    cluster.upgrade(&fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd"));
    done(&cluster.flashmoor("a", &["pve", "unadopt", "100"]));
    done(&cluster.flashmoor("a", &["pve", "adopt", "100"]));
    done(&cluster.pre_start("a", 100, None));
    let guest = Running::start(&cluster, "a", "");
    assert_ne!(digest_of_running(&cluster, "a"), build);
    guest.quit();
    // Nobody runs the old build, and only the snapshot names it.
    done(&cluster.flashmoor("a", &["store", "gc"]));
    fs::write(cluster.config(100), format!("{config}{snapshot}")).unwrap();
    done(&cluster.pre_start("a", 100, None));
    assert!(
        cluster.calls().ends_with("own 100 pre-start\n"),
        "{}",
        cluster.calls()
    );
    let incoming = format!("-incoming 'exec:cat {}'", state.display());
    let mut guest = Running::start(&cluster, "a", &incoming);
    while guest.ask(&json!({"execute": "query-status"}))["return"]["status"] == "inmigrate" {}
    assert_eq!(digest_of_running(&cluster, "a"), build);
    guest.quit();
    // Without the snapshot nothing keeps the build of a guest that is let go.
    fs::write(cluster.config(100), config).unwrap();
    done(&cluster.flashmoor("a", &["pve", "unadopt", "100"]));
    done(&cluster.flashmoor("a", &["store", "gc"]));
    assert!(
        !cluster
            .flashmoor("a", &["store", "show", &build])
            .status
            .success()
    );
}

/// Reads what the guest prints until it says `wanted`.
fn hear(serial: &mut UnixStream, wanted: &str) {
    serial.set_read_timeout(Some(fm_lab::PATIENCE)).unwrap();
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(wanted) {
        let len = serial.read(&mut part).unwrap();
        assert_ne!(len, 0, "the guest is gone");
        heard.extend_from_slice(part.get(..len).unwrap());
    }
}

#[test]
fn a_running_guest_that_is_given_another_build_cold_boots_it_too_and_the_old_one_when_it_is_taken_back() {
    let Bed {
        cluster,
        old,
        device: _device,
    } = bed();
    let old = fm_formats::Sha256::of(&old).to_string();
    let new = fm_fixtures::path("trixie/OVMF_CODE_4M.fd");
    let new_id = fm_formats::Sha256::of(&fs::read(&new).unwrap()).to_string();
    done(&cluster.flashmoor("a", &["pve", "adopt", "100"]));
    done(&cluster.pre_start("a", 100, None));
    let socket = cluster.path("serial");
    let serial = format!("-serial unix:{},server=on,wait=off", socket.display());
    let mut guest = Running::start(&cluster, "a", &serial);
    let mut serial = UnixStream::connect(&socket).unwrap();
    guest.ask(&json!({"execute": "cont"}));
    // Its variables have keys, and its own shell is signed by nobody.
    hear(&mut serial, "No bootable option");
    fs::write(cluster.path("running-100"), "").unwrap();
    let pid = Running::pid(&cluster, "a").to_string();
    let update = |words: &[&str]| {
        let vouched = ["--never-suspends", "--has-booted", "--moves-before-reset"];
        let words = [&["--json", "update", &pid], &vouched[..], words].concat();
        cluster.flashmoor("a", &words)
    };
    // Proxmox's own commands have the monitor as long as they run.
    let busy = update(&["--dry-run", "--to", new.to_str().unwrap()]);
    let busy: Value = serde_json::from_slice(&busy.stdout).unwrap();
    assert_eq!(busy["refusals"][0]["reason"], "no_monitor", "{busy}");
    // It goes on without anybody who listens.
    let Running { child, monitor } = guest;
    drop(monitor);
    let is_held_to = |build: &str| {
        let config = fs::read_to_string(cluster.config(100)).unwrap();
        config.contains(&format!("pflash0=fm-{}", build.get(..28).unwrap()))
    };
    assert!(is_held_to(&old));
    for (words, state, runs) in [
        (&["--to", new.to_str().unwrap()][..], "pending_reset", &new_id),
        (&["--revert"], "reverted", &old),
        (&["--to", new.to_str().unwrap()], "pending_reset", &new_id),
    ] {
        let said = document(&update(words));
        assert_eq!(said["state"], state, "{said}");
        assert_eq!(&digest_at_reset(&cluster, "a"), runs);
        assert!(is_held_to(runs), "{said}");
    }
    Running::connect(&cluster, "a", child).quit();
    fs::remove_file(cluster.path("running-100")).unwrap();
    done(&cluster.pre_start("a", 100, None));
    let guest = Running::start(&cluster, "a", "");
    assert_eq!(digest_of_running(&cluster, "a"), new_id);
    guest.quit();
}

#[test]
fn an_old_machine_type_is_refused_and_left_as_it_is() {
    let Bed {
        cluster,
        device: _device,
        ..
    } = bed();
    let config = CONFIG.replace("machine: q35", "machine: pc-q35-7.2");
    cluster.guest(100, &config);
    let refused = cluster.flashmoor("a", &["pve", "adopt", "100"]);
    assert!(!refused.status.success());
    assert_eq!(fs::read_to_string(cluster.config(100)).unwrap(), config);
    assert!(!cluster.calls().contains("qm set"));
}

#[test]
fn variables_of_a_guest_are_named_by_its_number_and_an_interrupted_write_is_settled_before_it_starts() {
    let Bed { cluster, device, .. } = bed();
    let set = ["vars", "secure-boot", "enroll", "pve:100", "--microsoft", "both"];
    done(&cluster.flashmoor("a", &set));
    let new = device.content(540_672);
    done(&cluster.flashmoor("a", &["vars", "restore", "pve:100"]));
    let old = device.content(540_672);
    assert_ne!(old, new);
    // Killed at the first write to the device: the backup and the intent are there.
    let mut strace = cluster.on("a", "strace");
    let killed = strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-P"])
        .arg(device.path())
        .args(["-e", "inject=pwrite64:signal=SIGKILL:when=1"])
        .arg(program())
        .args(set)
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "{}", stderr(&killed));
    assert_eq!(device.content(540_672), old);
    let status = document(&cluster.flashmoor("a", &["pve", "status", "--json"]));
    assert_eq!(status["guests"][0]["problems"].as_array().unwrap().len(), 1);
    let ps = document(&cluster.flashmoor("a", &["ps", "--json"]));
    let remarks = ps["remarks"].to_string();
    assert!(remarks.contains(device.path().to_str().unwrap()), "{remarks}");
    // Whoever reads it is told as well.
    let list = cluster.flashmoor("a", &["vars", "list", "pve:100"]);
    done(&list);
    assert!(stderr(&list).contains(device.path().to_str().unwrap()));
    done(&cluster.pre_start("a", 100, None));
    assert_eq!(device.content(540_672), new);
    assert!(device.rest_is_untouched(540_672));
}
