//! What the pieces of an image are called.

use fm_formats::volume::{FileFacts, FileKind, NodeId, NodeKind, Tree};
use fm_formats::{Guid, image};

/// The name that a file brings. What only holds volumes has none: it would be that of the first module inside.
pub(super) fn own_name(tree: &Tree<'_>, id: NodeId, facts: &FileFacts) -> Option<String> {
    match facts.kind {
        FileKind::VolumeImage => None,
        _ => tree.ui_name(id),
    }
}

/// What a piece is called where places are told.
pub(super) fn name(tree: &Tree<'_>, id: NodeId) -> Option<String> {
    let known = |guid: Guid| image::name_of(guid).map_or_else(|| guid.to_string(), Into::into);
    Some(match &tree.node(id)?.kind {
        NodeKind::Volume(facts) => known(facts.name.unwrap_or(facts.header.file_system)),
        NodeKind::File(facts) => tree
            .ui_name(id)
            .filter(|_| facts.kind.is_executable())
            .unwrap_or_else(|| known(facts.name)),
        NodeKind::Section(facts) => format!("{} section", facts.kind),
        NodeKind::Padding { .. } => "padding".into(),
        NodeKind::FreeSpace => "free space".into(),
    })
}
