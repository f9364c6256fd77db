//! Changes to a domain's XML at byte ranges, so that every other byte stays.

use std::ops::Range;
use std::path::Path;

use roxmltree::Node;

use crate::DomainXmlError;
use crate::xml::{child, escape, escaped, text};

/// What shall stand where; ranges must not overlap.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    pub(crate) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push((range, text.into()));
    }

    /// Takes an element away, with the blanks before it.
    pub(crate) fn remove(&mut self, node: Node<'_, '_>) {
        self.replace(with_blanks_before(node), "");
    }

    pub(crate) fn apply(mut self, xml: &str) -> String {
        // what is put in at a place comes before what is taken away from there
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut edited = String::with_capacity(xml.len() + 1024);
        let mut at = 0;
        for (range, text) in self.0 {
            edited.push_str(xml.get(at..range.start).unwrap_or_default());
            edited.push_str(&text);
            at = range.end;
        }
        edited.push_str(xml.get(at..).unwrap_or_default());
        edited
    }
}

/// The line break before an element and its indentation, as the source has them.
pub(crate) fn indent<'a>(node: Node<'a, '_>) -> &'a str {
    let before = node
        .document()
        .input_text()
        .get(..node.range().start)
        .unwrap_or("");
    let text = before.trim_end_matches([' ', '\t']);
    match text.strip_suffix('\n') {
        Some(text) => &before[text.strip_suffix('\r').unwrap_or(text).len()..],
        None => "",
    }
}

/// An element and the blanks before it.
fn with_blanks_before(node: Node<'_, '_>) -> Range<usize> {
    let blanks = indent(node).len();
    node.range().start - blanks..node.range().end
}

/// CODE at `loader` and, if given, VARS made from `template`; no choice of firmware is left to libvirt. CODE that is named
/// anew is raw, as all builds of the store are; a template has the format of VARS.
pub(crate) fn point(
    domain: Node<'_, '_>,
    loader: &Path,
    template: Option<&Path>,
    edits: &mut Edits,
) -> Result<(), DomainXmlError> {
    let os = child(domain, "os").ok_or(DomainXmlError::NoLoader)?;
    let code = child(os, "loader").ok_or(DomainXmlError::NoLoader)?;
    let path = code
        .children()
        .find(Node::is_text)
        .ok_or(DomainXmlError::NoLoader)?;
    if text(code).is_none_or(|now| Path::new(&now) != loader) {
        edits.replace(path.range(), escaped(loader)?);
        raw_loader(code, edits);
    }
    if let (Some(template), Some(nvram)) = (template, child(os, "nvram")) {
        name_template(nvram, template, edits)?;
    }
    settle_choice(os, edits);
    Ok(())
}

/// The file that `<loader>` comes to name is raw.
pub(crate) fn raw_loader(loader: Node<'_, '_>, edits: &mut Edits) {
    if let Some(format) = loader.attribute_node("format") {
        edits.replace(format.range_value(), "raw");
    }
}

/// `<nvram>` names a template of the format that VARS have: libvirt converts none (11.3: `conversion of the nvram template
/// to another target format is not supported`), and before 10.10 copies it as it is.
pub(crate) fn name_template(
    nvram: Node<'_, '_>,
    template: &Path,
    edits: &mut Edits,
) -> Result<(), DomainXmlError> {
    let mut new = String::new();
    let value = escaped(template)?;
    match nvram.attribute_node("template") {
        Some(attribute) => edits.replace(attribute.range_value(), value),
        None => new += &format!(" template='{value}'"),
    }
    match nvram.attribute_node("templateFormat") {
        Some(format) => edits.replace(format.range_value(), nvram.attribute("format").unwrap_or("raw")),
        None => {
            if let Some(format) = nvram.attribute("format").filter(|format| *format != "raw") {
                new += &format!(" templateFormat='{}'", escape(format));
            }
        }
    }
    if !new.is_empty() {
        let at = nvram.range().start + "<nvram".len();
        edits.replace(at..at, new);
    }
    Ok(())
}

/// Takes away what makes libvirt choose firmware by itself: with a path beside it, it would look for a
/// description of that path, and there is none.
pub(crate) fn settle_choice(os: Node<'_, '_>, edits: &mut Edits) {
    if let Some(firmware) = os.attribute_node("firmware") {
        // the blank before the attribute as well
        edits.replace(firmware.range().start - 1..firmware.range().end, "");
    }
    if let Some(features) = child(os, "firmware") {
        edits.remove(features);
    }
}
