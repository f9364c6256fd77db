//! Upgrades of firmware packages, guarded: which guests drift after one, and the hooks.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::PhaseDocument;
use crate::{Schema, document, words};

/// `flashmoor/guard/1`: which guests drift after an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardReport {
    /// `flashmoor/guard/1`.
    pub schema: Schema<GuardReport>,
    /// The guests whose CODE file now holds something else than they run, or nothing that can be read.
    pub guests: Vec<DriftingGuest>,
}

document!(GuardReport = "flashmoor/guard/1");

/// A guest that drifts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftingGuest {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: Option<String>,
    /// Its CODE file.
    pub path: PathBuf,
    /// What it runs.
    pub running_sha256: String,
    /// The size of that.
    pub running_size_bytes: u64,
    /// What the file holds now; nothing if it is gone, or not known.
    pub file_sha256: Option<String>,
    /// The size of that.
    pub file_size_bytes: Option<u64>,
    /// Why it is not known what the file holds now, and so whether the guest drifts.
    pub file_unknown: Option<String>,
    /// Where the build that it runs is stored.
    pub stored: PathBuf,
    /// What the next cold boot brings, by the judge; nothing if that could not be judged.
    pub cold_boot: Option<PhaseDocument>,
    /// Why it could not be judged.
    pub not_judged: Option<String>,
}

/// `flashmoor/guard-status/1`: whether upgrades are guarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardStatus {
    /// `flashmoor/guard-status/1`.
    pub schema: Schema<GuardStatus>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The hooks that there can be on this system.
    pub hooks: Vec<GuardHook>,
}

document!(GuardStatus = "flashmoor/guard-status/1");

/// A hook's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardHook {
    /// Whose it is.
    pub manager: PackageManager,
    /// Where its file is.
    pub path: PathBuf,
    /// Whether it is there.
    pub installed: bool,
    /// Whether it stops an upgrade when a guest in use could not be captured.
    pub blocks: bool,
}

words! {
    /// A package manager whose upgrades are guarded.
    PackageManager {
        /// apt, and so everything that goes through it.
        Apt = "apt",
        /// dnf, 4 or 5.
        Dnf = "dnf",
    }
}
