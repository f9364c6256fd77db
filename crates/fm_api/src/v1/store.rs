//! The documents of a store: builds, landings, and what keeps it in order.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document, words};

/// `flashmoor/store-list/1`: every stored build, in the order in which they were stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreList {
    /// `flashmoor/store-list/1`.
    pub schema: Schema<StoreList>,
    /// The store's folder.
    pub store: PathBuf,
    /// The builds.
    pub builds: Vec<StoredBuild>,
    /// Builds whose manifests cannot be read. They go when nothing needs them, or are whole again when they are imported
    /// again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRecord>,
}

document!(StoreList = "flashmoor/store-list/1");

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableRecord {
    /// The landing's name, or the build's tag.
    pub name: String,
    /// Why.
    pub why: String,
}

/// `flashmoor/store-build/1`: one stored build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreBuild {
    /// `flashmoor/store-build/1`.
    pub schema: Schema<StoreBuild>,
    /// The store's folder.
    pub store: PathBuf,
    /// The build.
    pub build: StoredBuild,
    /// Ids of the landings that wait for it or stand for it.
    pub landings: Vec<String>,
}

document!(StoreBuild = "flashmoor/store-build/1");

/// A build in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredBuild {
    /// Its id: sha256 of CODE.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// Size of CODE.
    pub size_bytes: u64,
    /// The CODE file, read-only, at a path that holds these bytes or does not exist.
    pub path: PathBuf,
    /// Which version it is.
    pub version: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// When it was first stored, RFC 3339.
    pub created: Option<String>,
    /// The VARS template that belongs to it.
    pub vars_template: Option<StoredFile>,
    /// All templates that guests of it were made from, at paths with their digests.
    pub templates: Vec<StoredFile>,
    /// Its firmware descriptor.
    pub descriptor: Option<StoredFile>,
    /// Its tag in the OCI layout.
    pub tag: String,
    /// sha256 of its OCI manifest.
    pub manifest: String,
    /// Why it is kept whatever refers to it.
    pub pins: Vec<String>,
}

/// A file that belongs to a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredFile {
    /// Where it lies.
    pub path: PathBuf,
    /// How large it is.
    pub size_bytes: u64,
    /// What it holds.
    pub sha256: String,
}

/// `flashmoor/store-landings/1`: where incoming guests' CODE lands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreLandings {
    /// `flashmoor/store-landings/1`.
    pub schema: Schema<StoreLandings>,
    /// The store's folder.
    pub store: PathBuf,
    /// The landings.
    pub landings: Vec<StoredLanding>,
    /// Landings whose records cannot be read. They can be forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRecord>,
}

document!(StoreLandings = "flashmoor/store-landings/1");

/// A landing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredLanding {
    /// Its name.
    pub id: String,
    /// The guest's name.
    pub guest_name: Option<String>,
    /// The guest's UUID.
    pub guest_uuid: Option<String>,
    /// sha256 of the CODE that belongs here.
    pub code_sha256: String,
    /// Its size.
    pub size_bytes: u64,
    /// The CODE file to start QEMU with.
    pub path: PathBuf,
    /// Whether the file holds zeros still.
    pub placeholder: bool,
    /// When it was made, RFC 3339.
    pub created: String,
}

/// `flashmoor/store-import/1`: a build that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreImport {
    /// `flashmoor/store-import/1`.
    pub schema: Schema<StoreImport>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The build's id: sha256 of CODE.
    pub id: String,
    /// Its CODE file.
    pub path: PathBuf,
    /// Whether the store did not have it before.
    pub new: bool,
    /// What was given but differs from what the store says, and was left as the store has it.
    pub kept: Vec<BuildFact>,
}

document!(StoreImport = "flashmoor/store-import/1");

/// `flashmoor/store-export/1`: a build that was written elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreExport {
    /// `flashmoor/store-export/1`.
    pub schema: Schema<StoreExport>,
    /// The build's id.
    pub id: String,
    /// The folder.
    pub to: PathBuf,
    /// Its tag there, if it is an OCI layout.
    pub tag: Option<String>,
    /// The files, if they are plain ones.
    pub files: Vec<PathBuf>,
}

document!(StoreExport = "flashmoor/store-export/1");

/// `flashmoor/store-verify/1`: what reading every byte of the store found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreVerification {
    /// `flashmoor/store-verify/1`.
    pub schema: Schema<StoreVerification>,
    /// The store's folder.
    pub store: PathBuf,
    /// Whether everything holds what it promises; leftovers do not count against that.
    pub whole: bool,
    /// How many builds the index names.
    pub builds: usize,
    /// How many landings there are.
    pub landings: usize,
    /// How many blobs were read.
    pub blobs: usize,
    /// Their size together.
    pub size_bytes: u64,
    /// What was found.
    pub findings: Vec<StoreFinding>,
}

document!(StoreVerification = "flashmoor/store-verify/1");

/// One thing in the store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreFinding {
    /// How bad it is.
    pub severity: StoreSeverity,
    /// Where.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreSeverity {
    /// Takes room and harms nobody; `gc` clears it away.
    Leftover,
    /// Something does not hold what it promises.
    Damage,
}

/// `flashmoor/store-gc/1`: what was removed, and why the rest stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreGc {
    /// `flashmoor/store-gc/1`.
    pub schema: Schema<StoreGc>,
    /// The store's folder.
    pub store: PathBuf,
    /// Whether nothing was really removed.
    pub dry_run: bool,
    /// What was removed, or would be.
    pub removed: Vec<StoreRemoved>,
    /// The builds that stay.
    pub kept: Vec<StoreKept>,
    /// How much room on disk that frees.
    pub freed_bytes: u64,
    /// Processes that could not be looked at for lack of rights.
    pub unseen_processes: usize,
}

document!(StoreGc = "flashmoor/store-gc/1");

/// One thing that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum StoreRemoved {
    /// A build that nothing refers to.
    Build {
        /// Its id.
        id: String,
        /// Its name.
        name: Option<String>,
    },
    /// A placeholder whose guest never came.
    Landing {
        /// Its id.
        id: String,
    },
    /// What a dead writer left.
    Leftover {
        /// Where it was.
        path: PathBuf,
    },
}

/// A build that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreKept {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Who needs it.
    pub reasons: Vec<String>,
}

/// `flashmoor/store-pin/1`: a build's pins as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StorePins {
    /// `flashmoor/store-pin/1`.
    pub schema: Schema<StorePins>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The build's id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether the command changed anything.
    pub changed: bool,
    /// Why the build is kept now.
    pub pins: Vec<String>,
}

document!(StorePins = "flashmoor/store-pin/1");

/// `flashmoor/store-forget/1`: a landing that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreForgotten {
    /// `flashmoor/store-forget/1`.
    pub schema: Schema<StoreForgotten>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Its name.
    pub id: String,
    /// What it was; nothing if its record could not be read.
    pub landing: Option<StoredLanding>,
}

document!(StoreForgotten = "flashmoor/store-forget/1");

words! {
    /// What can be given with a build.
    BuildFact {
        /// The binary.
        Code = "CODE",
        /// What new variable stores are made from.
        VarsTemplate = "VARS template",
        /// Its firmware descriptor.
        Descriptor = "descriptor",
        /// What people call it.
        Name = "name",
        /// Which version it is.
        Version = "version",
        /// Where it came from.
        Source = "source",
    }
}
