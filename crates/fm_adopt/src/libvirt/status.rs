//! `libvirt status`: whether guests' firmware follows them on this host, and if not, what is missing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use fm_api::v1::libvirt::{Confinement, LibvirtDaemon, LibvirtDomain, LibvirtHook, LibvirtHost};
use fm_libvirt::{DomainInfo, Virsh};
use fm_remedy::{Action, Remedy};
use fm_store::Store;

use super::confine;
use super::install::{BESIDE_HOOK, FOLDER_HOOK, PLAIN_HOOK, UNIT, calls_ours, has_packaged_unit, is_ours};
use crate::Result;
use crate::agent_lock::serving;

/// Something without which guests' firmware does not follow them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<Remedy>,
}

/// Looks at everything; changes nothing.
///
/// # Errors
/// If the hook's file can't be read.
pub fn status(store: &Store, root: &Path, uri: Option<&str>) -> Result<LibvirtHost> {
    let hook = hook(root)?;
    let since = hook
        .installed
        .then(|| hook.path.metadata().and_then(|file| file.modified()).ok())
        .flatten();
    let daemons = daemons(root, since);
    let confinement = Confinement {
        apparmor: fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.starts_with('Y')),
        apparmor_lines: confine::has_lines(root),
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        store_label: confine::label(store.path()),
    };
    let domains = domains(store, uri).ok();
    Ok(LibvirtHost {
        libvirt: version().map(|(major, minor)| format!("{major}.{minor}")),
        hook,
        daemons,
        unit_installed: root.join(UNIT).exists() || has_packaged_unit(root),
        agent_pid: serving(store),
        confinement,
        domains,
    })
}

/// What is wrong; nothing if guests' firmware follows them.
#[must_use]
pub fn problems(host: &LibvirtHost) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |what: String, remedy| problems.push(Problem { what, remedy });
    let install = |advice| Some(Remedy::new(advice, Action::InstallLibvirtHook));
    if !host.hook.installed {
        add("the hook is not installed".into(), install("install it"));
    }
    for daemon in host.daemons.iter().filter(|daemon| daemon.older_than_hook) {
        add(
            format!(
                "{} (pid {}) started before the hook was there",
                daemon.name, daemon.pid
            ),
            Some("restart it; guests go on".into()),
        );
    }
    if host.agent_pid.is_none() {
        add(
            "the agent does not run: guests arrive all the same, but what they bring is not stored".into(),
            Some(Remedy::new("start it", Action::EnableAgent)),
        );
    }
    if host.confinement.apparmor && !host.confinement.apparmor_lines {
        add(
            "AppArmor is on and its profiles lack our lines".into(),
            install("install them"),
        );
    }
    let label = host.confinement.store_label.as_deref();
    if host.confinement.selinux && !label.is_some_and(|label| label.contains(confine::TYPE)) {
        let label = label.unwrap_or("nothing");
        add(
            format!("SELinux is on and the store is labelled {label}, which guests may not read"),
            install("install the file contexts, which says what to do then"),
        );
    }
    let Some(domains) = &host.domains else {
        add(
            "libvirt does not answer".into(),
            Some("see what `virsh -c qemu:///system list` says".into()),
        );
        return problems;
    };
    for domain in domains
        .iter()
        .filter(|domain| domain.build.is_some() && !domain.stored)
    {
        add(
            format!(
                "the build of domain {} is not stored here: it can leave, but not start again",
                domain.name
            ),
            Some(Remedy::new(
                "import the build",
                Action::ImportBuild {
                    code: None,
                    with_template: false,
                },
            )),
        );
    }
    problems
}

fn hook(root: &Path) -> Result<LibvirtHook> {
    let places: [PathBuf; 2] = [root.join(FOLDER_HOOK), root.join(PLAIN_HOOK)];
    for path in &places {
        if path.exists() && is_ours(path)? {
            return Ok(LibvirtHook {
                path: path.clone(),
                installed: true,
            });
        }
    }
    // One of somebody else's may call ours.
    let [path, plain] = places;
    let beside = root.join(BESIDE_HOOK);
    let installed = beside.exists() && is_ours(&beside)? && calls_ours(&plain)?;
    Ok(LibvirtHook {
        path: if installed { beside } else { path },
        installed,
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

/// The daemons that look for hooks where `root` has them: one in a mount namespace of its own, such as a container's,
/// is not this system's.
fn daemons(root: &Path, hook_since: Option<SystemTime>) -> Vec<LibvirtDaemon> {
    let mut found = Vec::new();
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let name = name.trim();
        if !matches!(name, "libvirtd" | "virtqemud") || !sees(&entry.path(), &root) {
            continue;
        }
        let started = fm_host::Process::open(Path::new("/proc"), pid)
            .ok()
            .and_then(|process| started(&process));
        found.push(LibvirtDaemon {
            name: name.to_owned(),
            pid,
            older_than_hook: is_older(started, hook_since),
        });
    }
    found
}

/// Whether the process of this folder in `/proc` has the same `etc/libvirt` below `root` as we have; where there is
/// none, whether it has the same mounts.
fn sees(process: &Path, root: &Path) -> bool {
    let folder = root.join("etc/libvirt");
    let theirs = process
        .join("root")
        .join(folder.strip_prefix("/").unwrap_or(&folder));
    let id = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    match (id(&folder), id(&theirs)) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (None, None) => {
            let mounts = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
            mounts(process).is_some() && mounts(process) == mounts(Path::new("/proc/self"))
        }
        _ => false,
    }
}

/// When a process started.
fn started(process: &fm_host::Process) -> Option<SystemTime> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime_s: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let tick_ms = 1000 / rustix::param::clock_ticks_per_second().clamp(1, 1000);
    let boot = SystemTime::now().checked_sub(Duration::try_from_secs_f64(uptime_s).ok()?)?;
    boot.checked_add(Duration::from_millis(
        process.start_ticks().saturating_mul(tick_ms),
    ))
}

/// A process's start is known by the uptime, and a file's by the clock on the wall; the two drift apart.
const DRIFT: Duration = Duration::from_secs(2);

/// Whether something that started then is older than the hook.
fn is_older(started: Option<SystemTime>, hook: Option<SystemTime>) -> bool {
    matches!((started, hook), (Some(started), Some(hook)) if started + DRIFT < hook)
}

fn domains(store: &Store, uri: Option<&str>) -> Result<Vec<LibvirtDomain>> {
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

fn domain(store: &Store, info: DomainInfo, xml: &str) -> LibvirtDomain {
    let identity = fm_libvirt::Domain::parse(xml)
        .ok()
        .and_then(|domain| domain.identity);
    let stored = identity
        .as_ref()
        .is_some_and(|ours| store.build(&ours.build).is_ok_and(|build| build.is_some()));
    LibvirtDomain {
        name: info.name,
        uuid: info.uuid,
        running: info.is_running,
        build: identity.map(|ours| ours.build.to_string()),
        stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_restarted_right_after_the_install_knows_the_hook_and_an_older_one_does_not() {
        let hook = SystemTime::now();
        let ms = Duration::from_millis;
        assert!(!is_older(hook.checked_sub(ms(900)), Some(hook)));
        assert!(!is_older(Some(hook + ms(10)), Some(hook)));
        assert!(is_older(hook.checked_sub(ms(10_000)), Some(hook)));
        assert!(!is_older(Some(hook), None));
    }

    #[test]
    fn a_process_with_another_etc_is_not_of_this_system() {
        let folder = tempfile::tempdir().unwrap();
        // What `/proc/PID` shows of a process in another root: its files are others, and so are its mounts.
        let (root, process) = (folder.path().join("here"), folder.path().join("process"));
        let theirs = process.join("root").join(root.strip_prefix("/").unwrap());
        assert!(sees(Path::new("/proc/self"), &root), "neither has the folder");
        fs::create_dir_all(root.join("etc/libvirt")).unwrap();
        assert!(sees(Path::new("/proc/self"), &root));
        assert!(!sees(&process, &root));
        fs::create_dir_all(theirs.join("etc/libvirt")).unwrap();
        assert!(!sees(&process, &root));
    }

    #[test]
    fn a_process_started_when_it_did() {
        let before = SystemTime::now();
        let mut child = Command::new("sleep").arg("9").spawn().unwrap();
        let process = fm_host::Process::open(Path::new("/proc"), child.id()).unwrap();
        let started = started(&process).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let apart = started
            .duration_since(before)
            .unwrap_or_else(|error| error.duration());
        assert!(apart < DRIFT, "{apart:?}");
    }
}
