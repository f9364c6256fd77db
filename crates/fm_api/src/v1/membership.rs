//! `flashmoor/agent-join/1`: a host and its fleet.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/agent-join/1`: this host and its fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetMembership {
    /// `flashmoor/agent-join/1`.
    pub schema: Schema<FleetMembership>,
    /// What the fleet calls this host.
    pub host: String,
    /// The fleet's servers.
    pub urls: Vec<String>,
    /// Where the key and the certificate are.
    pub folder: PathBuf,
}

document!(FleetMembership = "flashmoor/agent-join/1");
