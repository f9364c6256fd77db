//! Guests of Proxmox VE and their firmware.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/pve-status/1`: every guest of the cluster with UEFI firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PveStatus {
    /// `flashmoor/pve-status/1`.
    pub schema: Schema<PveStatus>,
    /// This node.
    pub node: String,
    /// Whether the hookscript is in place on this node.
    pub installed: bool,
    /// By number.
    pub guests: Vec<PveGuest>,
    /// What could not be seen, a sentence each.
    pub remarks: Vec<String>,
}

document!(PveStatus = "flashmoor/pve-status/1");

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PveGuest {
    /// Its number.
    pub vmid: u32,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The node that it is on.
    pub node: String,
    /// The volume of its variables; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub efi_disk: Option<String>,
    /// The layout of its firmware.
    pub layout: PveLayout,
    /// Which of Microsoft's certificates Proxmox noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms_cert: Option<String>,
    /// Its machine type, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The first digits of the build that it is held to; absent if it is not adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Whether that build is in the store of this node.
    pub is_stored: bool,
    /// The hookscript that it had before, and that is called on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hookscript: Option<String>,
    /// Snapshots of it that hold memory, and so the firmware of their time.
    pub snapshots_with_memory: Vec<String>,
    /// What stands in the way of its next start, a sentence each.
    pub problems: Vec<String>,
}

/// The layout of a guest's firmware, as Proxmox gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PveLayout {
    /// Of 2 MiB.
    #[serde(rename = "2M")]
    Size2M,
    /// Of 4 MiB.
    #[serde(rename = "4M")]
    Size4M,
    /// Of Arm's `virt` board.
    #[serde(rename = "armvirt")]
    ArmVirt,
}

/// `flashmoor/pve-adopt/1`: guests that were held to their build, or let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PveAdoption {
    /// `flashmoor/pve-adopt/1`.
    pub schema: Schema<PveAdoption>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Those for which it was done.
    pub guests: Vec<PveAdopted>,
    /// Those for which it was not, with the reason.
    pub failures: Vec<PveFailure>,
}

document!(PveAdoption = "flashmoor/pve-adopt/1");

/// A guest that was adopted, or let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PveAdopted {
    /// Its number.
    pub vmid: u32,
    /// The build that it is held to; absent if it is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Its `args` now.
    pub args: String,
    /// Its `hookscript` now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hookscript: Option<String>,
    /// Whether it is so from the next start on, because the guest runs.
    pub from_next_start: bool,
}

/// A guest for which nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PveFailure {
    /// Its number.
    pub vmid: u32,
    /// Why.
    pub why: String,
}
