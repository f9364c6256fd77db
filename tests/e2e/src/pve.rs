//! Two nodes of a Proxmox cluster on one machine: the directory tree, and `qm`, `pvesm` and `ssh` that do what the test
//! needs of them and write down how they were called.
//!
//! What a node calls `/` is a link that leads to the one or the other, because every node has the same paths.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::flashmoor;

/// The cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
}

/// `qm` and `pvesm`, as far as they are asked: configurations are edited line by line, a volume is a file or a device.
const QM: &str = r#"#!/bin/sh
echo "qm $*" >>"$BED/calls"
verb=$1 id=$2
conf=$(echo "$BED"/shared/nodes/*/qemu-server/"$id".conf)
value() { sed -n "/^\[/q; s/^$1: //p" "$conf"; }
case $verb in
status)
    if [ -e "$BED/running-$id" ]; then echo "status: running"; else echo "status: stopped"; fi ;;
showcmd)
    edk2=$BED/current/usr/share/pve-edk2-firmware
    case $(value efidisk0) in
    *efitype=4m*) code=OVMF_CODE_4M.fd size=540672 ;;
    *) code=OVMF_CODE.fd size=131072 ;;
    esac
    volume=$(value efidisk0 | cut -d, -f1)
    path=$("$BED/bin/pvesm" path "$volume")
    driver=file
    if [ -b "$path" ]; then driver=host_device; fi
    machine=$(value machine)
    printf '%s' "qemu-system-x86_64 -name vm$id,debug-threads=on -no-shutdown"
    printf '%s' " -chardev 'socket,id=qmp,path=$BED/$NODE/var/run/qemu-server/$id.qmp,server=on,wait=off' -mon chardev=qmp,mode=control"
    case $machine in
    *-[1-9].*)
        printf '%s' " -drive 'if=pflash,unit=0,format=raw,readonly=on,file=$edk2//$code'"
        printf '%s' " -drive 'if=pflash,unit=1,id=drive-efidisk0,format=raw,file=$path,size=$size'"
        flash= ;;
    *)
        printf '%s' " -object '{\"id\":\"throttle-drive-efidisk0\",\"limits\":{},\"qom-type\":\"throttle-group\"}'"
        printf '%s' " -blockdev '{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"$edk2//$code\"},\"node-name\":\"pflash0\",\"read-only\":true}'"
        printf '%s' " -blockdev '{\"detect-zeroes\":\"on\",\"discard\":\"ignore\",\"driver\":\"throttle\",\"file\":{\"cache\":{\"direct\":false,\"no-flush\":false},\"driver\":\"raw\",\"file\":{\"driver\":\"$driver\",\"filename\":\"$path\",\"node-name\":\"e1\"},\"node-name\":\"f1\",\"size\":$size},\"node-name\":\"drive-efidisk0\",\"throttle-group\":\"throttle-drive-efidisk0\"}'"
        flash="pflash0=pflash0,pflash1=drive-efidisk0," ;;
    esac
    printf '%s' " -nodefaults -display none -m 128 -machine ${flash}type=${machine:-q35},accel=tcg"
    printf ' %s\n' "$(value args)" ;;
set)
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        --delete) for key in $(echo "$2" | tr , ' '); do sed -i "1,/^\[/{/^$key: /d}" "$conf"; done ;;
        --*)
            key=${1#--}
            sed -i "1,/^\[/{/^$key: /d}" "$conf"
            { printf '%s: %s\n' "$key" "$2"; cat "$conf"; } >"$conf.new"
            mv "$conf.new" "$conf" ;;
        esac
        shift 2
    done ;;
esac
"#;

const PVESM: &str = r#"#!/bin/sh
echo "pvesm $*" >>"$BED/calls"
case $2 in
local:snippets/*) echo "$BED/current/var/lib/vz/snippets/${2#local:snippets/}" ;;
own:snippets/*) echo "$BED/shared/snippets/${2#own:snippets/}" ;;
*) cat "$BED/volumes/$2" 2>/dev/null || { echo "no such volume '$2'" >&2; exit 2; } ;;
esac
"#;

/// The other node answers, unless the test says that it does not.
const SSH: &str = r#"#!/bin/sh
echo "ssh $*" >>"$BED/calls"
if [ -e "$BED/unreachable" ]; then exit 255; fi
while [ "${1#root@}" = "$1" ]; do shift; done
node=${1#root@}
shift 2
exec "$FLASHMOOR" --store "$BED/$node/var/lib/flashmoor" "$@"
"#;

impl Cluster {
    /// With the nodes `a` and `b`, and this firmware on both.
    ///
    /// # Panics
    /// If a file cannot be made.
    #[must_use]
    pub fn new(code: &[u8]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let cluster = Self { folder };
        let shared = cluster.path("shared");
        for sub in ["bin", "volumes", "shared/flashmoor", "shared/snippets"] {
            fs::create_dir_all(cluster.path(sub)).expect("a folder");
        }
        for node in ["a", "b"] {
            let etc = cluster.path(&format!("{node}/etc/pve"));
            fs::create_dir_all(&etc).expect("a folder");
            fs::create_dir_all(shared.join(format!("nodes/{node}/qemu-server"))).expect("a folder");
            fs::create_dir_all(cluster.path(&format!("{node}/var/run/qemu-server"))).expect("a folder");
            symlink(shared.join("nodes"), etc.join("nodes")).expect("a link");
            symlink(shared.join("flashmoor"), etc.join("flashmoor")).expect("a link");
            symlink(format!("nodes/{node}"), etc.join("local")).expect("a link");
        }
        for (name, script) in [("qm", QM), ("pvesm", PVESM), ("ssh", SSH)] {
            cluster.script(&format!("bin/{name}"), script);
        }
        cluster.upgrade(code);
        cluster
    }

    /// A place in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts an executable there.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).expect("a script");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    /// Other firmware under the same names, on both nodes.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn upgrade(&self, code: &[u8]) {
        for node in ["a", "b"] {
            let edk2 = self.path(&format!("{node}/usr/share/pve-edk2-firmware"));
            fs::create_dir_all(&edk2).expect("a folder");
            for name in ["OVMF_CODE_4M.fd", "OVMF_CODE.fd"] {
                let new = edk2.join("new");
                fs::write(&new, code).expect("firmware");
                fs::rename(new, edk2.join(name)).expect("firmware");
            }
        }
    }

    /// A guest on node `a`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn guest(&self, id: u32, config: &str) {
        fs::write(self.config(id), config).expect("a configuration");
    }

    /// The file of a guest's configuration, on whatever node.
    #[must_use]
    pub fn config(&self, id: u32) -> PathBuf {
        let on = |node: &str| self.path(&format!("shared/nodes/{node}/qemu-server/{id}.conf"));
        if on("b").exists() { on("b") } else { on("a") }
    }

    /// A volume that lies at `path`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn volume(&self, name: &str, path: &Path) {
        fs::write(self.path("volumes").join(name), path.to_str().expect("text")).expect("a volume");
    }

    /// How Proxmox's programs and ssh were called so far.
    #[must_use]
    pub fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// A program on a node.
    ///
    /// # Panics
    /// If the link cannot be set.
    #[must_use]
    pub fn on(&self, node: &str, program: &str) -> Command {
        let current = self.path("current");
        let _ = fs::remove_file(&current);
        symlink(node, &current).expect("a link");
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("BED", self.folder.path())
            .env("NODE", node)
            .env("NO_COLOR", "1")
            .env("FLASHMOOR", flashmoor().get_program())
            .env("FLASHMOOR_PVE_ROOT", &current)
            .env("FLASHMOOR_STORE", current.join("var/lib/flashmoor"));
        command
    }

    /// `flashmoor WORDS` on a node.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn flashmoor(&self, node: &str, words: &[&str]) -> Output {
        let program = flashmoor();
        let program = program.get_program().to_str().expect("text");
        self.on(node, program).args(words).output().expect("it runs")
    }

    /// What Proxmox does at a start, up to QEMU: the hookscript. `from` is the node that a migration comes from.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn pre_start(&self, node: &str, id: u32, from: Option<&str>) -> Output {
        let mut hook = self.on(node, "sh");
        hook.arg(self.path("current/var/lib/vz/snippets/flashmoor"))
            .args([&id.to_string(), "pre-start"]);
        if let Some(from) = from {
            hook.env("PVE_MIGRATED_FROM", from);
        }
        hook.output().expect("it runs")
    }

    /// The command line that Proxmox starts a guest with on a node, for a shell.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn command_line(&self, node: &str, id: u32) -> String {
        let output = self.on(node, "qm").args(["showcmd", &id.to_string()]).output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    }
}

/// A guest that a test leaves running, because it fails, ends with its cluster.
impl Drop for Cluster {
    fn drop(&mut self) {
        for node in ["a", "b"] {
            let pid = fs::read_to_string(self.path(&format!("pid-{node}"))).unwrap_or_default();
            let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) else {
                continue;
            };
            // Its number may be another process's by now.
            let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&*self.folder.path().to_string_lossy()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
