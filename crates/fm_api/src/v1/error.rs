//! `flashmoor/error/1`: why a command failed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/error/1`: why a command failed; one line on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDocument {
    /// `flashmoor/error/1`.
    pub schema: Schema<ErrorDocument>,
    /// What failed.
    pub what: String,
    /// Why, from the outermost reason to the first.
    pub why: Vec<String>,
    /// What to do about it, if there is something the user can do.
    pub remedy: Option<String>,
}

document!(ErrorDocument = "flashmoor/error/1");
