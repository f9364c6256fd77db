//! What is read from saved guests, and done with them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document, words};

/// `flashmoor/saved-adopt/1`: what the image uses now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedAdoption {
    /// `flashmoor/saved-adopt/1`.
    pub schema: Schema<SavedAdoption>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The domain's name.
    pub domain: String,
    /// The build that the saved guest runs.
    pub build: String,
    /// CODE before and now.
    pub loader_before: Option<PathBuf>,
    /// CODE now: a path of the store.
    pub loader: PathBuf,
    /// What VARS is made from before, if it is missing at the restore.
    pub template_before: Option<PathBuf>,
    /// The same now.
    pub template: Option<PathBuf>,
    /// The XML as it was; `virsh save-image-define FILE XML` puts it back.
    pub xml_before: PathBuf,
    /// Whether the image was changed; not if it used the stored build already.
    pub changed: bool,
    /// The step that restores the guest.
    pub restore: String,
}

document!(SavedAdoption = "flashmoor/saved-adopt/1");

/// `flashmoor/saved-diff/1`: two saved states, and what is not the same in them. Guest memory and the
/// content of device sections are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedDiff {
    /// `flashmoor/saved-diff/1`.
    pub schema: Schema<SavedDiff>,
    /// Whether everything could be compared and nothing of it differs.
    pub same: bool,
    /// Whether each stream is whole.
    pub complete: SavedPair<bool>,
    /// What could not be compared, because it is not whole or not there in one of them.
    pub unknown: Vec<String>,
    /// The machine types, if they differ.
    pub machine: Option<SavedPair<Option<String>>>,
    /// Page sizes, if they differ.
    pub page_size_bytes: Option<SavedPair<u64>>,
    /// Blocks that only one has, or that differ in length or, for flash and ROM, in content.
    pub blocks: Vec<SavedBlockDiff>,
    /// Variables that only one has, or whose content, attributes or time differ: `NAME-GUID`.
    pub variables: Vec<SavedChange>,
    /// Device sections that only one has, or that differ in version.
    pub devices: Vec<SavedDeviceDiff>,
}

document!(SavedDiff = "flashmoor/saved-diff/1");

/// One value on each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedPair<T> {
    /// In the first file.
    pub a: T,
    /// In the second file.
    pub b: T,
}

/// A block that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedBlockDiff {
    /// Its name.
    pub name: String,
    /// Its length; null where it is not.
    pub size_bytes: SavedPair<Option<u64>>,
    /// Its digest, for flash and ROM.
    pub sha256: SavedPair<Option<String>>,
}

/// A variable that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedChange {
    /// `NAME-GUID`.
    pub name: String,
    /// How it changed, seen from the first file.
    pub change: VariableFate,
}

/// A device section that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedDeviceDiff {
    /// Its name.
    pub name: String,
    /// Which of several.
    pub instance: u32,
    /// Version of its state; null where it is not.
    pub version: SavedPair<Option<u32>>,
}

/// `flashmoor/saved-extract/1`: what was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedExtract {
    /// `flashmoor/saved-extract/1`.
    pub schema: Schema<SavedExtract>,
    /// Whether the stream is whole; every file written is, in any case.
    pub stream_complete: bool,
    /// The files, in the order in which they were asked for.
    pub files: Vec<ExtractedBlock>,
}

document!(SavedExtract = "flashmoor/saved-extract/1");

/// A block that is a file now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtractedBlock {
    /// QEMU's name of the block.
    pub block: String,
    /// The file.
    pub path: PathBuf,
    /// Its length; zeros take no room on disk.
    pub size_bytes: u64,
    /// Its digest; of CODE, the build's id.
    pub sha256: String,
}

/// `flashmoor/saved-restore-plan/1`: what is in place now, and what to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestorePlan {
    /// `flashmoor/saved-restore-plan/1`.
    pub schema: Schema<RestorePlan>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The machine type that the destination must have.
    pub machine: Option<String>,
    /// The build that the saved guest runs: it is in the store now, and pinned.
    pub build: String,
    /// Its CODE file.
    pub code: PathBuf,
    /// The file for flash unit 1, if the guest has one.
    pub vars: Option<PathBuf>,
    /// The guest's memory, which the new QEMU must have as well: the first is what `-m` says, if it is alone.
    pub memory: Vec<PlannedMemory>,
    /// The guest's devices, which the new QEMU must have as well; empty where the stream does not list them.
    pub devices: Vec<PlannedDevice>,
    /// The option ROMs that arrive: the new QEMU's must have these sizes, at these places.
    pub roms: Vec<PlannedRom>,
    /// What to run, in order.
    pub steps: Vec<String>,
}

document!(RestorePlan = "flashmoor/saved-restore-plan/1");

/// A block of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedMemory {
    /// QEMU's name of it: of a memory backend, its id.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
}

/// A device's option ROM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRom {
    /// QEMU's name of the block: where the device is, and what.
    pub block: String,
    /// Its length in the device's memory: that of its file, rounded up to a power of two.
    pub size_bytes: u64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedDevice {
    /// QEMU's name of it: where it is, and what.
    pub name: String,
    /// Which of several.
    pub instance: u32,
    /// Version of its state.
    pub version: u32,
}

/// `flashmoor/saved-vars/1`: the live variables in a saved guest's VARS flash, or in its `uefi-vars` device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedVars {
    /// `flashmoor/saved-vars/1`.
    pub schema: Schema<SavedVars>,
    /// The digest of the VARS flash, or of the device's state.
    pub sha256: String,
    /// The variables, in the order of the store.
    pub variables: Vec<SavedVariable>,
    /// Damage of the store, with its offset in the VARS flash: variables may be lost in it.
    pub damage: Vec<String>,
}

document!(SavedVars = "flashmoor/saved-vars/1");

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedVariable {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub guid: String,
    /// Its attributes, as UEFI numbers them.
    pub attributes: u32,
    /// How much data it holds.
    pub size_bytes: u64,
}

words! {
    /// How a variable changed.
    VariableFate {
        /// Only the second file has it.
        Added = "added",
        /// Only the first file has it.
        Removed = "removed",
        /// Both have it, and it is not the same.
        Changed = "changed",
    }
}
