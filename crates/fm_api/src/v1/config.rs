//! Which settings hold on a host, and where each comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/config/1`: the settings that hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigDocument {
    /// `flashmoor/config/1`.
    pub schema: Schema<ConfigDocument>,
    /// The files that were looked for, the weakest first.
    pub files: Vec<ConfigFile>,
    /// Every setting that there is.
    pub settings: Vec<Setting>,
}

document!(ConfigDocument = "flashmoor/config/1");

/// A file of settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigFile {
    /// Where it is.
    pub path: String,
    /// What became of it.
    pub state: FileState,
    /// Why it was left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What became of a file of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It was read.
    Read,
    /// There is none.
    Absent,
    /// It was left alone, because somebody else may write it.
    Untrusted,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// As the file has it: `agent.keep-days`.
    pub name: String,
    /// What holds; of a default that is no fixed value, what it is in words.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The file that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The environment variable that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

/// Where a setting comes from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// An option on the command line.
    Option,
    /// The environment.
    Environment,
    /// The file that the environment names.
    Named,
    /// The user's file.
    User,
    /// The host's file.
    System,
    /// No one says it.
    Default,
}
