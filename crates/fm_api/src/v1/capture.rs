//! `flashmoor/capture/1`: the firmware that running guests use, stored.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// `flashmoor/capture/1`: what running guests use, and where it is stored now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// `flashmoor/capture/1`.
    pub schema: Schema<Capture>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The store's folder.
    pub store: PathBuf,
    /// The guests whose CODE is stored now.
    pub guests: Vec<CapturedGuest>,
    /// Guests whose CODE could not be stored.
    pub failures: Vec<CaptureFailure>,
    /// Guests that have no CODE to store, and processes that only look like guests: one line each.
    pub remarks: Vec<String>,
}

document!(Capture = "flashmoor/capture/1");

/// A guest whose CODE is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CapturedGuest {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its CODE.
    pub code: CapturedCode,
    /// Where the build is stored: a guest started with this path gets the very same CODE.
    pub stored: PathBuf,
    /// Whether the store did not have it before.
    pub new: bool,
}

/// A guest's CODE, in its memory and in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CapturedCode {
    /// Its file, as the guest's command line has it.
    pub path: Option<PathBuf>,
    /// Its size in the guest's memory.
    pub size_bytes: u64,
    /// What the guest runs.
    pub running_sha256: String,
    /// What the file holds now: what a cold boot would get. Nothing if that can't be told.
    pub file_sha256: Option<String>,
    /// Whether a cold boot would get something else, or nothing where the file is gone; absent if that can't
    /// be told.
    pub drift: Option<bool>,
}

/// A guest whose CODE could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureFailure {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: Option<String>,
    /// Why, with what lies behind it.
    pub why: String,
}
