//! What a domain's XML says of its firmware, and what Flashmoor once wrote there.

use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use roxmltree::Node;

use crate::DomainXmlError;
use crate::own_element::{Owner, before, is_address, ours, owner};
use crate::xml::{child, domain, nvram_file, parse, path, text};

/// A domain, as far as its firmware goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its UUID, as written.
    pub uuid: Option<String>,
    /// Its machine type.
    pub machine: Option<String>,
    /// `<loader>`.
    pub loader: Option<Loader>,
    /// `<nvram>`.
    pub nvram: Option<Nvram>,
    /// Whether libvirt chooses the firmware by itself: `<os firmware='efi'>`.
    pub firmware_autoselect: bool,
    /// Whether it says where its control groups belong. libvirt notes that in whatever runs with them
    /// (`src/hypervisor/domain_cgroup.c:virDomainCgroupInitCgroup`), and definitions rarely have it.
    pub has_cgroup_partition: bool,
    /// What `flashmoor libvirt adopt` wrote.
    pub identity: Option<Identity>,
    /// What its owner says of rollouts.
    pub owner: Option<Owner>,
}

/// `<loader>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// The file.
    pub path: Option<PathBuf>,
    /// Whether it is flash, and not what `-bios` takes.
    pub is_flash: bool,
    /// How the file holds the bytes.
    pub format: FileFormat,
    /// Whether only SMM may write VARS.
    pub secure: bool,
}

/// `<nvram>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nvram {
    /// The file, as text or, from libvirt 8.5 on, as `<source file=…>`; nothing if it is on a block device or network.
    pub path: Option<PathBuf>,
    /// The block device that it is on, if it is on one.
    pub device: Option<PathBuf>,
    /// What it is made from if it is missing.
    pub template: Option<PathBuf>,
    /// How the file holds the bytes.
    pub format: FileFormat,
    /// How the template does. Before libvirt 10.10, which says it, the template was copied as it is.
    pub template_format: FileFormat,
}

/// How a flash file holds its bytes. libvirt says so from 9.2 on, and drops what it does not know before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// As they are.
    Raw,
    /// In a qcow2 image.
    Qcow2,
    /// In another way.
    Other,
}

impl FileFormat {
    /// From the attribute `name` of an element, if it has that.
    pub(crate) fn named(node: Node<'_, '_>, name: &str) -> Option<Self> {
        node.attribute(name).map(|format| match format {
            "raw" => Self::Raw,
            "qcow2" => Self::Qcow2,
            _ => Self::Other,
        })
    }

    /// From `format` of an element: raw unless it says so.
    pub(crate) fn of(node: Node<'_, '_>) -> Self {
        Self::named(node, "format").unwrap_or(Self::Raw)
    }
}

/// Which firmware a domain runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The sha256 of CODE.
    pub build: Sha256,
    /// The length of CODE.
    pub code_bytes: u64,
    /// The length of VARS, if the guest has it.
    pub vars_bytes: Option<u64>,
    /// The sha256 of the template that its VARS were made from; who was adopted by an older Flashmoor does not
    /// say.
    pub vars_template: Option<Sha256>,
    /// The agent of the host that runs it, as `HOST:PORT`: it gives the build to hosts of its fleet.
    pub peer: Option<String>,
    /// What it had booted with when it was given that build, which waited for a reset then.
    pub booted: Option<Booted>,
    /// Where CODE was before the domain was adopted.
    pub loader_before: Option<PathBuf>,
    /// Where the template was before the domain was adopted.
    pub template_before: Option<PathBuf>,
}

/// What a guest had booted with when it was given another build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booted {
    /// The sha256 of its CODE then.
    pub build: Sha256,
    /// How often it had booted by then, where its variables say so.
    pub boots: Option<u32>,
}

impl Nvram {
    /// Whether it lies at `path`, by that name or another one.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let own = self.path.as_deref().or(self.device.as_deref());
        own.is_some_and(|own| {
            own == path
                || matches!((own.canonicalize(), path.canonicalize()), (Ok(own), Ok(path)) if own == path)
        })
    }
}

impl Domain {
    /// Reads a domain's XML.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(xml: &str) -> Result<Self, DomainXmlError> {
        let document = parse(xml)?;
        let domain = domain(&document)?;
        let os = child(domain, "os");
        Ok(Self {
            name: child(domain, "name").and_then(text).unwrap_or_default(),
            uuid: child(domain, "uuid").and_then(text),
            machine: os
                .and_then(|os| child(os, "type"))
                .and_then(|kind| kind.attribute("machine"))
                .map(str::to_owned),
            loader: os.and_then(|os| child(os, "loader")).map(|loader| Loader {
                path: text(loader).map(PathBuf::from),
                is_flash: loader.attribute("type") == Some("pflash"),
                format: FileFormat::of(loader),
                secure: loader.attribute("secure") == Some("yes"),
            }),
            nvram: os.and_then(|os| child(os, "nvram")).map(|nvram| Nvram {
                path: nvram_file(nvram),
                device: child(nvram, "source").and_then(|source| path(source, "dev")),
                template: path(nvram, "template"),
                format: FileFormat::of(nvram),
                template_format: FileFormat::named(nvram, "templateFormat")
                    .unwrap_or_else(|| FileFormat::of(nvram)),
            }),
            firmware_autoselect: os.is_some_and(|os| os.has_attribute("firmware")),
            has_cgroup_partition: child(domain, "resource").is_some(),
            identity: ours(domain).and_then(identity),
            owner: owner(domain),
        })
    }

    /// The file of its CODE flash, if it has one, raw or qcow2.
    #[must_use]
    pub fn flash(&self) -> Option<&PathBuf> {
        let loader = self.loader.as_ref()?;
        let is_known = loader.is_flash && loader.format != FileFormat::Other;
        loader.path.as_ref().filter(|_| is_known)
    }
}

/// What is not as we write it is as good as absent: nothing may be built on it.
fn identity(ours: Node<'_, '_>) -> Option<Identity> {
    let bytes = |name| ours.attribute(name)?.parse::<u64>().ok();
    let before = before(ours);
    let digest = |name| ours.attribute(name)?.strip_prefix("sha256:")?.parse().ok();
    Some(Identity {
        build: digest("build")?,
        code_bytes: bytes("code-bytes")?,
        vars_bytes: match ours.attribute("vars-bytes") {
            Some(_) => Some(bytes("vars-bytes")?),
            None => None,
        },
        vars_template: digest("vars-template"),
        peer: ours
            .attribute("peer")
            .filter(|peer| is_address(peer))
            .map(str::to_owned),
        booted: digest("booted").map(|build| Booted {
            build,
            boots: ours.attribute("boots").and_then(|boots| boots.parse().ok()),
        }),
        loader_before: before.and_then(|before| path(before, "path")),
        template_before: before.and_then(|before| path(before, "template")),
    })
}
