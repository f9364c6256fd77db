//! What is found in an image, and kept of it.

use fm_api::v1::inspect::{DamageDocument, ImageDocument, InspectKind, NodeDocument, StoreDocument};
use serde::{Deserialize, Serialize};

/// What the bytes of an image say, whatever the file is called and whoever built it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    /// What it is.
    pub kind: InspectKind,
    /// Digest of the whole image.
    pub sha256: String,
    /// Why it is no firmware.
    pub reason: Option<String>,
    /// Its build is not filled in: names change with the catalogue.
    pub image: Option<ImageDocument>,
    /// The version string in the image.
    pub(super) version: Option<String>,
    pub(super) store: Option<StoreDocument>,
    /// Of what is no firmware; of an image, the image has them.
    pub(super) damage: Vec<DamageDocument>,
    pub(super) tree: Option<Vec<NodeDocument>>,
    /// Whether there is code where an x86 processor starts: in the last bytes, and no padding behind.
    pub ends_in_code: bool,
}
