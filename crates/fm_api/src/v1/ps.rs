//! `flashmoor/ps/1`: every guest of a host and the firmware it runs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{FindingDocument, Outcome};
use super::firmware::Layout;
use super::fleet::Digest;
use crate::{Schema, document, words};

/// `flashmoor/ps/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ps {
    /// `flashmoor/ps/1`.
    pub schema: Schema<Ps>,
    /// Every QEMU process, ascending by pid.
    pub guests: Vec<PsGuest>,
    /// One line for each process that could not be looked at or only pretends to be a guest.
    pub remarks: Vec<String>,
}

document!(Ps = "flashmoor/ps/1");

impl Ps {
    /// Whether any guest would get other firmware at its next cold boot.
    #[must_use]
    pub fn has_drift(&self) -> bool {
        self.guests
            .iter()
            .any(|guest| guest.code.as_ref().is_some_and(|code| code.drift == Some(true)))
    }

    /// Whether it cannot be told of some guest with firmware in flash.
    #[must_use]
    pub fn has_unknown_drift(&self) -> bool {
        self.unknown_drifts() > 0
    }

    /// Of how many guests with firmware in flash it cannot be told.
    #[must_use]
    pub fn unknown_drifts(&self) -> usize {
        let codes = self.guests.iter().filter_map(|guest| guest.code.as_ref());
        codes.filter(|code| code.drift.is_none()).count()
    }
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PsGuest {
    /// Its process.
    pub pid: u32,
    /// What `-name` says.
    pub name: Option<String>,
    /// What `-uuid` or its SMBIOS says.
    pub uuid: Option<String>,
    /// The version of the QEMU that runs, whatever its file holds by now.
    pub qemu_version: Option<String>,
    /// The machine type's full name, such as `pc-q35-7.2`.
    pub machine: Option<String>,
    /// The target architecture by QEMU's name.
    pub arch: String,
    /// `kvm`, `tcg`, …; absent if only a list of them to try is known.
    pub accel: Option<String>,
    /// Flash unit 0; absent for a guest without firmware in flash.
    pub code: Option<PsCode>,
    /// Its variables.
    pub vars: Option<PsVars>,
    /// ROMs from files: option ROMs of devices, and firmware copies outside flash.
    pub roms: Vec<PsRom>,
    /// Whether it could migrate while it runs; absent unless a destination was named.
    pub migration: Option<PsMigration>,
    /// What could not be seen, and why.
    pub remarks: Vec<String>,
}

/// CODE as it runs and as its file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PsCode {
    /// The path in the guest's mount namespace; absent if it lies in no file.
    pub path: Option<PathBuf>,
    /// `raw`, `qcow2`, …
    pub format: String,
    /// Its length in the guest.
    pub size_bytes: Option<u64>,
    /// Digest of the CODE that the guest has booted with.
    pub running_sha256: Option<Digest>,
    /// Digest of the bytes in the guest's memory, which its next reset runs: another than it has booted with where an
    /// update waits for that.
    pub next_reset_sha256: Option<Digest>,
    /// Digest of what the path holds now: what a cold boot would get.
    pub file_sha256: Option<Digest>,
    /// Whether a cold boot would get something else, or nothing; absent if that is not known.
    pub drift: Option<bool>,
    /// Name and version of the running build, if the store or a catalogue knows it.
    pub build: Option<String>,
}

/// The variable store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PsVars {
    /// The path in the guest's mount namespace; absent if it lies in no file.
    pub path: Option<PathBuf>,
    /// `raw`, `qcow2`, …
    pub format: String,
    /// Its layout; absent if it is none that is known.
    pub layout: Option<Layout>,
    /// What the firmware can write before it must reclaim.
    pub free_bytes: Option<u64>,
    /// What a reclaim would win.
    pub reclaimable_bytes: Option<u64>,
    /// How Secure Boot stands; absent if not known.
    pub secure_boot: Option<SecureBootState>,
}

/// One ROM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PsRom {
    /// The block's name in the migration stream, such as `0000:00:02.0/virtio-net-pci.rom`.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// Digest of its bytes in the guest's memory.
    pub sha256: Option<Digest>,
    /// Name and version of the build that it is, for firmware outside flash (`-bios`).
    pub build: Option<String>,
}

/// What the judge says of a live migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PsMigration {
    /// The firmware that the guest would meet there: the file that its definition names, or else the best.
    pub to: String,
    /// What will come of it.
    pub outcome: Outcome,
    /// What stands against it, the worst first, as `check` says it.
    pub findings: Vec<FindingDocument>,
}

words! {
    /// How Secure Boot stands in a guest.
    SecureBootState {
        /// It is on.
        Enabled = "enabled",
        /// Keys are enrolled, and it is off.
        Disabled = "disabled",
        /// Keys are enrolled, and the build that runs does not use them.
        Unsupported = "unsupported",
        /// No platform key is enrolled.
        Setup = "setup",
    }
}
