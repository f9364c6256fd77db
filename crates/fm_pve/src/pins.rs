//! Keeps the builds that a guest's configuration and its snapshots name, for as long as they do.

use std::collections::BTreeSet;

use fm_store::Store;

use crate::config::VmConfig;
use crate::{Cluster, Result, args};

/// Why a build is kept.
pub(crate) fn reason(id: u32) -> String {
    format!("Proxmox guest {id}")
}

/// Pins in this node's store what guest `id` may start with, next or after a roll-back, and lets go what it may not any
/// more; nothing of a guest that is on another node by now.
///
/// # Errors
/// If the configuration or the store cannot be read, or the store is busy.
pub fn keep_builds(cluster: &Cluster, store: &Store, id: u32) -> Result<()> {
    match cluster.config_on(&cluster.node()?, id)? {
        Some(config) => keep(store, id, &config),
        None => Ok(()),
    }
}

/// The same of this configuration.
pub(crate) fn keep(store: &Store, id: u32, config: &VmConfig) -> Result<()> {
    let (wanted, reason) = (wanted(config), reason(id));
    let (builds, _) = store.readable_builds()?;
    for build in builds {
        let digits = build.id.to_string();
        let is_wanted = wanted.iter().any(|first| digits.starts_with(first));
        match (is_wanted, build.pins.contains(&reason)) {
            (true, false) => drop(store.pin(&build.id, &reason)?),
            (false, true) => drop(store.unpin(&build.id, Some(&reason))?),
            _ => {}
        }
    }
    Ok(())
}

/// The first digits of the builds that a configuration names.
fn wanted(config: &VmConfig) -> BTreeSet<String> {
    let snapshots = config.snapshots("args").filter_map(|(_, args)| args);
    config
        .at_next_start("args")
        .into_iter()
        .chain(snapshots)
        .filter_map(args::build)
        .collect()
}
