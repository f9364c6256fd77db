//! Incus's virtual machines and their firmware.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/incus-adopt/1`: an instance that was held to its build, or let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncusAdoption {
    /// `flashmoor/incus-adopt/1`.
    pub schema: Schema<IncusAdoption>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Its name.
    pub instance: String,
    /// Its project.
    pub project: String,
    /// The build that it is held to from its next start on; absent if it was let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// The file that it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

document!(IncusAdoption = "flashmoor/incus-adopt/1");
