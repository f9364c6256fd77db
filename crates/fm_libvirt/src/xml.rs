//! Small steps in an XML document that the rest of this room is made of.

use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use crate::DomainXmlError;

/// The `<domain>`, also where it is wrapped together with its inactive definition.
pub(crate) fn domain<'a, 'input>(document: &'a Document<'input>) -> Result<Node<'a, 'input>, DomainXmlError> {
    let root = document.root_element();
    match root.tag_name().name() {
        "domain" => Ok(root),
        _ => child(root, "domain").ok_or_else(|| DomainXmlError::NoDomain {
            root: root.tag_name().name().into(),
        }),
    }
}

/// The first child element called `name`.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// An element's text without blanks around it, if there is any.
pub(crate) fn text(node: Node<'_, '_>) -> Option<String> {
    let text = node.text()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// An attribute that is a path.
pub(crate) fn path(node: Node<'_, '_>, name: &str) -> Option<PathBuf> {
    node.attribute(name).map(PathBuf::from)
}

/// A path as text or attribute.
pub(crate) fn escaped(path: &Path) -> Result<String, DomainXmlError> {
    let text = path
        .to_str()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| DomainXmlError::Path { path: path.into() })?;
    Ok(escape(text))
}

/// Any text as text or attribute.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&apos;")
        .replace('"', "&quot;")
}

/// The file that `<nvram>` names: its text, or from libvirt 8.5 on its `<source file=…>`
/// (`src/conf/domain_conf.c:virDomainLoaderDefParseXMLNvram`).
pub(crate) fn nvram_file(nvram: Node<'_, '_>) -> Option<PathBuf> {
    text(nvram)
        .map(PathBuf::from)
        .or_else(|| path(child(nvram, "source")?, "file"))
}
