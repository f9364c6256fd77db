//! Turns a parsed image into its document; digests are computed on two threads.

use std::thread;

use fm_formats::image::{self, ImageFacts, ResetVector, Role, Technology};
use fm_formats::varstore::VarStore;
use fm_formats::volume::pe::PeFacts;
use fm_formats::volume::{FileKind, Node, NodeId, NodeKind, SectionKind, Tree, VolumeHeader, depex};
use fm_formats::{Guid, Sha256};
use serde::{Deserialize, Serialize};

use super::document::{
    Build, DamageDocument, ImageDocument, InspectDocument, ModuleDocument, NodeDocument, RangeDocument,
    RegionDocument, ResetVectorDocument, StoreDocument, TableEntryDocument, VolumeDocument,
};
use super::{Cache, Catalogue, Flash, Request, build};

/// What the bytes of an image say, whatever the file is called and whoever built it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) kind: String,
    pub(crate) sha256: String,
    pub(crate) reason: Option<String>,
    /// Its build is not filled in: names change with the catalogue.
    pub(crate) image: Option<ImageDocument>,
    /// The version string in the image.
    version: Option<String>,
    store: Option<StoreDocument>,
}

/// What `flash` holds, from the cache if it was seen before.
pub(super) fn found(flash: &Flash, cache: Option<&Cache>, tree: bool) -> Found {
    let (key, hash) = flash.key();
    let key = if tree { format!("{key}-tree") } else { key };
    cache.and_then(|cache| cache.get(&key)).unwrap_or_else(|| {
        let found = find(flash, hash, tree);
        if let Some(cache) = cache {
            cache.put(&key, &found);
        }
        found
    })
}

pub(super) fn document(request: &Request, flash: &Flash, catalogue: &Catalogue) -> InspectDocument {
    let found = found(flash, request.cache.as_ref(), request.tree);
    let mut document = InspectDocument::new(&request.path, &found.kind, flash.len_bytes);
    document.format = Some(flash.format.into());
    document.reason = found.reason;
    document.store = found.store;
    document.image = found.image.map(|image| ImageDocument {
        build: build::name(catalogue, &found.sha256, found.version),
        ..image
    });
    document.sha256 = Some(found.sha256);
    document
}

fn find(flash: &Flash, hash: sha2::Sha256, with_tree: bool) -> Found {
    thread::scope(|scope| {
        let sha256 = scope.spawn(|| flash.sha256(hash).to_string());
        let tree = flash.tree();
        let facts = ImageFacts::of(&tree, flash.len_bytes);
        // Digests of modules here, of volumes over there: each walks all that was decoded.
        let (volumes, modules) = thread::scope(|scope| {
            let volumes = scope.spawn(|| digests(&tree, volume_nodes(&tree)));
            let modules = digests(&tree, module_nodes(&tree));
            (joined(volumes), modules)
        });
        let sha256 = joined(sha256);
        match facts {
            Err(why) => Found {
                kind: "not-firmware".into(),
                sha256,
                reason: Some(why.to_string()),
                image: None,
                version: None,
                store: None,
            },
            Ok(facts) => Found {
                kind: facts.role.name().into(),
                sha256,
                reason: None,
                image: Some(image_document(
                    flash, &tree, &facts, &volumes, &modules, with_tree,
                )),
                version: image::version_string(&tree),
                store: (facts.role != Role::Code).then(|| store(flash)).flatten(),
            },
        }
    })
}

fn joined<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn image_document(
    flash: &Flash,
    tree: &Tree<'_>,
    facts: &ImageFacts,
    volumes: &[String],
    modules: &[String],
    with_tree: bool,
) -> ImageDocument {
    ImageDocument {
        arch: facts.arch.map(|arch| arch.name().into()),
        cpu_mode: facts.cpu_mode.map(|mode| mode.name().into()),
        platform: facts.platform.map(Into::into),
        layout: facts.layout.map(|layout| layout.name().into()),
        features: facts
            .features
            .iter()
            .map(|feature| feature.name().into())
            .collect(),
        build: Build::unknown(),
        map: map(tree, flash),
        volumes: volume_documents(tree, volumes),
        modules: module_documents(tree, modules),
        reset_vector: facts.reset_vector.as_ref().map(reset_vector),
        damage: damage(tree, facts.reset_vector.as_ref()),
        tree: with_tree.then(|| nodes(tree)),
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
    files.filter(|(_, node)| matches!(node.kind, NodeKind::File(facts) if facts.kind != FileKind::Pad))
}

/// Of a module its body counts, of a volume everything.
fn digests<'t>(tree: &'t Tree<'_>, nodes: impl Iterator<Item = (NodeId, &'t Node)>) -> Vec<String> {
    nodes
        .map(|(_, node)| {
            let bytes = match node.kind {
                NodeKind::Volume(_) => tree.bytes(node),
                _ => tree.body(node),
            };
            Sha256::of(bytes).to_string()
        })
        .collect()
}

fn volume_documents(tree: &Tree<'_>, digests: &[String]) -> Vec<VolumeDocument> {
    let mut documents = Vec::new();
    for ((id, node), sha256) in volume_nodes(tree).zip(digests) {
        let NodeKind::Volume(facts) = &node.kind else {
            continue;
        };
        let guid = facts.name.unwrap_or(facts.header.file_system);
        let compressed = tree.is_compressed(id);
        documents.push(VolumeDocument {
            offset: tree.offset_in_image(id).unwrap_or(0) as u64,
            decoded_offset: compressed.then_some(node.start as u64),
            size: node.len_bytes as u64,
            guid: guid.to_string(),
            name: image::name_of(guid).map(Into::into),
            sha256: sha256.clone(),
            used_bytes: facts.used_bytes as u64,
            compressed,
            measured: guid == image::PEIFV || guid == image::DXEFV,
            runs_from: holds_code(tree, id).then(|| image::runs_from(tree, id).name().into()),
        });
    }
    documents
}

/// Whether one of the volume's own files is code.
fn holds_code(tree: &Tree<'_>, volume: NodeId) -> bool {
    tree.children(volume).any(|(_, node)| match node.kind {
        NodeKind::File(facts) => facts.kind.is_executable(),
        _ => false,
    })
}

fn module_documents(tree: &Tree<'_>, digests: &[String]) -> Vec<ModuleDocument> {
    let volumes: Vec<NodeId> = volume_nodes(tree).map(|(id, _)| id).collect();
    let mut documents = Vec::new();
    for ((id, node), sha256) in module_nodes(tree).zip(digests) {
        let NodeKind::File(facts) = node.kind else {
            continue;
        };
        let volume = node.parent.and_then(|parent| volumes.binary_search(&parent).ok());
        let volume_start = node
            .parent
            .and_then(|parent| tree.node(parent))
            .map_or(0, |node| node.start);
        documents.push(ModuleDocument {
            guid: facts.name.to_string(),
            name: module_name(tree, id, facts.name, facts.kind),
            kind: facts.kind.name().into(),
            sha256: sha256.clone(),
            size_bytes: tree.body(node).len() as u64,
            volume: volume.unwrap_or(0),
            volume_offset: (node.start - volume_start) as u64,
        });
    }
    documents
}

/// The name that the build gave the module, else edk2's. What only holds modules has no name in itself.
fn module_name(tree: &Tree<'_>, id: NodeId, guid: Guid, kind: FileKind) -> Option<String> {
    let own = if kind == FileKind::VolumeImage {
        None
    } else {
        tree.ui_name(id)
    };
    own.or_else(|| image::name_of(guid).map(Into::into))
}

fn map(tree: &Tree<'_>, flash: &Flash) -> Vec<RegionDocument> {
    let top = tree
        .nodes()
        .iter()
        .enumerate()
        .filter(|(_, node)| node.parent.is_none());
    let mut regions: Vec<RegionDocument> = top
        .map(|(id, node)| {
            let (kind, name, used) = match &node.kind {
                NodeKind::Volume(facts) if facts.header.file_system == VolumeHeader::NV_DATA => {
                    ("variables", None, facts.used_bytes)
                }
                NodeKind::Volume(facts) => {
                    let guid = facts.name.unwrap_or(facts.header.file_system);
                    let name = image::name_of(guid).map_or_else(|| guid.to_string(), Into::into);
                    ("volume", Some(name), facts.used_bytes)
                }
                NodeKind::Padding { fill: None } => ("padding", None, node.len_bytes),
                _ => ("padding", None, 0),
            };
            let code = tree.descendants(id).find(|(_, node)| match node.kind {
                NodeKind::File(facts) => facts.kind.is_executable(),
                _ => false,
            });
            RegionDocument {
                offset: node.start as u64,
                size: node.len_bytes as u64,
                kind: kind.into(),
                name,
                used_bytes: used as u64,
                runs_from: code.map(|(id, _)| image::runs_from(tree, id).name().into()),
            }
        })
        .collect();
    let read = flash.content.len() as u64;
    let unread = flash.len_bytes - read;
    match regions.last_mut() {
        // What lies behind is of one byte, as the padding before it is.
        Some(last) if last.kind == "padding" && last.used_bytes == 0 => last.size += unread,
        _ if unread > 0 => regions.push(RegionDocument {
            offset: read,
            size: unread,
            kind: "padding".into(),
            name: None,
            used_bytes: 0,
            runs_from: None,
        }),
        _ => {}
    }
    regions
}

fn reset_vector(table: &ResetVector) -> ResetVectorDocument {
    let entries = table.entries.iter().map(|entry| TableEntryDocument {
        guid: entry.guid.to_string(),
        name: entry.name().map(Into::into),
        data: entry.data.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    let ranges = table.ranges.iter().map(|range| RangeDocument {
        technology: match range.technology {
            Technology::Sev => "sev",
            Technology::SevSnp => "sev-snp",
            Technology::Tdx => "tdx",
            Technology::Igvm => "igvm",
        }
        .into(),
        purpose: range.purpose.into(),
        kind: range.kind,
        base: range.base,
        size: range.len_bytes,
        flash_offset: range.from_flash.map(|(offset, _)| offset),
        measured: range.measured,
    });
    ResetVectorDocument {
        entries: entries.collect(),
        ranges: ranges.collect(),
    }
}

fn damage(tree: &Tree<'_>, table: Option<&ResetVector>) -> Vec<DamageDocument> {
    let in_tree = tree.damages().iter().map(|damage| DamageDocument {
        message: damage.error.to_string(),
        decoded_from: tree
            .origin(damage.buffer)
            .and_then(|section| tree.offset_in_image(section))
            .map(|offset| offset as u64),
    });
    let in_table = table.into_iter().flat_map(|table| &table.damages);
    let in_table = in_table.map(|error| DamageDocument {
        message: error.to_string(),
        decoded_from: None,
    });
    in_tree.chain(in_table).collect()
}

fn store(flash: &Flash) -> Option<StoreDocument> {
    let store = VarStore::parse_file(&flash.content, flash.len_bytes).ok()?;
    Some(StoreDocument {
        format: store.format().name().into(),
        layout: store.layout().map(|layout| layout.name().into()),
        variables: store.variables().count(),
        secure_boot_keys: store
            .variables()
            .any(|entry| entry.name.to_string() == "PK" && !entry.data.is_empty()),
        damage: store
            .damage_found()
            .iter()
            .map(|damage| format!("{:?} at {:#x}", damage.kind, damage.offset))
            .collect(),
    })
}

fn nodes(tree: &Tree<'_>) -> Vec<NodeDocument> {
    tree.nodes()
        .iter()
        .enumerate()
        .map(|(id, node)| node_document(tree, id, node))
        .collect()
}

fn node_document(tree: &Tree<'_>, id: NodeId, node: &Node) -> NodeDocument {
    let known = |guid: Guid| image::name_of(guid).map(String::from);
    let (kind, subtype, guid, name, detail) = match &node.kind {
        NodeKind::Volume(facts) => {
            let guid = facts.name.unwrap_or(facts.header.file_system);
            let full = facts.used_bytes.saturating_mul(100) / node.len_bytes.max(1);
            (
                "volume",
                None,
                Some(guid),
                known(guid),
                Some(format!("{full} % used")),
            )
        }
        NodeKind::File(facts) => {
            let name = module_name(tree, id, facts.name, facts.kind);
            ("file", Some(facts.kind.to_string()), Some(facts.name), name, None)
        }
        NodeKind::Section(facts) => {
            let subtype = match facts.encoding {
                Some(encoding) => format!("{} ({})", facts.kind, encoding.name()),
                None => facts.kind.to_string(),
            };
            let name = facts
                .guid
                .and_then(known)
                .or_else(|| ui_text(tree, node, facts.kind));
            (
                "section",
                Some(subtype),
                facts.guid,
                name,
                section_detail(tree, node, facts.kind),
            )
        }
        NodeKind::Padding { fill } => {
            let detail = fill.map_or("not empty".into(), |fill| format!("all {fill:#04x}"));
            ("padding", None, None, None, Some(detail))
        }
        NodeKind::FreeSpace => ("free-space", None, None, None, None),
    };
    NodeDocument {
        depth: node.depth,
        kind: kind.into(),
        subtype,
        guid: guid.map(|guid| guid.to_string()),
        name,
        offset: node.start as u64,
        size_bytes: node.len_bytes as u64,
        header_bytes: node.header_len_bytes as u64,
        compressed: node.buffer != 0,
        detail,
    }
}

fn ui_text(tree: &Tree<'_>, node: &Node, kind: SectionKind) -> Option<String> {
    if !matches!(kind, SectionKind::Ui | SectionKind::Version) {
        return None;
    }
    let units = tree
        .body(node)
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units.take_while(|unit| *unit != 0).take(200))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .filter(|character| !character.is_control())
        .collect();
    Some(text)
}

fn section_detail(tree: &Tree<'_>, node: &Node, kind: SectionKind) -> Option<String> {
    let body = tree.body(node);
    match kind {
        SectionKind::Pe32 | SectionKind::Te => {
            let facts = PeFacts::parse(body, node.start as u64).ok()?;
            let machine = facts.arch().map_or_else(
                || format!("machine {:#x}", facts.machine),
                |arch| arch.to_string(),
            );
            let path = facts
                .debug_path
                .map(|path| format!(", {path}"))
                .unwrap_or_default();
            Some(format!(
                "{} {machine}, {}, entry {:#x}, {:#x} bytes in memory{path}",
                facts.format,
                subsystem(facts.subsystem),
                facts.entry,
                facts.image_len_bytes
            ))
        }
        SectionKind::DxeDepex | SectionKind::PeiDepex | SectionKind::MmDepex => {
            let ops = depex::parse(body, node.start as u64).ok()?;
            let named = |guid: Guid| image::name_of(guid).map_or_else(|| guid.to_string(), Into::into);
            let words: Vec<String> = ops
                .into_iter()
                .map(|op| match op {
                    depex::Op::Before(guid) => format!("BEFORE {}", named(guid)),
                    depex::Op::After(guid) => format!("AFTER {}", named(guid)),
                    depex::Op::Push(guid) => named(guid),
                    other => format!("{other:?}").to_uppercase(),
                })
                .collect();
            Some(words.join(" "))
        }
        _ => None,
    }
}

fn subsystem(value: u16) -> String {
    match value {
        10 => "application".into(),
        11 => "boot driver".into(),
        12 => "runtime driver".into(),
        other => format!("subsystem {other}"),
    }
}
