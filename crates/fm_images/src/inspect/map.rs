//! What lies where in the flash, and where the code in it runs from.

use fm_api::v1::inspect::{
    PartDocument, RegionDocument, RegionKind, RegionRunsFrom, RunsFrom, StoreDocument,
};
use fm_formats::image;
use fm_formats::volume::{Node, NodeId, NodeKind, SectionFacts, Tree, VolumeHeader};

use super::Flash;

/// Regions from the start of the flash to its end.
pub(super) fn map(tree: &Tree<'_>, flash: &Flash, store: Option<&StoreDocument>) -> Vec<RegionDocument> {
    let top = tree
        .nodes()
        .iter()
        .enumerate()
        .filter(|(_, node)| node.parent.is_none());
    let mut regions: Vec<RegionDocument> = top.map(|(id, node)| region(tree, id, node, store)).collect();
    let read = flash.content.len() as u64;
    let unread = flash.len_bytes - read;
    match regions.last_mut() {
        // What lies behind is of one byte, as the padding before it is.
        Some(last) if last.kind == RegionKind::Padding && last.used_bytes == 0 => last.size_bytes += unread,
        _ if unread > 0 => regions.push(RegionDocument {
            offset: read,
            size_bytes: unread,
            kind: RegionKind::Padding,
            name: None,
            used_bytes: 0,
            runs_from: None,
            parts: Vec::new(),
        }),
        _ => {}
    }
    regions
}

fn region(tree: &Tree<'_>, id: NodeId, node: &Node, store: Option<&StoreDocument>) -> RegionDocument {
    let (kind, name, used) = match &node.kind {
        NodeKind::Volume(facts) if facts.header.file_system == VolumeHeader::NV_DATA => {
            // What lies behind the variables is room for them, and working space of the driver.
            let variables = |store: &StoreDocument| {
                let used = (node.header_len_bytes as u64).saturating_add(store.used_bytes);
                usize::try_from(used).map_or(node.len_bytes, |used| used.min(node.len_bytes))
            };
            // The store is that at the start.
            let store = store.filter(|_| node.start == 0);
            (
                RegionKind::Variables,
                None,
                store.map_or(facts.used_bytes, variables),
            )
        }
        NodeKind::Volume(facts) => {
            let name = facts
                .name
                .map(|guid| image::name_of(guid).map_or_else(|| guid.to_string(), Into::into));
            (RegionKind::Volume, name, facts.used_bytes)
        }
        NodeKind::Padding { fill: None } => (RegionKind::Padding, None, node.len_bytes),
        _ => (RegionKind::Padding, None, 0),
    };
    let parts = parts(tree, id);
    let runs_from = match parts.as_slice() {
        [] => None,
        [first, rest @ ..] if rest.iter().all(|part| part.runs_from == first.runs_from) => {
            Some(match first.runs_from {
                RunsFrom::Flash => RegionRunsFrom::Flash,
                RunsFrom::RamAfterDecompression => RegionRunsFrom::RamAfterDecompression,
            })
        }
        _ => Some(RegionRunsFrom::Mixed),
    };
    RegionDocument {
        offset: node.start as u64,
        size_bytes: node.len_bytes as u64,
        kind,
        name,
        used_bytes: used as u64,
        runs_from,
        parts,
    }
}

/// The runs of files with code, and of sections that code comes out of.
fn parts(tree: &Tree<'_>, region: NodeId) -> Vec<PartDocument> {
    let is_code = |node: &Node| match node.kind {
        NodeKind::File(facts) => facts.kind.is_executable() && facts.is_live(),
        _ => false,
    };
    let mut parts: Vec<PartDocument> = Vec::new();
    for (id, node) in tree.descendants(region).filter(|(_, node)| node.buffer == 0) {
        let from = match node.kind {
            NodeKind::File(_) if is_code(node) => RunsFrom::Flash,
            NodeKind::Section(SectionFacts { decoded: Some(_), .. })
                if tree.descendants(id).any(|(_, node)| is_code(node)) =>
            {
                RunsFrom::RamAfterDecompression
            }
            _ => continue,
        };
        let (start, end) = (node.start as u64, (node.start + node.len_bytes) as u64);
        match parts.last_mut() {
            // A section in a file that was counted.
            Some(last) if start < last.offset + last.size_bytes => {}
            // Data between two pieces of code is not worth a part.
            Some(last) if last.runs_from == from => last.size_bytes = end - last.offset,
            _ => parts.push(PartDocument {
                offset: start,
                size_bytes: end - start,
                runs_from: from,
            }),
        }
    }
    parts
}
