//! `flashmoor/diff/1`: what changed between two firmware builds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::Build;
use super::inspect::FileType;
use crate::{Schema, document, words};

/// The difference between two builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffDocument {
    /// `flashmoor/diff/1`.
    pub schema: Schema<DiffDocument>,
    /// The build before.
    pub from: DiffedBuild,
    /// The build after.
    pub to: DiffedBuild,
    /// Whether the two are the same, byte for byte.
    pub identical: bool,
    /// Facts that differ: kind, format, size, architecture, CPU mode, platform, layout.
    pub facts: Vec<DiffFact>,
    /// Features that only the build after has.
    pub features_gained: Vec<String>,
    /// Features that only the build before has.
    pub features_lost: Vec<String>,
    /// Whether the volumes that PCR 0 measures are the same.
    pub measured: Measured,
    /// Volumes that PCR 0 measures and whose content differs: sealed secrets may not open any more.
    pub measured_changed: Vec<String>,
    /// Technologies whose launch measurement changes, because it covers the bytes of the firmware.
    pub launch_measurement_changed: Vec<String>,
    /// Technologies whose memory ranges in the reset-vector table differ.
    pub ranges_changed: Vec<String>,
    /// How full the volumes are, before and after.
    pub volumes: Vec<DiffVolume>,
    /// Damage in one of the two. What could not be read of it counts as removed or lost.
    pub damage: Vec<DiffDamage>,
    /// Modules that only the build after has.
    pub added: Vec<DiffModule>,
    /// Modules that only the build before has.
    pub removed: Vec<DiffModule>,
    /// Modules with other content.
    pub changed: Vec<DiffModule>,
    /// Modules with the same content in another volume.
    pub moved: Vec<DiffModule>,
    /// How many modules are the same in the same place.
    pub unchanged: usize,
}

document!(DiffDocument = "flashmoor/diff/1");

/// One of the two builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffedBuild {
    /// Its file.
    pub path: String,
    /// Its digest.
    pub sha256: Option<String>,
    /// Its name.
    pub build: Build,
}

/// A fact with two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffFact {
    /// Which.
    pub fact: String,
    /// In the build before; absent if it is unknown there.
    pub from: Option<String>,
    /// In the build after.
    pub to: Option<String>,
}

/// A volume's size and use in both builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffVolume {
    /// Its name, or its GUID.
    pub name: String,
    /// Its size before; absent if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_bytes: Option<u64>,
    /// How much of it was in use; absent of variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_used_bytes: Option<u64>,
    /// Its size after; absent if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_bytes: Option<u64>,
    /// How much of it is in use; absent of variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_used_bytes: Option<u64>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffDamage {
    /// In which of the two.
    pub side: DiffSide,
    /// What, with its offset.
    pub message: String,
}

/// A module that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DiffModule {
    /// Its name as a GUID.
    pub guid: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FileType,
    /// When it runs.
    pub phase: BootPhase,
    /// Its digest before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_sha256: Option<String>,
    /// Its digest after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_sha256: Option<String>,
    /// Its size before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_bytes: Option<u64>,
    /// Its size after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_bytes: Option<u64>,
}

words! {
    /// One of the two builds.
    DiffSide {
        /// The build before.
        From = "from",
        /// The build after.
        To = "to",
    }
}

words! {
    /// Whether what PCR 0 measures differs.
    Measured {
        /// It is the same.
        Same = "same",
        /// It differs.
        Changed = "changed",
        /// Neither build measures any volume.
        None = "none",
        /// Nothing tells which ones the firmware measures.
        Unknown = "unknown",
    }
}

words! {
    /// The phase of the boot that a module runs in.
    BootPhase {
        /// Security.
        Sec = "SEC",
        /// Pre-EFI initialisation.
        Pei = "PEI",
        /// Drivers.
        Dxe = "DXE",
        /// Management mode.
        Mm = "MM",
        /// Behind the boot manager.
        Application = "application",
        /// It holds volumes.
        Container = "container",
        /// It does not run.
        Data = "data",
    }
}
