//! `libvirt status`: whether guests' firmware follows them on this host, and if not, what is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use fm_store::Store;
use schemars::JsonSchema;
use serde::Serialize;

use super::Hook;
use super::install::{APPARMOR, FOLDER_HOOK, PLAIN_HOOK, UNIT, is_ours};
use super::virsh::{Info, Virsh};
use crate::Result;

/// `flashmoor/libvirt-status/1`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Status {
    /// `flashmoor/libvirt-status/1`.
    pub schema: &'static str,
    /// The version of libvirt, if it is installed.
    pub libvirt: Option<String>,
    /// The hook.
    pub hook: Hook,
    /// libvirt's daemons that run.
    pub daemons: Vec<Daemon>,
    /// Whether the agent's unit is installed.
    pub unit_installed: bool,
    /// The agent that serves this store, if one runs.
    pub agent_pid: Option<u32>,
    /// What may forbid QEMU to read the store.
    pub confinement: Confinement,
    /// The domains; nothing if libvirt does not answer.
    pub domains: Option<Vec<StatusDomain>>,
    /// What is wrong, in words; empty if guests' firmware follows them.
    pub problems: Vec<String>,
}

/// A daemon of libvirt's.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Daemon {
    /// `libvirtd` or `virtqemud`.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// Whether it started before the hook was there, and so may not know it.
    pub older_than_hook: bool,
}

/// AppArmor and SELinux.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Confinement {
    /// Whether the kernel enforces AppArmor profiles.
    pub apparmor: bool,
    /// Whether libvirt's profiles have our lines.
    pub apparmor_lines: bool,
    /// Whether SELinux is enabled.
    pub selinux: bool,
}

/// A domain.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StatusDomain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whether it runs.
    pub running: bool,
    /// The build that it is held to, if it is adopted.
    pub build: Option<String>,
    /// Whether that build is in this host's store.
    pub stored: bool,
}

/// Looks at everything; changes nothing.
///
/// # Errors
/// If the hook's file can't be read.
pub fn status(store: &Store, root: &Path, uri: Option<&str>) -> Result<Status> {
    let hook = hook(root)?;
    let changed = hook
        .installed
        .then(|| hook.path.metadata().and_then(|file| file.modified()).ok())
        .flatten();
    let daemons = daemons(changed);
    let confinement = Confinement {
        apparmor: fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.starts_with('Y')),
        apparmor_lines: APPARMOR.iter().all(|place| {
            fs::read_to_string(root.join(place)).is_ok_and(|text| text.contains("flashmoor's lines"))
        }),
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
    };
    let domains = domains(store, uri).ok();
    let mut status = Status {
        schema: "flashmoor/libvirt-status/1",
        libvirt: version().map(|(major, minor)| format!("{major}.{minor}")),
        hook,
        daemons,
        unit_installed: root.join(UNIT).exists(),
        agent_pid: crate::agent::serving(store),
        confinement,
        domains,
        problems: Vec::new(),
    };
    status.problems = problems(&status);
    Ok(status)
}

fn problems(status: &Status) -> Vec<String> {
    let mut problems = Vec::new();
    if !status.hook.installed {
        problems.push("the hook is not installed: `flashmoor libvirt install`".into());
    }
    for daemon in status.daemons.iter().filter(|daemon| daemon.older_than_hook) {
        problems.push(format!(
            "{} (pid {}) started before the hook was there: restart it; guests go on",
            daemon.name, daemon.pid
        ));
    }
    if status.agent_pid.is_none() {
        problems.push(
            "the agent does not run: guests arrive all the same, but what they bring is not stored; \
             `systemctl enable --now flashmoor-agent`"
                .into(),
        );
    }
    if status.confinement.apparmor && !status.confinement.apparmor_lines {
        problems.push("AppArmor is on and its profiles lack our lines: `flashmoor libvirt install`".into());
    }
    match &status.domains {
        None => problems.push("libvirt does not answer: `virsh -c qemu:///system list`".into()),
        Some(domains) => {
            for domain in domains
                .iter()
                .filter(|domain| domain.build.is_some() && !domain.stored)
            {
                problems.push(format!(
                    "the build of domain {} is not stored here: it can leave, but not start again",
                    domain.name
                ));
            }
        }
    }
    problems
}

fn hook(root: &Path) -> Result<Hook> {
    let places: [PathBuf; 2] = [root.join(FOLDER_HOOK), root.join(PLAIN_HOOK)];
    for path in &places {
        if path.exists() && is_ours(path)? {
            return Ok(Hook {
                path: path.clone(),
                installed: true,
            });
        }
    }
    let [path, _] = places;
    Ok(Hook {
        path,
        installed: false,
    })
}

/// libvirt's version, from the daemon's program, which is asked whether it runs or not.
#[must_use]
pub fn version() -> Option<(u32, u32)> {
    ["virtqemud", "libvirtd", "virsh"].iter().find_map(|program| {
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut parts = text.split_whitespace().last()?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

fn daemons(hook_changed: Option<SystemTime>) -> Vec<Daemon> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let name = name.trim();
        if !matches!(name, "libvirtd" | "virtqemud") {
            continue;
        }
        let started = fm_host::Process::open(Path::new("/proc"), pid)
            .ok()
            .and_then(|process| started(&process));
        found.push(Daemon {
            name: name.to_owned(),
            pid,
            older_than_hook: matches!((started, hook_changed), (Some(started), Some(changed)) if started < changed),
        });
    }
    found
}

/// When a process started, to the second.
fn started(process: &fm_host::Process) -> Option<SystemTime> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime_s: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let since_boot_s = process.start_ticks() / rustix::param::clock_ticks_per_second().max(1);
    let boot = SystemTime::now().checked_sub(Duration::try_from_secs_f64(uptime_s).ok()?)?;
    boot.checked_add(Duration::from_secs(since_boot_s))
}

fn domains(store: &Store, uri: Option<&str>) -> Result<Vec<StatusDomain>> {
    let virsh = Virsh::new(uri);
    let mut domains = Vec::new();
    for name in virsh.names()? {
        let info = virsh.info(&name)?;
        let xml = if info.is_running {
            virsh.live(&info.uuid)?
        } else {
            virsh.inactive(&info.uuid)?
        };
        domains.push(domain(store, info, &xml));
    }
    Ok(domains)
}

fn domain(store: &Store, info: Info, xml: &str) -> StatusDomain {
    let identity = fm_libvirt::Domain::parse(xml)
        .ok()
        .and_then(|domain| domain.identity);
    let stored = identity
        .as_ref()
        .is_some_and(|ours| store.build(&ours.build).is_ok_and(|build| build.is_some()));
    StatusDomain {
        name: info.name,
        uuid: info.uuid,
        running: info.is_running,
        build: identity.map(|ours| ours.build.to_string()),
        stored,
    }
}
