//! The volume of a guest's variables: where it is on this node, and how much of it is the guest's flash.

use std::path::PathBuf;

use fm_formats::image::Layout;

use crate::{Cluster, Error, Result, tools};

/// Where a guest's variables lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarsVolume {
    /// The file or block device.
    pub path: PathBuf,
    /// How much of it the guest has as flash: Proxmox gives it the length of the template.
    pub size_bytes: u64,
}

/// The variables of a guest of this node.
///
/// # Errors
/// If there is no such guest here, it has no EFI disk, or that is nothing that this node can open.
pub fn vars_volume(cluster: &Cluster, id: u32) -> Result<VarsVolume> {
    let config = cluster.config(id)?;
    let disk = config.efi_disk().ok_or(Error::NoFlash {
        id,
        why: "it has no EFI disk",
    })?;
    let path = if disk.volume.starts_with('/') {
        disk.volume.clone()
    } else {
        tools::path(&disk.volume)?
    };
    if !path.starts_with('/') {
        return Err(Error::NotLocal {
            volume: disk.volume,
            path,
        });
    }
    let is_arm = config.get("arch") == Some("aarch64");
    let layout = match (is_arm, disk.is_4m) {
        (true, _) => Layout::ArmVirt,
        (false, true) => Layout::X86Size4M,
        (false, false) => Layout::X86Size2M,
    };
    Ok(VarsVolume {
        path: path.into(),
        size_bytes: layout.vars_size_bytes(),
    })
}
