//! The OCI documents that the fleet reads and writes.
//!
//! Source: OCI image-spec v1.1, `manifest.md`, `descriptor.md`.

use std::collections::BTreeMap;

use fm_api::v1::fleet::Digest;
use fm_formats::Sha256;
use serde::{Deserialize, Serialize};

use super::MAX_MANIFEST_BYTES;
use crate::{Error, Result};

/// A manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration; an empty one.
    pub config: Descriptor,
    /// The files.
    pub layers: Vec<Descriptor>,
    /// What is said of all of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest says of a blob.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest, with its algorithm.
    pub digest: String,
    /// How many bytes it has.
    pub size: u64,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The sha256 of bytes.
///
/// # Errors
/// [`Error::Invalid`], if a digest is no digest.
pub fn digest_of(bytes: &[u8]) -> Result<Digest> {
    Digest::try_from(Sha256::of(bytes).to_string())
        .map_err(|error| Error::invalid("a digest", error.to_string()))
}

/// A digest as OCI writes it.
///
/// # Errors
/// [`Error::Invalid`], if it is another than a sha256.
pub fn parse_digest(text: &str) -> Result<Digest> {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits
        .parse()
        .map_err(|_| Error::invalid("the manifest", "it names something by another digest than sha256"))
}

/// A manifest, read within its bounds.
///
/// # Errors
/// [`Error::TooLarge`] and [`Error::Invalid`].
pub fn parse(bytes: &[u8]) -> Result<Manifest> {
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(Error::TooLarge {
            what: "a manifest (bytes)".into(),
            size: bytes.len() as u64,
            limit: MAX_MANIFEST_BYTES,
        });
    }
    serde_json::from_slice(bytes).map_err(|error| Error::invalid("the manifest", error.to_string()))
}

/// Every blob that a manifest names.
///
/// # Errors
/// As [`parse`].
pub fn named_blobs(bytes: &[u8]) -> Result<Vec<Digest>> {
    let manifest = parse(bytes)?;
    let mut found = vec![parse_digest(&manifest.config.digest)?];
    for layer in &manifest.layers {
        found.push(parse_digest(&layer.digest)?);
    }
    Ok(found)
}
