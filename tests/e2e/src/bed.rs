//! Two libvirt hosts on one machine: each daemon in namespaces of its own, with its own configuration,
//! guests and firmware folder. Both share a network that nothing else is in.
//!
//! What a host's processes see under `/etc/libvirt`, `/var/lib/libvirt`, `/run/libvirt`, `/usr/share/OVMF`
//! and the bed's `store` are folders of the bed. A host ends with everything that runs on it when it is
//! dropped, however the test ends.

mod domain;
mod ours;
mod serial;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fm_fixtures::Patience;
use fm_lab::{PATIENCE, Serial};
use tempfile::TempDir;

use crate::stderr;

pub use domain::{domain, packaged, script_disk};

/// What is bound over which path of the machine, by name of the host's folder.
const PLACES: [(&str, &str); 6] = [
    ("root/etc/libvirt", "/etc/libvirt"),
    ("var", "/var/lib/libvirt"),
    ("log", "/var/log/libvirt"),
    ("run", "/run/libvirt"),
    ("ovmf", "/usr/share/OVMF"),
    ("descriptors", "/usr/share/qemu/firmware"),
];
/// Nothing of the machine is protected from these guests, and nothing needs to be: they only run firmware.
const QEMU_CONF: &str = r#"security_driver = "none"
user = "root"
group = "root"
remember_owner = 0
cgroup_controllers = []
stdio_handler = "file"
namespaces = []
"#;

/// The two hosts.
#[derive(Debug)]
pub struct Bed {
    /// Has bookworm's firmware: 2M and 4M builds.
    pub a: Host,
    /// Has trixie's firmware: 4M builds only.
    pub b: Host,
    _folder: TempDir,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    folder: PathBuf,
    store: PathBuf,
    init: Child,
}

impl Bed {
    /// Both hosts with their daemons running, and no Flashmoor anywhere.
    ///
    /// # Panics
    /// If libvirt cannot run here, with the reason.
    #[must_use]
    pub fn new() -> Self {
        for program in ["libvirtd", "virsh", "unshare", "nsenter", "ip"] {
            let found = Command::new(program).arg("--version").output();
            assert!(
                found.is_ok() || program == "ip",
                "{program} is not installed, and these tests need libvirt: run `make test`, or `scripts/packages test`"
            );
        }
        let folder = tempfile::Builder::new().prefix("fm-bed-").tempdir().unwrap();
        let a = Host::start(&folder.path().join("a"), None);
        let b = Host::start(&folder.path().join("b"), Some(&a));
        for (host, suite) in [(&a, "bookworm"), (&b, "trixie")] {
            host.install_package(suite);
            host.start_libvirtd();
        }
        Self {
            a,
            b,
            _folder: folder,
        }
    }
}

impl Default for Bed {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    fn start(folder: &Path, network_of: Option<&Self>) -> Self {
        let mut script =
            String::from("set -e; mount --make-rprivate /; ip link set lo up; mkdir -p /run/libvirt\n");
        for (name, place) in PLACES {
            fs::create_dir_all(folder.join(name)).unwrap();
            script += &format!("mount --bind {}/{name} {place}\n", folder.display());
        }
        // What libvirt learnt of this machine's QEMU: it looks itself whether that still holds
        // (`qemu_capabilities.c`, `virQEMUCapsIsValid`), and asking QEMU anew takes longer than most tests.
        let cache = crate::programs().join("libvirt-cache");
        fs::create_dir_all(&cache).unwrap();
        script += &format!("mount --bind {} /var/cache/libvirt\n", cache.display());
        // one path on both hosts, as /var/lib/flashmoor would be
        let store = folder.with_file_name("store");
        fs::create_dir_all(&store).unwrap();
        fs::create_dir_all(folder.join("store")).unwrap();
        script += &format!("mount --bind {}/store {}\n", folder.display(), store.display());
        // the first process of a host has to bury the children of others
        script += &format!(
            "touch {}/ready\nwhile :; do sleep 1000 & wait; done\n",
            folder.display()
        );

        let etc = folder.join("root/etc/libvirt");
        fs::create_dir_all(etc.join("qemu")).unwrap();
        let uuid = if network_of.is_none() { "a" } else { "b" }.repeat(12);
        fs::write(
            etc.join("libvirtd.conf"),
            format!("host_uuid = \"00000000-0000-4000-8000-{uuid}\"\nauth_unix_rw = \"none\"\n"),
        )
        .unwrap();
        fs::write(etc.join("qemu.conf"), QEMU_CONF).unwrap();

        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        match network_of {
            Some(other) => command.args(["nsenter", &format!("--net=/proc/{}/ns/net", other.init.id())]),
            None => command.args(["unshare", "--net"]),
        };
        command
            .args([
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
            ])
            .args(["bash", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("init.log")).unwrap());
        let mut host = Self {
            folder: folder.into(),
            store,
            init: command.spawn().unwrap(),
        };
        host.wait_for("its namespaces", |host| {
            host.folder.join("ready").exists().then_some(())
        });
        host
    }

    /// Polls until `look` finds something.
    ///
    /// # Panics
    /// If it never does, or the host dies meanwhile.
    pub fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let mut patience = Patience::new(PATIENCE);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let log = || fs::read_to_string(self.folder.join("init.log")).unwrap_or_default();
            if let Ok(Some(status)) = self.init.try_wait() {
                panic!(
                    "a host ended ({status}); these tests need root and namespaces: {}",
                    log()
                );
            }
            patience.rest(|| format!("{what}: {}", log()));
        }
    }

    /// Puts a suite's firmware in place of whatever was installed, as an upgrade of the package does.
    pub fn install_package(&self, suite: &str) {
        for old in fs::read_dir(self.folder.join("ovmf")).unwrap().flatten() {
            fs::remove_file(old.path()).unwrap();
        }
        let from = fm_fixtures::path(&format!("{suite}/OVMF_CODE_4M.fd"));
        for file in fs::read_dir(from.parent().unwrap()).unwrap().flatten() {
            let name = file.file_name();
            if name.to_string_lossy().starts_with("OVMF_") {
                fs::copy(file.path(), self.folder.join("ovmf").join(&name)).unwrap();
            }
        }
        for alias in ["ms", "snakeoil"] {
            let link = self.folder.join("ovmf").join(format!("OVMF_CODE_4M.{alias}.fd"));
            std::os::unix::fs::symlink("OVMF_CODE_4M.secboot.fd", link).unwrap();
        }
        let descriptors = from.with_file_name("firmware");
        for file in fs::read_dir(descriptors).unwrap().flatten() {
            // libvirt 9.0 gives up at an architecture that it does not know
            if file.file_name().to_string_lossy().contains("x86_64") {
                fs::copy(
                    file.path(),
                    self.folder.join("descriptors").join(file.file_name()),
                )
                .unwrap();
            }
        }
    }

    /// A program on this host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let proc_ns = |name| format!("/proc/{}/ns/{name}", self.init.id());
        command
            .arg(format!("--mount={}", proc_ns("mnt")))
            .arg(format!("--net={}", proc_ns("net")))
            .arg(format!("--pid={}", proc_ns("pid_for_children")))
            .arg("--")
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_libvirtd(&self) {
        let log = fs::File::create(self.folder.join("libvirtd.log")).unwrap();
        let started = self
            .command("libvirtd")
            .args(["--daemon", "--pid-file", "/run/libvirt/libvirtd.pid"])
            .stdout(Stdio::null())
            .stderr(log)
            .status()
            .unwrap();
        let log = || fs::read_to_string(self.folder.join("libvirtd.log")).unwrap_or_default();
        assert!(started.success(), "libvirtd does not start: {}", log());
        let mut patience = Patience::new(PATIENCE);
        while !self.virsh(&["list"]).status.success() {
            patience.rest(|| format!("libvirtd does not answer: {}", log()));
        }
    }

    /// Ends the daemon; guests go on.
    pub fn stop_libvirtd(&self, signal: &str) {
        let pid_file = self.folder.join("run/libvirtd.pid");
        let pid = fs::read_to_string(&pid_file).unwrap();
        let killed = self.command("kill").args([signal, pid.trim()]).status().unwrap();
        assert!(killed.success());
        let gone = || {
            !self
                .command("kill")
                .args(["-0", pid.trim()])
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        };
        let mut patience = Patience::new(PATIENCE);
        while !gone() {
            patience.rest(|| "libvirtd does not end".into());
        }
    }

    /// Has the daemon, which starts anew for it, save guests in that form.
    pub fn save_images_as(&self, form: &str) {
        let conf = format!("{QEMU_CONF}save_image_format = \"{form}\"\n");
        fs::write(self.folder.join("root/etc/libvirt/qemu.conf"), conf).unwrap();
        self.stop_libvirtd("-TERM");
        self.start_libvirtd();
    }

    /// How others connect to this host's daemon.
    #[must_use]
    pub fn uri(&self) -> String {
        format!(
            "qemu+unix:///system?socket={}",
            self.folder.join("run/libvirt-sock").display()
        )
    }

    /// `virsh` on this host.
    #[must_use]
    pub fn virsh(&self, words: &[&str]) -> Output {
        let mut command = self.command("virsh");
        command
            .env("LC_ALL", "C")
            .args(["-q", "-c", &self.uri()])
            .args(words);
        command.output().unwrap()
    }

    /// `virsh`, and what it printed.
    ///
    /// # Panics
    /// If it fails, with its words.
    pub fn ask(&self, words: &[&str]) -> String {
        let output = self.virsh(words);
        assert!(output.status.success(), "virsh {words:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Migrates a running guest to `other`.
    #[must_use]
    pub fn migrate(&self, domain: &str, other: &Self, more: &[&str]) -> Output {
        let uri = other.uri();
        let mut words = vec!["migrate", "--live", "--p2p", domain, &uri, "tcp://127.0.0.1"];
        words.extend(more);
        self.virsh(&words)
    }

    /// The same, and it must work.
    ///
    /// # Panics
    /// If it does not, with libvirt's words.
    pub fn must_migrate(&self, domain: &str, other: &Self, more: &[&str]) {
        let done = self.migrate(domain, other, more);
        let log = |host: &Self| {
            let log = fs::read_to_string(host.folder.join("log/qemu").join(format!("{domain}.log")));
            let lines: Vec<String> = log
                .unwrap_or_default()
                .lines()
                .rev()
                .take(9)
                .map(str::to_owned)
                .collect();
            lines.join("\n")
        };
        let said = stderr(&done);
        assert!(
            done.status.success(),
            "migrating {domain}: {said}\nfrom: {}\nto: {}",
            log(self),
            log(other)
        );
    }

    /// Defines a guest.
    pub fn define(&self, xml: &str) {
        let path = self.folder.join("define.xml");
        fs::write(&path, xml).unwrap();
        self.ask(&["define", path.to_str().unwrap()]);
    }

    /// The serial line of a guest that runs here.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn serial(&self, domain: &str) -> Serial {
        let name = format!("{domain}.serial");
        let connected = Serial::connect(&self.folder.join("var").join(&name)).unwrap();
        let namespace = fs::read_link(format!("/proc/{}/ns/mnt", self.init.id())).unwrap();
        serial::give_room(namespace.to_str().unwrap(), &format!("/var/lib/libvirt/{name}"));
        connected
    }

    /// The same of a guest that boots, once its firmware's shell waits for a command.
    #[must_use]
    pub fn booted_serial(&self, domain: &str) -> Serial {
        let mut serial = self.serial(domain);
        self.boot_to_shell(domain, &mut serial);
        serial
    }

    /// Waits for the end of a guest's boot, in the firmware's shell.
    ///
    /// # Panics
    /// If it ends elsewhere.
    pub fn boot_to_shell(&self, domain: &str, serial: &mut Serial) {
        assert!(serial.boot_once().unwrap(), "{domain} does not start its shell");
    }

    /// Waits until libvirt says that of a guest.
    ///
    /// # Panics
    /// If it never does.
    pub fn wait_for_state(&self, domain: &str, state: &str) {
        let mut patience = Patience::new(PATIENCE);
        while self.ask(&["domstate", domain]).trim() != state {
            patience.rest(|| format!("{domain} does not become {state}"));
        }
    }

    /// A path of this host's `/`: what was bound, or the bed's own.
    #[must_use]
    pub fn path(&self, place: &str) -> PathBuf {
        let inside = Path::new(place);
        for (name, bound) in PLACES {
            if let Ok(rest) = inside.strip_prefix(bound) {
                return self.folder.join(name).join(rest);
            }
        }
        match inside.strip_prefix(&self.store) {
            Ok(rest) => self.folder.join("store").join(rest),
            Err(_) => inside.into(),
        }
    }

    /// The store's folder, as the host's own programs see it.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The folder that is `/` to what `flashmoor libvirt install --root` writes.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The kernel ends everything in the host's process namespace with its first process.
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}
