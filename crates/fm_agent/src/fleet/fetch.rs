//! A build comes from the fleet into this host's store: pulled as from any registry, every byte checked, and no more of
//! them than were announced.

use fm_api::oci::{CODE, DESCRIPTOR, SOURCE, TITLE, VARS_TEMPLATE, VERSION};
use fm_client::Client;
use fm_formats::Sha256;
use fm_store::{Build, Import, MAX_DESCRIPTOR_BYTES, MAX_FLASH_BYTES, Store};
use serde::Deserialize;

use crate::{Error, Result};
use fm_adopt::supply::Wanted;

const MAX_MANIFEST_BYTES: u64 = 1 << 20;

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
    let manifest = read(&bytes, wanted)?;
    let get = |layer: &Layer| {
        let path = format!("/v2/builds/blobs/{}", layer.digest);
        // One more would be too many, and is not taken either.
        let bytes = client.get_bytes_up_to(&path, layer.size.saturating_add(1))?;
        check(layer, bytes)
    };
    let (mut code, mut descriptor, mut templates) = (None, None, Vec::new());
    for layer in &manifest.layers {
        match layer.media_type.as_str() {
            CODE => code = Some(get(layer)?),
            DESCRIPTOR => descriptor = Some(get(layer)?),
            VARS_TEMPLATE => templates.push(get(layer)?),
            // What a newer version adds is none of ours.
            _ => {}
        }
    }
    let code = code.ok_or_else(|| foreign("it has no CODE"))?;
    let annotation = |key: &str| manifest.annotations.get(key).map(String::as_str);
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

/// Reads a manifest, if it is one of the build that is wanted and nothing in it is larger than such a file can be.
fn read(bytes: &[u8], wanted: &Wanted) -> Result<Manifest> {
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|_| foreign("its manifest cannot be read"))?;
    if manifest.layers.len() > fm_formats::image::MAX_BUILD_FILE_COUNT {
        return Err(foreign("it has more files than any build"));
    }
    let mut codes = manifest.layers.iter().filter(|layer| layer.media_type == CODE);
    let code = codes.next().ok_or_else(|| foreign("it has no CODE"))?;
    if code.digest != format!("sha256:{}", wanted.build) || codes.next().is_some() {
        return Err(foreign("its CODE is another build's"));
    }
    if wanted.code_bytes.is_some_and(|bytes| bytes != code.size) {
        return Err(foreign("its CODE has another length than was announced"));
    }
    for layer in &manifest.layers {
        let limit_bytes = match layer.media_type.as_str() {
            DESCRIPTOR => MAX_DESCRIPTOR_BYTES,
            _ => MAX_FLASH_BYTES,
        };
        if layer.size > limit_bytes {
            return Err(foreign("a file of it is larger than firmware can be"));
        }
        if sha256(layer).is_none() {
            return Err(foreign("a file of it has no sha256 digest"));
        }
    }
    Ok(manifest)
}

fn sha256(layer: &Layer) -> Option<Sha256> {
    layer.digest.strip_prefix("sha256:")?.parse().ok()
}

/// The bytes of a file, if they are what the manifest says.
fn check(layer: &Layer, bytes: Vec<u8>) -> Result<Vec<u8>> {
    match bytes.len() as u64 == layer.size && sha256(layer) == Some(Sha256::of(&bytes)) {
        true => Ok(bytes),
        false => Err(foreign("a file of it is not what its digest says")),
    }
}

fn foreign(why: &'static str) -> Error {
    Error::NotABuild { why }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const BYTES: &[u8] = b"CODE of a guest";

    fn layer(kind: &str, bytes: &[u8]) -> Value {
        json!({ "mediaType": kind, "digest": format!("sha256:{}", Sha256::of(bytes)), "size": bytes.len() })
    }

    fn read_layers(layers: &[Value]) -> Result<Manifest> {
        let wanted = Wanted {
            build: Sha256::of(BYTES),
            code_bytes: Some(BYTES.len() as u64),
            peer: None,
        };
        read(json!({ "layers": layers }).to_string().as_bytes(), &wanted)
    }

    #[test]
    fn a_manifest_is_of_the_build_that_is_wanted_and_of_nothing_larger() {
        let code = layer(CODE, BYTES);
        assert!(read_layers(&[code.clone(), layer(DESCRIPTOR, b"{}"), layer("a/newer", b"x")]).is_ok());
        let with = |member: &str, value: Value| {
            let mut changed = code.clone();
            changed[member] = value;
            changed
        };
        let mut large = layer(DESCRIPTOR, b"{}");
        large["size"] = json!(MAX_DESCRIPTOR_BYTES + 1);
        let mut weak = layer(VARS_TEMPLATE, b"");
        weak["digest"] = json!("md5:00");
        for refused in [
            vec![],
            vec![layer(VARS_TEMPLATE, BYTES)],
            vec![layer(CODE, b"another")],
            vec![code.clone(), layer(CODE, b"another")],
            vec![with("size", json!(BYTES.len() + 1))],
            vec![with("size", json!(-1))],
            vec![code.clone(), large],
            vec![code.clone(), weak],
            vec![code.clone(); fm_formats::image::MAX_BUILD_FILE_COUNT + 1],
        ] {
            assert!(
                matches!(read_layers(&refused), Err(Error::NotABuild { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_what_was_announced_are_refused() {
        let manifest = read_layers(&[layer(CODE, BYTES)]).unwrap();
        let code = &manifest.layers[0];
        assert_eq!(check(code, BYTES.to_vec()).unwrap(), BYTES);
        for wrong in [&b"CODE of a gues"[..], b"CODE of a guesT", b"CODE of a guest!"] {
            assert!(matches!(
                check(code, wrong.to_vec()),
                Err(Error::NotABuild { .. })
            ));
        }
    }
}
