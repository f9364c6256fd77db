//! `flashmoor/demo/1`: what a run of the demo checked and measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/demo/1`: everything that was checked and measured, from this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Demo {
    /// `flashmoor/demo/1`.
    pub schema: Schema<Demo>,
    /// What was checked; all of it held.
    pub held: Vec<String>,
    /// What was measured.
    pub measured: Vec<Measurement>,
}

document!(Demo = "flashmoor/demo/1");

/// One figure of this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// What it is.
    pub what: String,
    /// Its value with its unit.
    pub value: String,
}
