//! Small steps in an XML document that the rest of this room is made of.
//!
//! A domain's XML comes from peers and files of others, and the parser compares each attribute with all others of its
//! element, and each namespace with all that are known where it stands. What would take it longer than its length is
//! refused before ([`parse`]).

use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use crate::DomainXmlError;

/// The longest XML that is read: libvirt's own limit for what it takes over its connection is 4 MiB for one text
/// (libvirt `src/remote/remote_protocol.x`, `REMOTE_STRING_MAX`).
const MAX_XML_BYTES: usize = 16 << 20;
/// Attributes of one element: libvirt's have some ten.
const MAX_ATTRIBUTE_COUNT: usize = 256;
/// Namespaces in all of a definition: each program that keeps metadata has one, and QEMU's own.
const MAX_NAMESPACE_COUNT: usize = 256;
/// How deep elements lie: libvirt's some ten.
const MAX_DEPTH: usize = 256;

/// Reads XML in a time that its length bounds.
///
/// # Errors
/// [`DomainXmlError::Unreasonable`] for what no definition has that much of, or [`DomainXmlError::Xml`].
pub(crate) fn parse(xml: &str) -> Result<Document<'_>, DomainXmlError> {
    reasonable(xml)?;
    Ok(Document::parse(xml)?)
}

/// One walk over the text. Where it is not well-formed, this may count wrong: the parser ends there.
fn reasonable(xml: &str) -> Result<(), DomainXmlError> {
    let unreasonable = |what, limit| Err(DomainXmlError::Unreasonable { what, limit });
    if xml.len() > MAX_XML_BYTES {
        return unreasonable("bytes", MAX_XML_BYTES);
    }
    let (mut namespaces, mut depth) = (0, 0_usize);
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let skipped = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
        if let Some((start, end)) = skipped.into_iter().find(|(start, _)| rest.starts_with(start)) {
            let inside = &rest[start.len()..];
            let Some(at) = inside.find(end) else { return Ok(()) };
            rest = &inside[at + end.len()..];
            continue;
        }
        let tag = tag(rest);
        let text = &rest[..tag.len_bytes];
        if tag.attributes > MAX_ATTRIBUTE_COUNT {
            return unreasonable("attributes in one element", MAX_ATTRIBUTE_COUNT);
        }
        if tag.attributes > 0 {
            namespaces += text.matches("xmlns").count();
        }
        if namespaces > MAX_NAMESPACE_COUNT {
            return unreasonable("namespaces", MAX_NAMESPACE_COUNT);
        }
        if text.starts_with("</") {
            depth = depth.saturating_sub(1);
        } else if !text.ends_with("/>") {
            depth += 1;
        }
        if depth > MAX_DEPTH {
            return unreasonable("elements inside each other", MAX_DEPTH);
        }
        rest = &rest[tag.len_bytes..];
    }
    Ok(())
}

/// A tag at the start of a text.
struct Tag {
    len_bytes: usize,
    attributes: usize,
}

fn tag(text: &str) -> Tag {
    let (mut quote, mut attributes) = (None, 0);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                attributes += 1;
            }
            (None, b'>') => {
                return Tag {
                    len_bytes: at + 1,
                    attributes,
                };
            }
            (None, _) => {}
        }
    }
    Tag {
        len_bytes: text.len(),
        attributes,
    }
}

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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// What took the parser over a minute, and what grows like it.
    fn hostile() -> Vec<String> {
        let mut nested = String::new();
        for at in 0..12_000 {
            let _ = write!(nested, "<a xmlns:n{at}='urn:{at}'>");
        }
        nested += &"</a>".repeat(12_000);
        let mut attributes = String::from("<domain");
        for at in 0..160_000 {
            let _ = write!(attributes, " a{at}='{at}'");
        }
        attributes += "/>";
        let deep = "<a>".repeat(300_000) + &"</a>".repeat(300_000);
        // Namespaces where they are declared, and then used by many.
        let mut used = String::from("<domain");
        for at in 0..300 {
            let _ = write!(used, " xmlns:n{at}='urn:{at}'");
        }
        used += &format!(">{}</domain>", "<n299:x/>".repeat(100_000));
        vec![nested, attributes, deep, used]
    }

    #[test]
    fn what_would_take_longer_than_its_length_is_refused_before_it_is_parsed() {
        for xml in hostile() {
            let error = parse(&xml).unwrap_err();
            assert!(matches!(error, DomainXmlError::Unreasonable { .. }), "{error}");
        }
        let long = format!("<domain>{}</domain>", " ".repeat(MAX_XML_BYTES));
        assert!(matches!(
            parse(&long),
            Err(DomainXmlError::Unreasonable { what: "bytes", .. })
        ));
    }

    #[test]
    fn limits_are_for_elements_and_not_for_what_comments_and_text_hold() {
        let quotes = "'\"<".repeat(400);
        let xml = format!(
            "<?xml version='1.0'?><!-- {quotes} xmlns xmlns --><domain a='>'><![CDATA[{quotes}]]><b c=\"'\"/></domain>"
        );
        parse(&xml).unwrap();
        let many = format!("<domain>{}</domain>", "<disk a='1' b='2'/>".repeat(50_000));
        assert_eq!(parse(&many).unwrap().root_element().children().count(), 50_000);
    }
}
