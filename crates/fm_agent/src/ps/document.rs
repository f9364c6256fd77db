//! `flashmoor/ps/1`: every guest of a host and the firmware it runs.

use std::path::PathBuf;

use fm_check::FindingDocument;
use schemars::JsonSchema;
use serde::Serialize;

/// The kind and version of the document.
pub(super) const SCHEMA: &str = "flashmoor/ps/1";

/// `flashmoor/ps/1`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Ps {
    /// `flashmoor/ps/1`.
    pub schema: String,
    /// Every QEMU process, ascending by pid.
    pub guests: Vec<PsGuest>,
    /// One line for each process that could not be looked at or only pretends to be a guest.
    pub remarks: Vec<String>,
}

/// One guest.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PsCode {
    /// The path in the guest's mount namespace; absent if it lies in no file.
    pub path: Option<PathBuf>,
    /// `raw`, `qcow2`, …
    pub format: String,
    /// Its length in the guest.
    pub size_bytes: Option<u64>,
    /// Digest of the CODE that the guest has booted with.
    pub running_sha256: Option<String>,
    /// Digest of the bytes in the guest's memory, which its next reset runs: another than it has booted with where an
    /// update waits for that.
    pub next_reset_sha256: Option<String>,
    /// Digest of what the path holds now: what a cold boot would get.
    pub file_sha256: Option<String>,
    /// Whether a cold boot would get something else, or nothing; absent if that is not known.
    pub drift: Option<bool>,
    /// Name and version of the running build, if the store or a catalogue knows it.
    pub build: Option<String>,
}

/// The variable store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PsVars {
    /// The path in the guest's mount namespace; absent if it lies in no file.
    pub path: Option<PathBuf>,
    /// `raw`, `qcow2`, …
    pub format: String,
    /// `2M`, `4M`, `armvirt`, …; absent if it is none that is known.
    pub layout: Option<String>,
    /// What the firmware can write before it must reclaim.
    pub free_bytes: Option<u64>,
    /// What a reclaim would win.
    pub reclaimable_bytes: Option<u64>,
    /// `enabled`; `disabled` with keys enrolled; `unsupported` with keys enrolled that the build which runs
    /// does not use; `setup` without a platform key; absent if not known.
    pub secure_boot: Option<String>,
}

/// One ROM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PsRom {
    /// The block's name in the migration stream, such as `0000:00:02.0/virtio-net-pci.rom`.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// Digest of its bytes in the guest's memory.
    pub sha256: Option<String>,
    /// Name and version of the build that it is, for firmware outside flash (`-bios`).
    pub build: Option<String>,
}

/// What the judge says of a live migration.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PsMigration {
    /// The firmware that the guest would meet there: the file that its definition names, or else the best.
    pub to: String,
    /// `compatible`, `caution`, `unknown` or `incompatible`.
    pub outcome: String,
    /// What stands against it, the worst first, as `check` says it.
    pub findings: Vec<FindingDocument>,
}

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

    pub(super) fn unknown_drifts(&self) -> usize {
        let codes = self.guests.iter().filter_map(|guest| guest.code.as_ref());
        codes.filter(|code| code.drift.is_none()).count()
    }
}
