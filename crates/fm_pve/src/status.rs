//! Every guest of the cluster with UEFI firmware, and whether it follows its guest.

use fm_api::v1::pve::{PveGuest, PveLayout, PveStatus};
use fm_store::Store;
use fm_variables::Journal;

use crate::cluster::Vm;
use crate::config::VmConfig;
use crate::install::VOLUME;
use crate::record::Record;
use crate::{Cluster, Result, args, tools, vars_volume};

/// What there is.
///
/// # Errors
/// If there is no Proxmox VE here.
pub fn status(cluster: &Cluster, store: &Store) -> Result<PveStatus> {
    let node = cluster.node()?;
    let script = tools::path(VOLUME).map(std::path::PathBuf::from);
    let mut status = PveStatus {
        schema: fm_api::Schema::default(),
        installed: script.is_ok_and(|path| path.is_file()),
        guests: Vec::new(),
        remarks: Vec::new(),
        node,
    };
    for vm in cluster.guests()? {
        match cluster.config_on(&vm.node, vm.id) {
            Ok(Some(config)) if config.is_uefi() => {
                let guest = one(cluster, store, &vm, &config, &status.node);
                status.guests.push(guest);
            }
            Ok(_) => {}
            Err(error) => status.remarks.push(fm_remedy::one_line(&error)),
        }
    }
    Ok(status)
}

fn one(cluster: &Cluster, store: &Store, vm: &Vm, config: &VmConfig, own_node: &str) -> PveGuest {
    let disk = config.efi_disk();
    let mut problems = Vec::new();
    let build = config.at_next_start("args").and_then(args::build);
    let is_stored = build.as_deref().is_some_and(|digits| store.find(digits).is_ok());
    let is_here = vm.node == own_node;
    if build.is_some() && config.at_next_start("hookscript") != Some(VOLUME) {
        problems
            .push("its args name a build, and the hookscript that puts it in place is not its own".into());
    }
    if is_here && build.is_some() && !is_stored {
        problems.push("its build is not in the store of this node".into());
    }
    if disk.is_none() {
        problems.push("it has no EFI disk: its variables are new at every start".into());
    }
    if is_here && let Some(since) = interrupted(cluster, store, vm.id) {
        problems.push(format!(
            "a write of {since} to its variables was interrupted; it is finished or undone before the next start"
        ));
    }
    PveGuest {
        vmid: vm.id,
        name: config.get("name").map(str::to_owned),
        node: vm.node.clone(),
        layout: match (config.get("arch"), &disk) {
            (Some("aarch64"), _) => PveLayout::ArmVirt,
            (_, Some(disk)) if disk.is_4m => PveLayout::Size4M,
            _ => PveLayout::Size2M,
        },
        ms_cert: disk.as_ref().and_then(|disk| disk.ms_cert.clone()),
        efi_disk: disk.map(|disk| disk.volume),
        machine: config.at_next_start("machine").map(str::to_owned),
        hookscript: Record::read(cluster, vm.id)
            .ok()
            .flatten()
            // One that is kept for a roll-back is not called now.
            .filter(|_| build.is_some())
            .and_then(|record| record.hookscript),
        build,
        is_stored,
        snapshots_with_memory: config
            .snapshots("vmstate")
            .filter(|(_, state)| state.is_some())
            .map(|(name, _)| name.to_owned())
            .collect(),
        problems,
    }
}

fn interrupted(cluster: &Cluster, store: &Store, id: u32) -> Option<String> {
    let journal = Journal::in_store(store.path());
    if journal.pending().ok()?.is_empty() {
        return None;
    }
    let volume = vars_volume(cluster, id).ok()?;
    let found = journal.pending_at(&volume.path).ok()??;
    Some(found.since)
}
