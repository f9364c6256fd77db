//! Flashmoor's own element in a domain's `<metadata>`: its namespace, and where it and its `before` are.

use roxmltree::Node;

use crate::xml::child;

/// The namespace of our element in `<metadata>`.
pub const METADATA_URI: &str = "https://github.com/flashmoor/flashmoor/libvirt/1";

/// Our element in `<metadata>`.
pub(crate) fn ours<'a, 'input>(domain: Node<'a, 'input>) -> Option<Node<'a, 'input>> {
    child(domain, "metadata")?
        .children()
        .find(|node| node.has_tag_name((METADATA_URI, "firmware")))
}

/// What our element keeps of the definition as it was before the domain was adopted.
pub(crate) fn before<'a, 'input>(ours: Node<'a, 'input>) -> Option<Node<'a, 'input>> {
    ours.children()
        .find(|node| node.has_tag_name((METADATA_URI, "before")))
}
