//! The manifest of a build: the same form as in a host's own store, with the generation where there is one.
//!
//! Source: OCI image-spec v1.1, `manifest.md`, `descriptor.md`.

use std::collections::BTreeMap;

use fm_api::oci::{BUILD, CODE, EMPTY, EMPTY_CONFIG, MANIFEST, SOURCE, TITLE, VERSION};
use fm_api::v1::fleet::{BuildFacts, Digest};
use fm_formats::image::{MAX_BUILD_FILE_COUNT, MAX_FLASH_BYTES};

use crate::{Error, Result};
use fm_blobs::oci::{Descriptor, Manifest, digest_of, parse, parse_digest};
use fm_blobs::{Blob, BlobSource};

/// Which time a build came back: a manifest that was deleted is never written again.
const GENERATION: &str = "io.github.flashmoor.generation";

/// A build to be stored: its files, and what is known of it.
#[derive(Debug, Clone)]
pub struct StoredBuild {
    /// Its id: the digest of the layer that is its CODE.
    pub build: Digest,
    /// Its files.
    pub layers: Vec<Layer>,
    /// What people call it.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// What it shows.
    pub facts: Option<BuildFacts>,
}

/// One file of a build.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What it is, such as `application/vnd.flashmoor.code.v1`.
    pub media_type: String,
    /// Its name, such as `CODE.fd`.
    pub title: String,
    /// Its bytes.
    pub blob: Blob,
}

/// The config of a build's manifest, whose facts are all in its annotations.
pub(super) fn empty_config() -> Result<Blob> {
    Ok(Blob {
        digest: digest_of(EMPTY_CONFIG)?,
        size_bytes: EMPTY_CONFIG.len() as u64,
        source: BlobSource::Bytes(EMPTY_CONFIG.into()),
    })
}

/// Whether it is a build: one layer is its CODE, and nothing is larger than firmware can be.
pub(super) fn check(build: &StoredBuild) -> Result<()> {
    let what = "the build to be stored";
    let mut codes = build.layers.iter().filter(|layer| layer.media_type == CODE);
    match (codes.next(), codes.next()) {
        (Some(code), None) if code.blob.digest == build.build => {}
        _ => {
            return Err(Error::invalid(
                what,
                "not exactly one of its files is CODE with the digest that it is named by",
            ));
        }
    }
    let too_large = |size: u64, limit: u64| Error::TooLarge {
        what: what.into(),
        size,
        limit,
    };
    if build.layers.len() > MAX_BUILD_FILE_COUNT {
        return Err(too_large(build.layers.len() as u64, MAX_BUILD_FILE_COUNT as u64));
    }
    for layer in &build.layers {
        if layer.blob.size_bytes > MAX_FLASH_BYTES {
            return Err(too_large(layer.blob.size_bytes, MAX_FLASH_BYTES));
        }
        let is_plain =
            |text: &str| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain(&layer.media_type) || !is_plain(&layer.title) {
            return Err(Error::invalid(
                what,
                "a file's media type or name is not plain text",
            ));
        }
    }
    Ok(())
}

/// The bytes of a build's manifest.
pub(super) fn write(build: &StoredBuild, generation: u64) -> Result<Vec<u8>> {
    let mut annotations = BTreeMap::new();
    for (key, value) in [
        (TITLE, &build.name),
        (VERSION, &build.version),
        (SOURCE, &build.source),
    ] {
        if let Some(value) = value {
            annotations.insert(key.to_owned(), value.clone());
        }
    }
    if generation > 1 {
        annotations.insert(GENERATION.into(), generation.to_string());
    }
    let config = empty_config()?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.into()),
        artifact_type: Some(BUILD.into()),
        config: Descriptor {
            media_type: EMPTY.into(),
            digest: format!("sha256:{}", config.digest),
            size: config.size_bytes,
            annotations: BTreeMap::new(),
        },
        layers: build
            .layers
            .iter()
            .map(|layer| Descriptor {
                media_type: layer.media_type.clone(),
                digest: format!("sha256:{}", layer.blob.digest),
                size: layer.blob.size_bytes,
                annotations: BTreeMap::from([(TITLE.to_owned(), layer.title.clone())]),
            })
            .collect(),
        annotations,
    };
    serde_json::to_vec(&manifest).map_err(|error| Error::invalid("the manifest", error.to_string()))
}

/// Whether a manifest is one of this build.
pub(super) fn is_of(bytes: &[u8], build: &Digest) -> bool {
    let Ok(manifest) = parse(bytes) else { return false };
    let mut codes = manifest.layers.iter().filter(|layer| layer.media_type == CODE);
    let code = codes.next().and_then(|code| parse_digest(&code.digest).ok());
    code.as_ref() == Some(build) && codes.next().is_none()
}

/// The tag of a build.
pub(super) fn tag(build: &Digest) -> String {
    format!("fm-{build}")
}

/// Its tag in stores of versions before: the form that registries take for a list of referrers.
pub(super) fn old_tag(build: &Digest) -> String {
    format!("sha256-{build}")
}
