//! Which firmware a domain has: CODE, the length of VARS, and the template that VARS are made from.

use std::path::Path;

use fm_formats::Sha256;
use fm_libvirt::{Domain, DomainInfo, FileFormat};
use fm_saved as saved;
use fm_store::Store;

use crate::libvirt::Error;
use crate::libvirt::flash_file::{digest, is_qcow2, len_bytes, read};
use crate::{Result, capture};

/// The firmware of a domain.
pub(super) struct Firmware {
    pub(super) code: Vec<u8>,
    pub(super) vars_bytes: Option<u64>,
}

/// Of a domain that runs: its own memory, whatever its files hold by now.
pub(super) fn running(info: &DomainInfo) -> Result<Firmware> {
    let guest = fm_host::find(&info.uuid)?;
    let code = guest.read_flash(0)?;
    let vars_bytes = guest.flash_unit(1).ok().and_then(|unit| unit.size_bytes);
    Ok(Firmware { code, vars_bytes })
}

/// Of a domain whose memory libvirt keeps in a file: its next start goes on with that, and so the file has to name
/// the stored build as well.
pub(super) fn saved(store: &Store, image: &Path, domain: &Domain) -> Result<Firmware> {
    let request = saved::AdoptRequest {
        path: image.to_owned(),
    };
    let adopted = saved::adopt(store, &request)?;
    Ok(Firmware {
        code: read(&adopted.loader, FileFormat::Raw)?,
        vars_bytes: vars_bytes(domain),
    })
}

/// The same, and the file is only read.
pub(super) fn in_saved(image: &Path, domain: &Domain) -> Result<Firmware> {
    Ok(Firmware {
        code: saved::adoptable_code(image)?,
        vars_bytes: vars_bytes(domain),
    })
}

/// Of a domain that is off: what it would boot from.
pub(super) fn from_files(info: &DomainInfo, domain: &Domain) -> Result<Firmware> {
    let Some(path) = domain.flash() else {
        return Err(Error::Definition {
            domain: info.name.clone(),
            source: fm_libvirt::AdoptError::NotChosen,
        }
        .into());
    };
    if !path.exists() {
        return Err(Error::FirmwareGone {
            domain: info.name.clone(),
            path: path.clone(),
        }
        .into());
    }
    let not_raw = |what| Error::NotRaw {
        domain: info.name.clone(),
        what,
    };
    // QEMU would take the image itself for the flash.
    let is_misnamed = |path: &Path, format| format == FileFormat::Raw && is_qcow2(path);
    let format = domain
        .loader
        .as_ref()
        .map_or(FileFormat::Raw, |loader| loader.format);
    if is_misnamed(path, format) {
        return Err(not_raw("CODE").into());
    }
    let nvram = domain.nvram.as_ref();
    if nvram.is_some_and(|nvram| {
        let path = nvram.path.as_deref();
        path.is_some_and(|path| is_misnamed(path, nvram.format))
    }) {
        return Err(not_raw("VARS").into());
    }
    Ok(Firmware {
        code: read(path, format)?,
        vars_bytes: vars_bytes(domain),
    })
}

fn vars_bytes(domain: &Domain) -> Option<u64> {
    let nvram = domain.nvram.as_ref()?;
    let own = nvram.path.as_ref();
    own.and_then(|path| len_bytes(path, nvram.format))
        .or_else(|| len_bytes(nvram.template.as_ref()?, nvram.template_format))
}

/// The template that a domain's VARS are made from.
#[derive(Default)]
pub(super) struct Template {
    /// Its digest, if it is known.
    pub(super) sha256: Option<Sha256>,
    /// What it holds, if it is here.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Template {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            sha256: Some(Sha256::of(&bytes)),
            bytes: Some(bytes),
        }
    }
}

/// The domain's own template, and never one that another domain of the same CODE brought: with that, Secure Boot
/// would be on or off by chance. `domains` are its definition and what runs, in this order.
pub(super) fn template(store: &Store, domains: &[&Domain], firmware: &Firmware) -> Template {
    let fitting_as = |path: &Path, format| {
        read(path, format)
            .ok()
            .filter(|bytes| Some(bytes.len() as u64) == firmware.vars_bytes)
    };
    // Files of the store are raw, and so are those of which no definition says how they hold their bytes.
    let fitting = |path: &Path| fitting_as(path, FileFormat::Raw);
    let nvrams = || domains.iter().filter_map(|domain| domain.nvram.as_ref());
    if nvrams().next().is_none() {
        return Template::default();
    }
    let is_ours = |path: &Path| path.starts_with(store.path());
    let ours: Vec<&Path> = nvrams()
        .filter_map(|nvram| nvram.template.as_deref())
        .filter(|path| is_ours(path))
        .collect();
    // What somebody wrote into the definition counts before what we once wrote into the metadata.
    let theirs = nvrams().find_map(|nvram| {
        let path = nvram.template.as_deref().filter(|path| !is_ours(path))?;
        fitting_as(path, nvram.template_format)
    });
    if let Some(bytes) = theirs {
        return Template::of(bytes);
    }
    let identities = || domains.iter().filter_map(|domain| domain.identity.as_ref());
    if let Some(known) = identities().find_map(|ours| ours.vars_template) {
        return Template {
            sha256: Some(known),
            bytes: ours
                .iter()
                .filter_map(|path| fitting(path))
                .find(|bytes| Sha256::of(bytes) == known),
        };
    }
    // An older Flashmoor gave every domain of one CODE the same template, whichever came first.
    let before = identities().find_map(|ours| ours.template_before.as_deref());
    if let Some(bytes) = before.and_then(fitting) {
        return Template::of(bytes);
    }
    // Without a word of a template libvirt takes the one that belongs to CODE's path.
    let beside = domains.iter().find_map(|domain| {
        let (code, format) = (domain.flash()?, domain.loader.as_ref()?.format);
        let same = digest(code, format)? == Sha256::of(&firmware.code);
        same.then(|| capture::template(code))?
    });
    let fits = |bytes: &Vec<u8>| Some(bytes.len() as u64) == firmware.vars_bytes;
    if let Some(bytes) = beside.filter(fits) {
        return Template::of(bytes);
    }
    let builds = store.path().join("builds");
    ours.into_iter()
        .filter(|path| path.starts_with(&builds))
        .find_map(fitting)
        .map(Template::of)
        .unwrap_or_default()
}
