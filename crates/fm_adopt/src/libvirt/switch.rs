//! A domain that is adopted gets another stored build, or goes back to one: its definition names it from the next start on.

use std::path::{Path, PathBuf};

use fm_formats::Sha256;
use fm_libvirt::{Domain, DomainInfo, Owner, Stored, Virsh};
use fm_store::Store;

use super::Error;
use super::adopt::{parse, pin};
use crate::Result;

/// What a domain's definition says of its firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedFirmware {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whether a process runs for it.
    pub is_running: bool,
    /// Whether it outlives its shutdown.
    pub is_persistent: bool,
    /// Whether its next start goes on with memory that was saved.
    pub is_saved: bool,
    /// The build that it is held to; nothing if it is not adopted.
    pub build: Option<Sha256>,
    /// Its VARS file.
    pub vars: Option<PathBuf>,
    /// What its owner says of rollouts.
    pub owner: Option<Owner>,
}

/// What a domain's definition says; nothing if this host has no such domain.
///
/// # Errors
/// If libvirt does not answer, or the definition cannot be read.
pub fn defined_firmware(virsh: &Virsh, uuid: &str) -> Result<Option<DefinedFirmware>> {
    if !virsh.uuids()?.iter().any(|known| known == uuid) {
        return Ok(None);
    }
    let info = virsh.info(uuid)?;
    let domain = match info.is_persistent {
        true => Some(parse(&info, &virsh.inactive(uuid)?)?),
        false => None,
    };
    Ok(Some(DefinedFirmware {
        is_running: info.is_running,
        is_persistent: info.is_persistent,
        is_saved: info.managed_save.is_some() && !info.is_running,
        build: domain
            .as_ref()
            .and_then(|domain| domain.identity.as_ref().map(|ours| ours.build)),
        owner: domain.as_ref().and_then(|domain| domain.owner.clone()),
        vars: domain.and_then(|domain| domain.nvram?.path),
        name: info.name,
        uuid: info.uuid,
    }))
}

/// Lets the definition name `build`, which the store has, and `vars` if they are to be others than before. Both at once:
/// libvirt replaces a definition whole. What runs goes on with what it has.
///
/// # Errors
/// If the domain is not adopted, the store lacks the build, or libvirt refuses.
pub fn switch(store: &Store, virsh: &Virsh, uuid: &str, build: &Sha256, vars: Option<&Path>) -> Result<()> {
    let info = virsh.info(uuid)?;
    let xml = virsh.inactive(uuid)?;
    let domain = parse(&info, &xml)?;
    let failed = |source| Error::Definition {
        domain: info.name.clone(),
        source,
    };
    let before = domain
        .identity
        .as_ref()
        .ok_or_else(|| failed(fm_libvirt::AdoptError::NotAdopted))?;
    let stored = stored(store, &domain, build, vars)?;
    let mut edited = fm_libvirt::adopted(&xml, &stored).map_err(failed)?;
    if let Some(vars) = vars {
        edited = fm_libvirt::with_vars(&edited, vars).map_err(failed)?;
    }
    // It is needed from the moment at which the definition names it.
    store.pin(build, &pin(&info))?;
    if edited != xml {
        virsh.define(&edited)?;
    }
    let old = before.build;
    if old != *build && !info.is_running {
        let_go(store, &info, &old)?;
    }
    Ok(())
}

/// Lets a build go that the domain neither runs nor names any more.
///
/// # Errors
/// If libvirt does not answer, or the store refuses.
pub fn let_go_of(store: &Store, virsh: &Virsh, uuid: &str, build: &Sha256) -> Result<()> {
    let info = virsh.info(uuid)?;
    if !info.is_persistent || virsh.defined(uuid)?.map(|ours| ours.build) != Some(*build) {
        let_go(store, &info, build)?;
    }
    Ok(())
}

fn let_go(store: &Store, info: &DomainInfo, build: &Sha256) -> Result<()> {
    if store.build(build)?.is_some() {
        store.unpin(build, Some(&pin(info)))?;
    }
    Ok(())
}

fn stored(store: &Store, domain: &Domain, build: &Sha256, vars: Option<&Path>) -> Result<Stored> {
    let found = store.build(build)?.ok_or_else(|| fm_store::Error::UnknownBuild {
        text: build.to_string(),
    })?;
    let file = vars.or(domain.nvram.as_ref().and_then(|nvram| nvram.path.as_deref()));
    let vars_bytes = file.and_then(|file| file.metadata().ok()).map(|file| file.len());
    let own = domain.identity.as_ref().and_then(|ours| ours.vars_template);
    // The template that the domain's own variables were made from, while that fits; else the one that the build came with.
    let fits = |size_bytes: u64| Some(size_bytes) == vars_bytes;
    let template = found
        .templates
        .iter()
        .find(|part| Some(part.sha256) == own)
        .or(found.vars_template.as_ref())
        .filter(|part| fits(part.size_bytes));
    Ok(Stored {
        build: found.id,
        code_bytes: found.code.size_bytes,
        vars_bytes,
        vars_template: template.map(|part| part.sha256).or(own),
        template: template.map(|part| part.path.clone()),
        code: found.code.path,
        booted: None,
        chosen: None,
        peer: None,
    })
}
