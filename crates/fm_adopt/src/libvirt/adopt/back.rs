//! Giving a domain's definition back as it was.

use std::path::PathBuf;

use fm_libvirt::{Domain, DomainInfo, Virsh};
use fm_store::Store;

use super::definition::parse;
use super::pins::pin;
use super::{AdoptedDomain, Done};
use crate::Result;
use crate::libvirt::Error;

pub(super) fn one(store: &Store, virsh: &Virsh, info: &DomainInfo, forced: bool) -> Result<Done> {
    let mut identity = None;
    let mut definition_changed = false;
    let mut loader = None;
    let mut missing = None;
    if info.is_persistent {
        let xml = virsh.inactive(&info.uuid)?;
        let domain = parse(info, &xml)?;
        if domain.identity.is_some() {
            let edited = fm_libvirt::unadopted(&xml).map_err(|source| Error::Definition {
                domain: info.name.clone(),
                source,
            })?;
            let given_back = parse(info, &edited)?;
            missing = gone(&given_back);
            if let Some(path) = missing.clone().filter(|_| !forced) {
                return Err(Error::NothingToGoBackTo {
                    domain: info.name.clone(),
                    path,
                }
                .into());
            }
            virsh.define(&edited)?;
            definition_changed = true;
            loader = given_back.flash().cloned();
            identity = domain.identity;
        }
    }
    if info.is_running
        && let Some(live) = parse(info, &virsh.live(&info.uuid)?)?.identity
    {
        virsh.unstamp(&info.uuid)?;
        identity = identity.or(Some(live));
    }
    let Some(identity) = identity else {
        return Ok(Err(format!("domain {} is not adopted", info.name)));
    };
    // What it cannot start without stays: this may be the only copy.
    if missing.is_none() && store.build(&identity.build)?.is_some() {
        store.unpin(&identity.build, Some(&pin(info)))?;
    }
    Ok(Ok(AdoptedDomain {
        name: info.name.clone(),
        uuid: info.uuid.clone(),
        build: identity.build.to_string(),
        code_bytes: identity.code_bytes,
        vars_bytes: identity.vars_bytes,
        loader,
        definition_changed,
        running: info.is_running,
    }))
}

/// What a domain with this definition would miss at its next start.
fn gone(domain: &Domain) -> Option<PathBuf> {
    let nvram = domain.nvram.as_ref();
    let has_vars = nvram
        .and_then(|nvram| nvram.path.as_ref())
        .is_some_and(|path| path.exists());
    let template = nvram
        .and_then(|nvram| nvram.template.as_ref())
        .filter(|_| !has_vars);
    let needed = [domain.flash(), template];
    needed.into_iter().flatten().find(|path| !path.exists()).cloned()
}
