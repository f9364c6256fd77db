//! What to say where something is not found.

use std::path::Path;

use fm_formats::volume::Tree;
use fm_remedy::Action;

/// To look at everything that is in the image.
pub(super) fn tree_of(path: &Path) -> Action {
    Action::InspectTree {
        path: path.to_str().map(ToOwned::to_owned),
    }
}

/// What may be why something is not found.
pub(super) fn unread(tree: &Tree<'_>) -> String {
    tree.damages().first().map_or_else(String::new, |damage| {
        format!(", of what could be read: {}", damage.error)
    })
}
