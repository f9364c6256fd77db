//! What is stored: all builds, one build, all landings.

use std::path::PathBuf;

use fm_remedy::one_line;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Build, Landing, Part, Result, Store, Unreadable};

/// `flashmoor/store-list/1`: every stored build, in the order in which they were stored.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct List {
    /// `flashmoor/store-list/1`.
    pub schema: &'static str,
    /// The store's folder.
    pub store: PathBuf,
    /// The builds.
    pub builds: Vec<BuildEntry>,
    /// Builds whose manifests cannot be read. They go when nothing needs them, or are whole again when they are imported
    /// again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRecord>,
}

/// A record that cannot be read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UnreadableRecord {
    /// The landing's name, or the build's tag.
    pub name: String,
    /// Why.
    pub why: String,
}

/// `flashmoor/store-build/1`: one stored build.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Show {
    /// `flashmoor/store-build/1`.
    pub schema: &'static str,
    /// The store's folder.
    pub store: PathBuf,
    /// The build.
    pub build: BuildEntry,
    /// Ids of the landings that wait for it or stand for it.
    pub landings: Vec<String>,
}

/// A build in the store.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BuildEntry {
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
    pub vars_template: Option<File>,
    /// All templates that guests of it were made from, at paths with their digests.
    pub templates: Vec<File>,
    /// Its firmware descriptor.
    pub descriptor: Option<File>,
    /// Its tag in the OCI layout.
    pub tag: String,
    /// sha256 of its OCI manifest.
    pub manifest: String,
    /// Why it is kept whatever refers to it.
    pub pins: Vec<String>,
}

/// A file that belongs to a build.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// How large it is.
    pub size_bytes: u64,
    /// What it holds.
    pub sha256: String,
}

/// `flashmoor/store-landings/1`: where incoming guests' CODE lands.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LandingList {
    /// `flashmoor/store-landings/1`.
    pub schema: &'static str,
    /// The store's folder.
    pub store: PathBuf,
    /// The landings.
    pub landings: Vec<LandingEntry>,
    /// Landings whose records cannot be read. They can be forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRecord>,
}

/// A landing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LandingEntry {
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

/// Lists the stored builds.
///
/// # Errors
/// If the store cannot be read.
pub fn list(store: &Store) -> Result<List> {
    let (builds, unreadable) = store.readable_builds()?;
    Ok(List {
        schema: "flashmoor/store-list/1",
        store: store.path().to_owned(),
        builds: builds.into_iter().map(BuildEntry::from).collect(),
        unreadable: unreadable.into_iter().map(UnreadableRecord::from).collect(),
    })
}

/// Shows the one build that `text` means: an id, its first digits, or a name.
///
/// # Errors
/// If none or several fit, or the store cannot be read.
pub fn show(store: &Store, text: &str) -> Result<Show> {
    let build = store.find(text)?;
    let landings = store
        .landings()?
        .into_iter()
        .filter(|landing| landing.code == build.id);
    Ok(Show {
        schema: "flashmoor/store-build/1",
        store: store.path().to_owned(),
        landings: landings.map(|landing| landing.id).collect(),
        build: build.into(),
    })
}

/// Lists the landings.
///
/// # Errors
/// If the store cannot be read.
pub fn landings(store: &Store) -> Result<LandingList> {
    let (landings, unreadable) = store.all_landings()?;
    Ok(LandingList {
        schema: "flashmoor/store-landings/1",
        store: store.path().to_owned(),
        landings: landings.into_iter().map(LandingEntry::from).collect(),
        unreadable: unreadable.into_iter().map(UnreadableRecord::from).collect(),
    })
}

impl From<Unreadable> for UnreadableRecord {
    fn from(record: Unreadable) -> Self {
        Self {
            name: record.name,
            why: one_line(&record.error),
        }
    }
}

impl From<Build> for BuildEntry {
    fn from(build: Build) -> Self {
        Self {
            id: build.id.to_string(),
            name: build.name,
            size_bytes: build.code.size_bytes,
            path: build.code.path,
            version: build.version,
            source: build.source,
            created: build.created,
            vars_template: build.vars_template.map(File::from),
            templates: build.templates.into_iter().map(File::from).collect(),
            descriptor: build.descriptor.map(File::from),
            tag: build.tag,
            manifest: build.manifest.to_string(),
            pins: build.pins,
        }
    }
}

impl From<Part> for File {
    fn from(part: Part) -> Self {
        Self {
            path: part.path,
            size_bytes: part.size_bytes,
            sha256: part.sha256.to_string(),
        }
    }
}

impl From<Landing> for LandingEntry {
    fn from(landing: Landing) -> Self {
        Self {
            id: landing.id,
            guest_name: landing.guest_name,
            guest_uuid: landing.guest_uuid,
            code_sha256: landing.code.to_string(),
            size_bytes: landing.size_bytes,
            path: landing.path,
            placeholder: landing.placeholder,
            created: landing.created,
        }
    }
}
