//! The whole tree as a document: every volume, file and section in order.

use fm_api::v1::inspect::{NodeDocument, NodeType};
use fm_formats::volume::pe::PeFacts;
use fm_formats::volume::{Node, NodeId, NodeKind, SectionKind, Tree, VolumeHeader, depex};
use fm_formats::{Guid, image};

use super::Flash;
use super::module_name::module_name;

pub(super) fn nodes(tree: &Tree<'_>, flash: &Flash) -> Vec<NodeDocument> {
    let mut nodes: Vec<NodeDocument> = tree
        .nodes()
        .iter()
        .enumerate()
        .map(|(id, node)| node_document(tree, id, node))
        .collect();
    // Padding at the end was not read.
    let unread = flash.len_bytes - flash.content.len() as u64;
    let continues = tree.nodes().last().is_some_and(|last| {
        last.parent.is_none()
            && matches!(last.kind, NodeKind::Padding { fill: Some(fill) } if fill == flash.fill)
    });
    match nodes.last_mut() {
        Some(last) if continues => last.size_bytes += unread,
        _ if unread > 0 => nodes.push(NodeDocument {
            depth: 0,
            kind: NodeType::Padding,
            subtype: None,
            guid: None,
            name: None,
            offset: flash.content.len() as u64,
            size_bytes: unread,
            header_bytes: 0,
            compressed: false,
            detail: Some(all(flash.fill)),
        }),
        _ => {}
    }
    nodes
}

fn all(fill: u8) -> String {
    format!("all {fill:#04x}")
}

fn node_document(tree: &Tree<'_>, id: NodeId, node: &Node) -> NodeDocument {
    let known = |guid: Guid| image::name_of(guid).map(String::from);
    let (kind, subtype, guid, name, detail) = match &node.kind {
        NodeKind::Volume(facts) => {
            let guid = facts.name.unwrap_or(facts.header.file_system);
            let full = facts.used_bytes.saturating_mul(100) / node.len_bytes.max(1);
            // Of variables the room for them counts, which is a part of the volume.
            let is_full = facts.header.file_system != VolumeHeader::NV_DATA;
            let full = is_full.then(|| format!("{full} % used"));
            (NodeType::Volume, None, Some(guid), known(guid), full)
        }
        NodeKind::File(facts) => {
            let name = module_name(tree, id, facts.name, facts.kind);
            let gone = (!facts.is_live()).then(|| format!("not in use, state {:#04x}", facts.state));
            (
                NodeType::File,
                Some(facts.kind.to_string()),
                Some(facts.name),
                name,
                gone,
            )
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
                NodeType::Section,
                Some(subtype),
                facts.guid,
                name,
                section_detail(tree, node, facts.kind),
            )
        }
        NodeKind::Padding { fill } => {
            let detail = fill.map_or_else(|| "not empty".into(), all);
            (NodeType::Padding, None, None, None, Some(detail))
        }
        NodeKind::FreeSpace => (NodeType::FreeSpace, None, None, None, None),
    };
    NodeDocument {
        depth: node.depth,
        kind,
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
            // A TE header does not tell it.
            let memory = match facts.image_len_bytes {
                0 => String::new(),
                len => format!(", {len:#x} bytes in memory"),
            };
            Some(format!(
                "{} {machine}, {}, entry {:#x}{memory}{path}",
                facts.format,
                subsystem(facts.subsystem),
                facts.entry
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
