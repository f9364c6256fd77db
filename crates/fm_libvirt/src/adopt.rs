//! Adopting a domain's definition, and giving it back as it was.
//!
//! ```xml
//! <metadata>
//!   <flashmoor:firmware xmlns:flashmoor="…" build="sha256:…" code-bytes="1966080"
//!       vars-bytes="131072" vars-template="sha256:…">
//!     <flashmoor:before path="/usr/share/OVMF/OVMF_CODE.fd" template="/usr/share/OVMF/OVMF_VARS.fd">
//!       <flashmoor:loader>what the element was, as text</flashmoor:loader>
//!     </flashmoor:before>
//!   </flashmoor:firmware>
//! </metadata>
//! ```
//!
//! `before` is what `unadopted` needs. It is in the definition and not in a file of ours, because it moves
//! with the domain to hosts that have no such file.

use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use fm_remedy::{Failure, Remedy};
use roxmltree::Node;

use crate::DomainXmlError;
use crate::domain::{Booted, Domain, FileFormat};
use crate::edit::{Edits, indent, name_template, raw_loader, settle_choice};
use crate::own_element::{METADATA_URI, before, is_address, ours};
use crate::xml::{child, domain, escape, escaped, parse, text};

/// The stored build that a definition shall use.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id.
    pub build: Sha256,
    /// The length of CODE.
    pub code_bytes: u64,
    /// The length of the domain's VARS, if it has one.
    pub vars_bytes: Option<u64>,
    /// Its CODE file.
    pub code: PathBuf,
    /// The sha256 of the template that the domain's VARS are made from, if it is known.
    pub vars_template: Option<Sha256>,
    /// The agent that gives the build to other hosts, as `HOST:PORT`: in what a running domain says of itself only.
    pub peer: Option<String>,
    /// Where that template is stored, in the format of the domain's VARS; nothing leaves what the definition says of it.
    pub template: Option<PathBuf>,
    /// What the guest has booted with, where it waits for a reset into this build. Only what runs says it.
    pub booted: Option<Booted>,
    /// What a definition without paths gets.
    pub chosen: Option<Chosen>,
}

/// What libvirt chose for a domain whose definition names no firmware.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The domain's VARS file.
    pub nvram: Option<PathBuf>,
    /// How that holds its bytes.
    pub nvram_format: FileFormat,
    /// Whether only SMM may write it.
    pub secure: bool,
}

/// Why a definition cannot be adopted, or not given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The XML cannot be read or written.
    #[error(transparent)]
    Xml(#[from] DomainXmlError),
    /// libvirt chooses the firmware, and which it chose is not known.
    #[error("libvirt chooses the domain's firmware when it starts, and it does not run")]
    NotChosen,
    /// The XML is legal and yet of a form that libvirt never writes.
    #[error("the definition has a form that cannot be edited safely")]
    Strange,
    /// There is nothing to give back.
    #[error("the domain is not adopted")]
    NotAdopted,
}

impl Failure for AdoptError {
    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::NotChosen => Some(Remedy::advice("start the domain, and adopt it while it runs")),
            Self::Xml(_) | Self::Strange | Self::NotAdopted => None,
        }
    }
}

/// What says which firmware a domain runs, for `virsh metadata --set`: libvirt gives it its namespace. It is
/// without what an inactive definition keeps.
#[must_use]
pub fn metadata(stored: &Stored) -> String {
    // An address has no character that XML would want escaped.
    let peer = stored.peer.as_deref().filter(|peer| is_address(peer));
    let peer = peer.map(|peer| format!(" peer='{peer}'")).unwrap_or_default();
    let booted = stored.booted.map_or_else(String::new, |booted| {
        let boots = booted
            .boots
            .map_or_else(String::new, |boots| format!(" boots='{boots}'"));
        format!(" booted='sha256:{}'{boots}", booted.build)
    });
    format!("<firmware {}{peer}{booted}/>", facts(stored))
}

fn element(stored: &Stored, before: &str) -> String {
    format!(
        "<flashmoor:firmware xmlns:flashmoor='{METADATA_URI}' {}>{before}</flashmoor:firmware>",
        facts(stored)
    )
}

fn facts(stored: &Stored) -> String {
    let vars = stored
        .vars_bytes
        .map(|bytes| format!(" vars-bytes='{bytes}'"))
        .unwrap_or_default();
    let template = stored
        .vars_template
        .map(|digest| format!(" vars-template='sha256:{digest}'"))
        .unwrap_or_default();
    format!(
        "build='sha256:{}' code-bytes='{}'{vars}{template}",
        stored.build, stored.code_bytes
    )
}

/// The definition `xml`, using `stored` from its next cold boot on.
///
/// # Errors
/// If the XML is no domain with CODE flash, or names none and libvirt's choice is not known.
pub fn adopted(xml: &str, stored: &Stored) -> Result<String, AdoptError> {
    let document = parse(xml)?;
    let domain = domain(&document)?;
    let os = child(domain, "os").ok_or(DomainXmlError::NoLoader)?;
    let mut edits = Edits::default();
    let known = ours(domain);
    // What was there before we came is kept, however often a domain is adopted.
    let before = known
        .and_then(before)
        .map_or_else(|| remember(xml, os), |node| xml[node.range()].to_owned());
    let metadata = element(stored, &before);
    match (known, child(domain, "metadata")) {
        (Some(known), _) => edits.replace(known.range(), metadata),
        (None, Some(all)) if all.children().next().is_some() => {
            let at = all
                .first_child()
                .map_or(all.range().end, |first| first.range().start);
            edits.replace(at..at, metadata);
        }
        (None, Some(empty)) => edits.replace(empty.range(), format!("<metadata>{metadata}</metadata>")),
        (None, None) => {
            let after = child(domain, "uuid").or_else(|| child(domain, "name"));
            let after = after.ok_or(DomainXmlError::NoLoader)?;
            let at = after.range().end;
            edits.replace(
                at..at,
                format!("{}<metadata>{metadata}</metadata>", indent(after)),
            );
        }
    }
    let code = escaped(&stored.code)?;
    let loader = child(os, "loader");
    match (
        loader,
        loader.and_then(|loader| loader.children().find(Node::is_text)),
    ) {
        (Some(loader), Some(path)) => {
            edits.replace(path.range(), code);
            raw_loader(loader, &mut edits);
        }
        (loader, _) => {
            let chosen = stored.chosen.as_ref().ok_or(AdoptError::NotChosen)?;
            let secure = if chosen.secure { " secure='yes'" } else { "" };
            let element = format!("<loader readonly='yes'{secure} type='pflash'>{code}</loader>");
            match loader {
                Some(loader) => edits.replace(loader.range(), element),
                None => {
                    let kind = child(os, "type").ok_or(DomainXmlError::NoLoader)?;
                    let (blanks, at) = (indent(kind), kind.range().end);
                    let nvram = match (&chosen.nvram, child(os, "nvram")) {
                        (Some(nvram), None) => chosen_nvram(stored, chosen.nvram_format, nvram)?,
                        _ => String::new(),
                    };
                    let blanks_before_nvram = if nvram.is_empty() { "" } else { blanks };
                    edits.replace(at..at, format!("{blanks}{element}{blanks_before_nvram}{nvram}"));
                }
            }
        }
    }
    if let (Some(template), Some(nvram)) = (&stored.template, child(os, "nvram")) {
        name_template(nvram, template, &mut edits)?;
    }
    settle_choice(os, &mut edits);
    let edited = edits.apply(xml);
    let meant = Domain::parse(&edited)?;
    let is_raw = meant
        .loader
        .as_ref()
        .is_some_and(|loader| loader.format == FileFormat::Raw);
    if !is_raw
        || meant.flash() != Some(&stored.code)
        || meant.identity.map(|ours| ours.build) != Some(stored.build)
    {
        return Err(AdoptError::Strange);
    }
    Ok(edited)
}

/// `<nvram>` of a definition that had none.
fn chosen_nvram(stored: &Stored, format: FileFormat, nvram: &Path) -> Result<String, AdoptError> {
    let is_qcow2 = format == FileFormat::Qcow2;
    let template = match &stored.template {
        Some(template) if is_qcow2 => format!(" template='{}' templateFormat='qcow2'", escaped(template)?),
        Some(template) => format!(" template='{}'", escaped(template)?),
        None => String::new(),
    };
    let format = if is_qcow2 { " format='qcow2'" } else { "" };
    Ok(format!("<nvram{template}{format}>{}</nvram>", escaped(nvram)?))
}

/// The definition `xml`, with its variables in another file.
///
/// # Errors
/// If the XML is no domain with a VARS file.
pub fn with_vars(xml: &str, vars: &Path) -> Result<String, AdoptError> {
    let document = parse(xml)?;
    let os = child(domain(&document)?, "os").ok_or(DomainXmlError::NoLoader)?;
    let nvram = child(os, "nvram").ok_or(AdoptError::Strange)?;
    let mut edits = Edits::default();
    let value = escaped(vars)?;
    let source = child(nvram, "source").and_then(|source| source.attribute_node("file"));
    match (source, nvram.children().find(Node::is_text)) {
        (Some(file), _) => edits.replace(file.range_value(), value),
        (None, Some(text)) => edits.replace(text.range(), value),
        (None, None) => return Err(AdoptError::Strange),
    }
    let edited = edits.apply(xml);
    match Domain::parse(&edited)?.nvram.and_then(|nvram| nvram.path) {
        Some(path) if path == vars => Ok(edited),
        _ => Err(AdoptError::Strange),
    }
}

/// What [`unadopted`] needs, of the definition as it is.
fn remember(xml: &str, os: Node<'_, '_>) -> String {
    let mut head = String::from("<flashmoor:before");
    let mut body = String::new();
    let mut attribute = |name: &str, value: &str| head += &format!(" {name}='{}'", escape(value));
    if let Some(firmware) = os.attribute("firmware") {
        attribute("firmware", firmware);
    }
    if let Some(path) = child(os, "loader").and_then(text) {
        attribute("path", &path);
    }
    match child(os, "nvram") {
        None => attribute("nvram", "none"),
        Some(nvram) => {
            for (name, ours) in [("template", "template"), ("templateFormat", "template-format")] {
                if let Some(value) = nvram.attribute(name) {
                    attribute(ours, value);
                }
            }
        }
    }
    for (name, node) in [
        ("loader", child(os, "loader")),
        ("features", child(os, "firmware")),
    ] {
        if let Some(node) = node {
            body += &format!(
                "<flashmoor:{name}>{}</flashmoor:{name}>",
                escape(&xml[node.range()])
            );
        }
    }
    format!("{head}>{body}</flashmoor:before>")
}

/// The definition as it was before [`adopted`]; what was changed elsewhere since then stays.
///
/// # Errors
/// [`AdoptError::NotAdopted`], or if the XML cannot be read.
pub fn unadopted(xml: &str) -> Result<String, AdoptError> {
    let document = parse(xml)?;
    let domain = domain(&document)?;
    let ours = ours(domain).ok_or(AdoptError::NotAdopted)?;
    let mut edits = Edits::default();
    let siblings = ours
        .parent()
        .map_or(0, |all| all.children().filter(Node::is_element).count());
    match ours.parent() {
        Some(all) if siblings == 1 => edits.remove(all),
        _ => edits.remove(ours),
    }
    if let (Some(before), Some(os)) = (before(ours), child(domain, "os")) {
        give_back(before, os, &mut edits)?;
    }
    Ok(edits.apply(xml))
}

fn give_back(before: Node<'_, '_>, os: Node<'_, '_>, edits: &mut Edits) -> Result<(), AdoptError> {
    let kept = |name| {
        let mut children = before.children();
        children
            .find(|node| node.has_tag_name((METADATA_URI, name)))
            .and_then(text)
    };
    match (child(os, "loader"), kept("loader")) {
        (Some(loader), Some(text)) => edits.replace(loader.range(), text),
        (Some(loader), None) => edits.remove(loader),
        (None, _) => {}
    }
    if let Some(nvram) = child(os, "nvram") {
        if before.attribute("nvram") == Some("none") {
            edits.remove(nvram);
        } else {
            for (name, ours) in [("template", "template"), ("templateFormat", "template-format")] {
                restore(nvram, name, before.attribute(ours), edits);
            }
        }
    }
    if let (Some(firmware), None) = (before.attribute("firmware"), os.attribute("firmware")) {
        let at = os.range().start + "<os".len();
        edits.replace(at..at, format!(" firmware='{}'", escape(firmware)));
    }
    if let (Some(features), Some(kind)) = (kept("features"), child(os, "type")) {
        let at = kind.range().end;
        edits.replace(at..at, format!("{}{features}", indent(kind)));
    }
    Ok(())
}

/// An attribute as it was: with that value, or absent.
fn restore(node: Node<'_, '_>, name: &str, was: Option<&str>, edits: &mut Edits) {
    match (was, node.attribute_node(name)) {
        (Some(old), Some(attribute)) => edits.replace(attribute.range_value(), escape(old)),
        (Some(old), None) => {
            let at = node.range().start + 1 + node.tag_name().name().len();
            edits.replace(at..at, format!(" {name}='{}'", escape(old)));
        }
        (None, Some(attribute)) => edits.replace(attribute.range().start - 1..attribute.range().end, ""),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests;
