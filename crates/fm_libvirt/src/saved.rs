//! The firmware of a saved domain's XML: read, and pointed elsewhere with every other byte kept.

use std::path::{Path, PathBuf};

use roxmltree::Node;

use crate::DomainXmlError;
use crate::domain::FileFormat;
use crate::edit::{self, Edits};
use crate::xml::{child, domain, nvram_file, parse};

/// What a domain's XML says of its firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedDomain {
    /// The domain's name.
    pub name: String,
    /// Its UUID, as written.
    pub uuid: Option<String>,
    /// Its machine type.
    pub machine: Option<String>,
    /// CODE.
    pub loader: Option<PathBuf>,
    /// VARS.
    pub nvram: Option<PathBuf>,
    /// What VARS is made from if it is missing.
    pub nvram_template: Option<PathBuf>,
    /// Whether VARS is a qcow2 image, and so has to be what it is made from.
    pub nvram_is_qcow2: bool,
}

/// Reads the firmware part of a domain's XML.
///
/// # Errors
/// [`DomainXmlError::Xml`] or [`DomainXmlError::NoDomain`].
pub fn saved_domain(xml: &str) -> Result<SavedDomain, DomainXmlError> {
    let document = parse(xml)?;
    let domain = domain(&document)?;
    let text = |node: Option<Node<'_, '_>>| {
        node.and_then(|node| node.text())
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    let os = child(domain, "os");
    let nvram = os.and_then(|os| child(os, "nvram"));
    let loader = os.and_then(|os| child(os, "loader"));
    Ok(SavedDomain {
        name: text(child(domain, "name")).unwrap_or_default(),
        uuid: text(child(domain, "uuid")),
        machine: os
            .and_then(|os| child(os, "type"))
            .and_then(|kind| kind.attribute("machine"))
            .map(str::to_owned),
        loader: text(loader).map(PathBuf::from),
        nvram: nvram.and_then(nvram_file),
        nvram_template: nvram
            .and_then(|nvram| nvram.attribute("template"))
            .map(PathBuf::from),
        nvram_is_qcow2: nvram.is_some_and(|nvram| FileFormat::of(nvram) == FileFormat::Qcow2),
    })
}

/// The same XML with CODE at `loader` and, if given, VARS made from `template`.
///
/// # Errors
/// [`DomainXmlError`] if it is no domain's XML or has no `<loader>`.
pub fn with_firmware(xml: &str, loader: &Path, template: Option<&Path>) -> Result<String, DomainXmlError> {
    let document = parse(xml)?;
    let domain = domain(&document)?;
    let mut edits = Edits::default();
    edit::point(domain, loader, template, &mut edits)?;
    Ok(edits.apply(xml))
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain type='qemu' id='3'>\n  <name>web</name>\n  <uuid>d3</uuid>\n  <os>\n    \
        <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n    \
        <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>\n    \
        <nvram template=\"/usr/share/OVMF/OVMF_VARS.fd\">/var/lib/libvirt/qemu/nvram/web.fd</nvram>\n  \
        </os><!-- kept -->\n</domain>\n";

    #[test]
    fn a_domains_firmware_is_read() {
        let domain = saved_domain(XML).unwrap();
        assert_eq!(domain.name, "web");
        assert_eq!(domain.machine.as_deref(), Some("pc-q35-7.2"));
        assert_eq!(
            domain.loader.as_deref(),
            Some(Path::new("/usr/share/OVMF/OVMF_CODE.fd"))
        );
        assert_eq!(
            domain.nvram_template.as_deref(),
            Some(Path::new("/usr/share/OVMF/OVMF_VARS.fd"))
        );
    }

    #[test]
    fn pointing_the_firmware_elsewhere_keeps_every_other_byte() {
        let edited = with_firmware(XML, Path::new("/s/a&b/CODE.fd"), Some(Path::new("/s/VARS.fd"))).unwrap();
        let back = edited
            .replace("/s/a&amp;b/CODE.fd", "/usr/share/OVMF/OVMF_CODE.fd")
            .replace("/s/VARS.fd", "/usr/share/OVMF/OVMF_VARS.fd");
        assert_eq!(back, XML);
        let domain = saved_domain(&edited).unwrap();
        assert_eq!(domain.loader.as_deref(), Some(Path::new("/s/a&b/CODE.fd")));
    }

    #[test]
    fn a_template_is_added_where_there_was_none() {
        let xml = XML.replace(" template=\"/usr/share/OVMF/OVMF_VARS.fd\"", "");
        let edited = with_firmware(&xml, Path::new("/c"), Some(Path::new("/v"))).unwrap();
        assert_eq!(
            saved_domain(&edited).unwrap().nvram_template.as_deref(),
            Some(Path::new("/v"))
        );
        assert_eq!(
            saved_domain(&edited).unwrap().nvram,
            saved_domain(XML).unwrap().nvram
        );
    }

    #[test]
    fn variables_as_a_source_are_read_and_their_template_is_replaced() {
        let nvram = "<nvram template='/nix/store/gone/OVMF_VARS_4M.fd' type='file'>\n      \
            <source file='/var/lib/libvirt/qemu/nvram/web_VARS.fd'/>\n    </nvram>";
        let plain =
            "<nvram template=\"/usr/share/OVMF/OVMF_VARS.fd\">/var/lib/libvirt/qemu/nvram/web.fd</nvram>";
        let xml = XML.replace(plain, nvram);
        let vars = Some(Path::new("/var/lib/libvirt/qemu/nvram/web_VARS.fd"));
        assert_eq!(saved_domain(&xml).unwrap().nvram.as_deref(), vars);
        let edited = with_firmware(&xml, Path::new("/c"), Some(Path::new("/v"))).unwrap();
        let domain = saved_domain(&edited).unwrap();
        assert_eq!(domain.nvram.as_deref(), vars);
        assert_eq!(domain.nvram_template.as_deref(), Some(Path::new("/v")));
    }

    #[test]
    fn what_is_no_domain_or_has_no_loader_is_refused() {
        assert!(matches!(
            with_firmware("<domain/>", Path::new("/c"), None),
            Err(DomainXmlError::NoLoader)
        ));
        assert!(matches!(
            saved_domain("<network/>"),
            Err(DomainXmlError::NoDomain { .. })
        ));
        assert!(matches!(saved_domain("<domain>"), Err(DomainXmlError::Xml(_))));
        let bomb = "<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>";
        assert!(matches!(saved_domain(bomb), Err(DomainXmlError::Xml(_))));
    }
}
