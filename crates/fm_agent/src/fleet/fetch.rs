//! A build comes from the fleet into this host's store: pulled as from any registry, every byte checked, and no more of
//! them than were announced.

use fm_client::Client;
use fm_formats::Sha256;
use fm_store::{Build, Import, MAX_DESCRIPTOR_BYTES, MAX_FLASH_BYTES, Store};
use serde::Deserialize;

use super::kinds::{CODE, DESCRIPTOR, VARS_TEMPLATE};
use crate::supply::Wanted;
use crate::{Error, Result};

const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// A build is CODE, a descriptor and templates of VARS.
const MAX_LAYER_COUNT: usize = 32;
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const SOURCE: &str = "org.opencontainers.image.source";

/// What of a manifest is used.
///
/// Source: OCI image-spec v1.1, `manifest.md`, `descriptor.md`.
#[derive(Debug, Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// Whether this host has a build, whole.
pub(super) fn has(store: &Store, build: &Sha256) -> Result<bool> {
    let is_whole = |build: &Build| {
        fm_check::next_boot_code::digest_at(&build.code.path).is_some_and(|(found, _)| found == build.id)
    };
    Ok(store.build(build)?.as_ref().is_some_and(is_whole))
}

/// Fetches a build. Whether the fleet had it.
pub(super) fn fetch(client: &Client, store: &Store, wanted: &Wanted) -> Result<bool> {
    let path = format!("/v2/builds/manifests/fm-{}", wanted.build);
    let bytes = match client.get_bytes_up_to(&path, MAX_MANIFEST_BYTES) {
        Err(fm_client::Error::Refused { problem }) if problem.status == 404 => return Ok(false),
        answered => answered?,
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|_| foreign("its manifest cannot be read"))?;
    if manifest.layers.len() > MAX_LAYER_COUNT {
        return Err(foreign("it has more files than any build"));
    }
    let of = |kind: &'static str| {
        manifest
            .layers
            .iter()
            .filter(move |layer| layer.media_type == kind)
    };
    let code = of(CODE).next().ok_or_else(|| foreign("it has no CODE"))?;
    if code.digest != format!("sha256:{}", wanted.build) {
        return Err(foreign("its CODE is another build's"));
    }
    if wanted.code_bytes.is_some_and(|bytes| bytes != code.size) {
        return Err(foreign("its CODE has another length than was announced"));
    }
    let code = layer(client, code, MAX_FLASH_BYTES)?;
    let descriptor = of(DESCRIPTOR)
        .next()
        .map(|found| layer(client, found, MAX_DESCRIPTOR_BYTES))
        .transpose()?;
    let annotation = |key: &str| manifest.annotations.get(key).map(String::as_str);
    let mut templates = Vec::new();
    for template in of(VARS_TEMPLATE) {
        templates.push(layer(client, template, MAX_FLASH_BYTES)?);
    }
    store.import(&Import {
        code: &code,
        vars_template: templates.first().map(Vec::as_slice),
        descriptor: descriptor.as_deref(),
        name: annotation(TITLE),
        version: annotation(VERSION),
        source: annotation(SOURCE),
        ..Import::default()
    })?;
    for template in templates.iter().skip(1) {
        store.import(&Import {
            code: &code,
            vars_template: Some(template),
            ..Import::default()
        })?;
    }
    Ok(true)
}

/// A file of a build, if it is what the manifest says.
fn layer(client: &Client, layer: &Layer, limit_bytes: u64) -> Result<Vec<u8>> {
    let digest = layer.digest.strip_prefix("sha256:");
    let digest: Sha256 = digest
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| foreign("a file of it has no sha256 digest"))?;
    if layer.size > limit_bytes {
        return Err(foreign("a file of it is larger than firmware can be"));
    }
    let path = format!("/v2/builds/blobs/sha256:{digest}");
    // One more would be refused, and is not taken either.
    let bytes = client.get_bytes_up_to(&path, layer.size.saturating_add(1))?;
    match bytes.len() as u64 == layer.size && Sha256::of(&bytes) == digest {
        true => Ok(bytes),
        false => Err(foreign("a file of it is not what its digest says")),
    }
}

fn foreign(why: &'static str) -> Error {
    Error::NotABuild { why }
}
