//! `flashmoor/catalogue/1`: what digest belongs to which package and version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document};

/// What changed in the catalogue, or all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CatalogueDocument {
    /// `flashmoor/catalogue/1`.
    pub schema: Schema<CatalogueDocument>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Listed, newly added, or removed.
    pub entries: Vec<CatalogueEntry>,
    /// Firmware that no package owns, or that is not as its package brought it, which therefore has no name to add.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unnamed: Vec<String>,
}

document!(CatalogueDocument = "flashmoor/catalogue/1");

/// One known build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CatalogueEntry {
    /// Digest of the whole file.
    pub sha256: String,
    /// The package, or what the user calls it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file's name.
    pub file: String,
}
