//! What a parsed image holds; digests are computed on two threads.

use std::path::Path;
use std::thread;

use fm_api::v1::firmware::StoreFormat;
use fm_api::v1::inspect::{
    DamageDocument, ImageFormat, InspectKind, RangeDocument, RangeTechnology, ResetVectorDocument,
    StoreDocument, TableEntryDocument,
};
use fm_formats::Sha256;
use fm_formats::image::{self, ImageFacts, NotFirmware, ResetVector, Role, Technology};
use fm_formats::volume::{FileKind, Node, NodeId, NodeKind, Tree, VolumeHeader};
use fm_varstore::{DamageKind, VarStore};

use super::contents::{Image, ImageReport, Module, Volume};
use super::document::Inspected;
use super::image_key::ImageKey;
use super::map::map;
use super::module_name::module_name;
use super::nodes::nodes;
use super::{Cache, Catalogue, Flash, Request, build, input};
use crate::{Result, json_store, words};

/// An x86 processor starts in the last bytes of its firmware.
const RESET_VECTOR_BYTES: usize = 16;

fn ends_in_code(flash: &Flash) -> bool {
    let end = flash.content.len().saturating_sub(RESET_VECTOR_BYTES);
    let end = flash.content.get(end..).unwrap_or_default();
    let is_padded = flash.content.len() as u64 != flash.len_bytes;
    !is_padded && end.iter().any(|byte| Some(byte) != end.first())
}

/// What is in the file at `path`, and its length, if it is raw and was seen before: it is only hashed.
pub(super) fn lookup_by_path(
    path: &Path,
    cache: Option<&Cache>,
    tree: bool,
) -> Result<Option<(ImageReport, u64)>> {
    let Some(cache) = cache else { return Ok(None) };
    let key = input::key_of(path)?;
    Ok(key.and_then(|key| Some((cache.get(&entry(key, tree))?, key.len_bytes))))
}

/// The name of an image's entry in the cache.
fn entry(key: ImageKey, tree: bool) -> String {
    format!("{key}{}", if tree { "-tree" } else { "" })
}

/// What `flash` holds, from the cache if it was seen before.
pub(super) fn parse_cached(flash: &Flash, cache: Option<&Cache>, tree: bool) -> ImageReport {
    let hash = cache.map(|_| flash.hash());
    let seen = cache
        .zip(hash.as_ref())
        .and_then(|(cache, hash)| cache.get(&entry(flash.key(hash), tree)));
    seen.unwrap_or_else(|| parse_and_cache(flash, hash, cache, tree))
}

/// The same of an image that the cache does not know, with the hash of its content if it is there already.
pub(super) fn parse_and_cache(
    flash: &Flash,
    hash: Option<sha2::Sha256>,
    cache: Option<&Cache>,
    tree: bool,
) -> ImageReport {
    let (found, key) = find(flash, hash, tree);
    if let Some(cache) = cache {
        cache.put(&entry(key, tree), &found);
    }
    found
}

pub(super) fn inspected(request: &Request, flash: &Flash, catalogue: &Catalogue) -> Inspected {
    let found = parse_cached(flash, request.cache.as_ref(), request.tree);
    into_document(request, found, flash.len_bytes, flash.format, catalogue)
}

pub(super) fn into_document(
    request: &Request,
    found: ImageReport,
    len_bytes: u64,
    format: ImageFormat,
    catalogue: &Catalogue,
) -> Inspected {
    let kind = found.role.map_or(InspectKind::NotFirmware, words::role);
    let mut inspected = Inspected::new(&request.path, kind, len_bytes);
    inspected.format = Some(format);
    inspected.reason = found.reason;
    inspected.store = found.store;
    inspected.damage = found.damage;
    inspected.tree = found.tree;
    if found.image.is_some() {
        inspected.build = build::name(catalogue, &found.sha256, found.version);
    }
    inspected.image = found.image;
    inspected.sha256 = Some(found.sha256);
    inspected
}

/// What is in `flash`, and its key.
fn find(flash: &Flash, hash: Option<sha2::Sha256>, with_tree: bool) -> (ImageReport, ImageKey) {
    thread::scope(|scope| {
        let hashed = scope.spawn(|| {
            let hash = hash.unwrap_or_else(|| flash.hash());
            (flash.key(&hash), flash.sha256(hash))
        });
        let tree = flash.tree();
        let facts = ImageFacts::of(&tree, flash.len_bytes);
        // Digests of modules here, of volumes over there: each walks all that was decoded.
        let (volumes, modules) = thread::scope(|scope| {
            let volumes = scope.spawn(|| digests(&tree, volume_nodes(&tree)));
            let modules = digests(&tree, module_nodes(&tree));
            (joined(volumes), modules)
        });
        let (key, sha256) = joined(hashed);
        let (facts, reason) = match facts {
            Ok(facts) => (facts, None),
            Err(why) => match remains(&tree, &why) {
                Some(facts) => (facts, Some(why.to_string())),
                None => {
                    let found = ImageReport {
                        role: None,
                        sha256,
                        reason: Some(why.to_string()),
                        image: None,
                        version: None,
                        store: None,
                        damage: damage(&tree, &[]),
                        tree: with_tree.then(|| nodes(&tree, flash)),
                        ends_in_code: ends_in_code(flash),
                    };
                    return (found, key);
                }
            },
        };
        let store = (facts.role != Role::Code).then(|| store(flash)).flatten();
        let found = ImageReport {
            role: Some(facts.role),
            sha256,
            reason,
            image: Some(image_in(
                flash,
                &tree,
                &facts,
                &volumes,
                &modules,
                with_tree,
                store.as_ref(),
            )),
            version: image::version_string(&tree),
            store,
            damage: Vec::new(),
            tree: None,
            ends_in_code: ends_in_code(flash),
        };
        (found, key)
    })
}

/// A store in JSON: of QEMU's `uefi-vars` device, of virt-firmware, or our own list.
pub(super) fn json_store(path: &Path, text: &[u8]) -> Inspected {
    let mut inspected = Inspected::new(path, InspectKind::Vars, text.len() as u64);
    inspected.format = Some(ImageFormat::Json);
    inspected.sha256 = Some(Sha256::of(text));
    match json_store::parse(text) {
        Ok(found) => {
            let is_key = |variable: &fm_varstore::Variable| {
                variable.guid == fm_varstore::GLOBAL_VARIABLE && variable.name.to_string() == "PK"
            };
            inspected.store = Some(StoreDocument {
                format: StoreFormat::Json,
                layout: None,
                size_bytes: text.len() as u64,
                used_bytes: text.len() as u64,
                variables: found.variables.len(),
                secure_boot_keys: found.variables.iter().any(is_key),
                damage: Vec::new(),
            });
        }
        Err(error) => inspected.reason = Some(error.to_string()),
    }
    inspected
}

/// What is left of damaged firmware, where the name of a volume says that it is some.
fn remains(tree: &Tree<'_>, why: &NotFirmware) -> Option<ImageFacts> {
    let NotFirmware::Damaged {
        platform: Some(platform),
    } = why
    else {
        return None;
    };
    let stores = tree.nodes().iter().any(|node| match &node.kind {
        NodeKind::Volume(facts) => facts.header.file_system == VolumeHeader::NV_DATA,
        _ => false,
    });
    Some(ImageFacts {
        role: if stores { Role::Combined } else { Role::Code },
        blank: false,
        arch: None,
        cpu_mode: None,
        platform: Some(platform),
        layout: None,
        features: Vec::new(),
        reset_vector: None,
        damages: Vec::new(),
    })
}

pub(super) fn joined<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn image_in(
    flash: &Flash,
    tree: &Tree<'_>,
    facts: &ImageFacts,
    volumes: &[Sha256],
    modules: &[Sha256],
    with_tree: bool,
    store: Option<&StoreDocument>,
) -> Image {
    Image {
        arch: facts.arch,
        cpu_mode: facts.cpu_mode,
        platform: facts.platform.map(Into::into),
        layout: facts.layout,
        features: facts.features.clone(),
        map: map(tree, flash, store),
        volumes: volumes_in(tree, volumes, facts.platform),
        modules: modules_in(tree, modules),
        reset_vector: facts.reset_vector.as_ref().map(reset_vector),
        damage: damage(
            tree,
            &[
                facts.damages.as_slice(),
                facts
                    .reset_vector
                    .as_ref()
                    .map_or(&[], |table| table.damages.as_slice()),
            ]
            .concat(),
        ),
        tree: with_tree.then(|| nodes(tree, flash)),
    }
}

fn volume_nodes<'t>(tree: &'t Tree<'_>) -> impl Iterator<Item = (NodeId, &'t Node)> {
    tree.nodes()
        .iter()
        .enumerate()
        .filter(|(_, node)| matches!(node.kind, NodeKind::Volume(_)))
}

fn module_nodes<'t>(tree: &'t Tree<'_>) -> impl Iterator<Item = (NodeId, &'t Node)> {
    let files = tree.nodes().iter().enumerate();
    files.filter(|(_, node)| {
        matches!(node.kind, NodeKind::File(facts) if facts.kind != FileKind::Pad && facts.is_live())
    })
}

/// Of a module its body counts, of a volume everything.
fn digests<'t>(tree: &'t Tree<'_>, nodes: impl Iterator<Item = (NodeId, &'t Node)>) -> Vec<Sha256> {
    nodes
        .map(|(_, node)| {
            let bytes = match node.kind {
                NodeKind::Volume(_) => tree.bytes(node),
                _ => tree.body(node),
            };
            Sha256::of(bytes)
        })
        .collect()
}

fn volumes_in(tree: &Tree<'_>, digests: &[Sha256], platform: Option<&str>) -> Vec<Volume> {
    let measures = image::measures_volumes(tree);
    let mut found = Vec::new();
    for ((id, node), &sha256) in volume_nodes(tree).zip(digests) {
        let NodeKind::Volume(facts) = &node.kind else {
            continue;
        };
        let guid = facts.name.unwrap_or(facts.header.file_system);
        let compressed = tree.is_compressed(id);
        found.push(Volume {
            offset: tree.offset_in_image(id).unwrap_or(0) as u64,
            decoded_offset: compressed.then_some(node.start as u64),
            size_bytes: node.len_bytes as u64,
            guid,
            sha256,
            used_bytes: facts.used_bytes as u64,
            compressed,
            measured: measures && image::is_measured(tree, id, platform),
            runs_from: holds_code(tree, id).then(|| image::runs_from(tree, id)),
        });
    }
    found
}

/// Whether one of the volume's own files is code.
fn holds_code(tree: &Tree<'_>, volume: NodeId) -> bool {
    tree.children(volume).any(|(_, node)| match node.kind {
        NodeKind::File(facts) => facts.kind.is_executable() && facts.is_live(),
        _ => false,
    })
}

fn modules_in(tree: &Tree<'_>, digests: &[Sha256]) -> Vec<Module> {
    let volumes: Vec<NodeId> = volume_nodes(tree).map(|(id, _)| id).collect();
    let mut found = Vec::new();
    for ((id, node), &sha256) in module_nodes(tree).zip(digests) {
        let NodeKind::File(facts) = node.kind else {
            continue;
        };
        let volume = node.parent.and_then(|parent| volumes.binary_search(&parent).ok());
        let volume_start = node
            .parent
            .and_then(|parent| tree.node(parent))
            .map_or(0, |node| node.start);
        found.push(Module {
            guid: facts.name,
            name: module_name(tree, id, facts.name, facts.kind),
            kind: facts.kind,
            sha256,
            size_bytes: tree.body(node).len() as u64,
            volume: volume.unwrap_or(0),
            volume_offset: (node.start - volume_start) as u64,
        });
    }
    found
}

fn reset_vector(table: &ResetVector) -> ResetVectorDocument {
    let entries = table.entries.iter().map(|entry| TableEntryDocument {
        guid: entry.guid.to_string(),
        name: entry.name().map(Into::into),
        data: entry.data.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    let ranges = table.ranges.iter().map(|range| RangeDocument {
        technology: match range.technology {
            Technology::Sev => RangeTechnology::Sev,
            Technology::SevSnp => RangeTechnology::SevSnp,
            Technology::Tdx => RangeTechnology::Tdx,
            Technology::Igvm => RangeTechnology::Igvm,
        },
        purpose: range.purpose.into(),
        kind: range.kind,
        base: range.base,
        size_bytes: range.len_bytes,
        flash_offset: range.from_flash.map(|(offset, _)| offset),
        measured: range.measured,
    });
    ResetVectorDocument {
        entries: entries.collect(),
        ranges: ranges.collect(),
    }
}

fn damage(tree: &Tree<'_>, of_image: &[fm_formats::Error]) -> Vec<DamageDocument> {
    let in_tree = tree.damages().iter().map(|damage| DamageDocument {
        message: damage.error.to_string(),
        decoded_from: tree
            .origin(damage.buffer)
            .and_then(|section| tree.offset_in_image(section))
            .map(|offset| offset as u64),
    });
    let of_image = of_image.iter().map(|error| DamageDocument {
        message: error.to_string(),
        decoded_from: None,
    });
    in_tree.chain(of_image).collect()
}

fn store(flash: &Flash) -> Option<StoreDocument> {
    let store = VarStore::parse_file(&flash.content, flash.len_bytes).ok()?;
    Some(StoreDocument {
        format: words::store_format(store.format()),
        layout: store.layout().map(words::layout),
        size_bytes: store.size_bytes(),
        used_bytes: store.used_bytes(),
        variables: store.variables().count(),
        secure_boot_keys: store.variables().any(|entry| {
            entry.guid == fm_varstore::GLOBAL_VARIABLE
                && entry.name.to_string() == "PK"
                && !entry.data.is_empty()
        }),
        damage: store
            .damage_found()
            .iter()
            // The tree tells these.
            .filter(|damage| !matches!(damage.kind, DamageKind::Truncated | DamageKind::VolumeChecksum))
            .map(ToString::to_string)
            .collect(),
    })
}
