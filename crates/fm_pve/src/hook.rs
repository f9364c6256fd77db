//! The hookscript: before an adopted guest starts, its build is put where its `args` say, and a write to its variables that
//! was interrupted is settled.

use std::process::{Command, Stdio};

use fm_store::{Build, Store};
use fm_variables::{Journal, Settled};

use crate::config::VmConfig;
use crate::record::Record;
use crate::{Cluster, Error, Result, args, pins, place, tools, vars_volume};

/// When Proxmox calls a hookscript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before QEMU starts; a failure stops the start.
    PreStart,
    /// Any other: nothing is put in place.
    Other,
}

/// Puts everything in place for the start of guest `id`. `migrated_from` is the node that it comes from. Gives back what
/// was done, a sentence each.
///
/// # Errors
/// If the guest could not start with its own firmware and variables.
pub fn pre_start(
    cluster: &Cluster,
    store: &Store,
    id: u32,
    migrated_from: Option<&str>,
) -> Result<Vec<String>> {
    let mut done = Vec::new();
    // A migration brings the variables along, and the source has the volume open.
    if migrated_from.is_none() {
        done.extend(settle(cluster, store, id)?);
    }
    let node = match migrated_from {
        // The configuration moves to this node when the guest has.
        Some(node) => node.to_owned(),
        None => cluster.node()?,
    };
    let config = match cluster.config_on(&node, id)? {
        Some(config) => config,
        None => cluster.config(id)?,
    };
    let Some(wanted) = config.get("args").and_then(args::build) else {
        return Ok(done);
    };
    match find(store, &wanted) {
        Some(build) => {
            place::build(cluster, id, &build)?;
            done.push(format!("guest {id} starts with build {}", build.id));
            done.extend(kept(store, id, &config));
            return Ok(done);
        }
        None => done.push(format!(
            "build {wanted} of guest {id} is not in the store of this node"
        )),
    }
    let mut why = None;
    if let Some(node) = migrated_from {
        match fetch(cluster, store, node, &wanted) {
            Ok(build) => {
                place::build(cluster, id, &build)?;
                done.push(format!("build {} came from node {node}", build.id));
                done.extend(kept(store, id, &config));
                return Ok(done);
            }
            Err(error) => why = Some(Box::new(error)),
        }
        if let Some(record) = Record::read(cluster, id)?.filter(|record| record.build.starts_with(&wanted)) {
            place::landing(cluster, id, record.code_size_bytes)?;
            done.push(format!(
                "room for {} bytes of firmware is made: the migration brings them",
                record.code_size_bytes
            ));
            return Ok(done);
        }
    }
    Err(Error::NoBuild {
        id,
        build: wanted,
        source: why,
    })
}

/// What the configuration names is pinned; a sentence if that cannot be done, which is no reason not to start.
fn kept(store: &Store, id: u32, config: &VmConfig) -> Option<String> {
    let error = pins::keep(store, id, config).err()?;
    Some(format!(
        "the builds of guest {id} are not pinned: {}",
        fm_remedy::one_line(&error)
    ))
}

/// Finishes or undoes a write to the guest's variables that was interrupted.
fn settle(cluster: &Cluster, store: &Store, id: u32) -> Result<Option<String>> {
    let journal = Journal::in_store(store.path());
    if journal.pending()?.is_empty() {
        return Ok(None);
    }
    let Ok(volume) = vars_volume(cluster, id) else {
        return Ok(None);
    };
    Ok(match journal.settle(&volume.path)? {
        Settled::Nothing => None,
        Settled::Finished { since } => Some(format!(
            "a write of {since} to {} that was interrupted is finished",
            volume.path.display()
        )),
        Settled::Undone { since } => Some(format!(
            "a write of {since} to {} that was interrupted is undone",
            volume.path.display()
        )),
    })
}

fn find(store: &Store, digits: &str) -> Option<Build> {
    store.find(digits).ok()
}

/// A build of another node's store, over the ssh that the nodes of a cluster have among themselves.
fn fetch(cluster: &Cluster, store: &Store, node: &str, digits: &str) -> Result<Build> {
    let address = cluster.address(node).unwrap_or_else(|| node.to_owned());
    let failed = |said: String| Error::Program {
        program: format!("ssh {node}"),
        said,
    };
    let mut ssh = Command::new("ssh");
    ssh.args(["-e", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
        .args(["-o", &format!("HostKeyAlias={node}")]);
    // Where the cluster keeps each node's key by itself, it is in no file that ssh looks into on its own.
    if let Some(path) = cluster.known_hosts(node) {
        ssh.args(["-o", &format!("UserKnownHostsFile={}", path.display())])
            .args(["-o", "GlobalKnownHostsFile=none"]);
    }
    let mut ssh = ssh
        .arg(format!("root@{address}"))
        .args(["flashmoor", "store", "export", digits, "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let complaints = ssh
        .stderr
        .take()
        .map(|pipe| std::thread::spawn(|| tools::one_line(pipe)));
    let imported = match ssh.stdout.take() {
        Some(mut stream) => store.import_stream(&mut stream),
        None => return Err(failed("it has no output".into())),
    };
    // It ends by itself when nobody reads any more.
    let _ = ssh.wait();
    let said = complaints
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    let imported = imported.map_err(|error| match error {
        // Nothing came: the other end says why.
        fm_store::Error::Stream { .. } if !said.is_empty() => failed(said),
        error => error.into(),
    });
    let id = imported?.id;
    store
        .build(&id)?
        .filter(|build| build.id.to_string().starts_with(digits))
        .ok_or_else(|| failed(format!("it sent another build, {id}")))
}

/// Calls the hookscript that the guest had before it was adopted.
///
/// # Errors
/// If it fails, which stops the start in [`Phase::PreStart`].
pub fn run_previous(cluster: &Cluster, id: u32, phase: &str) -> Result<()> {
    let Some(volume) = Record::read(cluster, id)?.and_then(|record| record.hookscript) else {
        return Ok(());
    };
    let path = tools::path(&volume)?;
    let status = Command::new(&path)
        .args([&id.to_string(), phase])
        .status()
        .map_err(|error| Error::Program {
            program: path,
            said: error.to_string(),
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Hookscript { id, volume })
    }
}
