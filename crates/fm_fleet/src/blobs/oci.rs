//! The OCI documents that the fleet reads and writes.
//!
//! Source: OCI image-spec v1.1, `manifest.md`, `descriptor.md`.

use std::collections::BTreeMap;

use fm_api::v1::fleet::Digest;
use fm_formats::Sha256;
use serde::{Deserialize, Serialize};

use super::MAX_MANIFEST_BYTES;
use crate::{Error, Result};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The sha256 of bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> Result<Digest> {
    Digest::try_from(Sha256::of(bytes).to_string())
        .map_err(|error| Error::invalid("a digest", error.to_string()))
}

/// A digest as OCI writes it.
pub(crate) fn parse_digest(text: &str) -> Result<Digest> {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits
        .parse()
        .map_err(|_| Error::invalid("the manifest", "it names something by another digest than sha256"))
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest> {
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
pub(crate) fn named_blobs(bytes: &[u8]) -> Result<Vec<Digest>> {
    let manifest = parse(bytes)?;
    let mut found = vec![parse_digest(&manifest.config.digest)?];
    for layer in &manifest.layers {
        found.push(parse_digest(&layer.digest)?);
    }
    Ok(found)
}
