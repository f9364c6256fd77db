//! Backups of variable stores, and writes to block devices that were interrupted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/vars-backups/1`: the backups of one variable store, or of all that lie on block devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VarsBackups {
    /// `flashmoor/vars-backups/1`.
    pub schema: Schema<VarsBackups>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Oldest first, store by store.
    pub backups: Vec<VarsBackup>,
    /// The paths of those that were removed just now.
    pub removed: Vec<String>,
    /// Writes to block devices that were interrupted, or are on their way.
    pub interrupted: Vec<InterruptedWrite>,
}

document!(VarsBackups = "flashmoor/vars-backups/1");

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VarsBackup {
    /// Of which file or device.
    pub of: String,
    /// Where it lies. It can hold secrets, as the variables do.
    pub path: String,
    /// When it was made, in the form 20261130T055947.123456Z.
    pub made: String,
    /// How long it is.
    pub size_bytes: u64,
}

/// A write that was interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterruptedWrite {
    /// Which device, as it was named.
    pub path: String,
    /// When it began, in the form 20261130T055947.123456Z.
    pub since: String,
}
