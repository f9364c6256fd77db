//! What a module is called.

use fm_formats::volume::{FileKind, NodeId, Tree};
use fm_formats::{Guid, image};

/// The name that the build gave the module, else edk2's. What only holds modules has no name in itself.
pub(super) fn module_name(tree: &Tree<'_>, id: NodeId, guid: Guid, kind: FileKind) -> Option<String> {
    let own = if kind == FileKind::VolumeImage {
        None
    } else {
        tree.ui_name(id)
    };
    own.or_else(|| image::name_of(guid).map(Into::into))
}
