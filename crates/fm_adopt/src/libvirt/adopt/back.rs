//! Giving a domain's definition back as it was.

use std::path::PathBuf;

use fm_libvirt::{Domain, DomainInfo, Identity, Virsh};
use fm_store::Store;

use super::definition::parse;
use super::pins::pin;
use super::{AdoptedDomain, Done};
use crate::Result;
use crate::libvirt::Error;

/// What there is to give back of a domain.
struct Back {
    /// Its definition, with what it is to become.
    edited: Option<(String, Domain)>,
    /// What its next start would lack then.
    missing: Option<PathBuf>,
    /// Whether what runs says which build it is.
    is_stamped: bool,
    identity: Identity,
}

impl Back {
    /// Nothing if the domain is not adopted.
    fn of(virsh: &Virsh, info: &DomainInfo, forced: bool) -> Result<Option<Self>> {
        let (mut edited, mut missing, mut identity) = (None, None, None);
        if info.is_persistent {
            let xml = virsh.inactive(&info.uuid)?;
            let domain = parse(info, &xml)?;
            if domain.identity.is_some() {
                let text = fm_libvirt::unadopted(&xml).map_err(|source| Error::Definition {
                    domain: info.name.clone(),
                    source,
                })?;
                let given_back = parse(info, &text)?;
                missing = gone(&given_back);
                if let Some(path) = missing.clone().filter(|_| !forced) {
                    return Err(Error::NothingToGoBackTo {
                        domain: info.name.clone(),
                        path,
                    }
                    .into());
                }
                edited = Some((text, given_back));
                identity = domain.identity;
            }
        }
        let live = match info.is_running {
            true => parse(info, &virsh.live(&info.uuid)?)?.identity,
            false => None,
        };
        let is_stamped = live.is_some();
        Ok(identity.or(live).map(|identity| Self {
            edited,
            missing,
            is_stamped,
            identity,
        }))
    }

    fn document(&self, info: &DomainInfo) -> AdoptedDomain {
        let given_back = self.edited.as_ref().map(|(_, domain)| domain);
        AdoptedDomain {
            name: info.name.clone(),
            uuid: info.uuid.clone(),
            build: self.identity.build.to_string(),
            code_bytes: self.identity.code_bytes,
            vars_bytes: self.identity.vars_bytes,
            loader: given_back.and_then(Domain::flash).cloned(),
            definition_changed: given_back.is_some(),
            running: info.is_running,
        }
    }
}

fn not_adopted(info: &DomainInfo) -> Done {
    Err(format!("domain {} is not adopted", info.name))
}

pub(super) fn would_one(virsh: &Virsh, info: &DomainInfo, forced: bool) -> Result<Done> {
    let back = Back::of(virsh, info, forced)?;
    Ok(back.map_or_else(|| not_adopted(info), |back| Ok(back.document(info))))
}

pub(super) fn one(store: &Store, virsh: &Virsh, info: &DomainInfo, forced: bool) -> Result<Done> {
    let Some(back) = Back::of(virsh, info, forced)? else {
        return Ok(not_adopted(info));
    };
    if let Some((edited, _)) = &back.edited {
        virsh.define(edited)?;
    }
    if back.is_stamped {
        virsh.unstamp(&info.uuid)?;
    }
    // What it cannot start without stays: this may be the only copy.
    let build = &back.identity.build;
    if back.missing.is_none() && store.build(build)?.is_some() {
        store.unpin(build, Some(&pin(info)))?;
    }
    Ok(Ok(back.document(info)))
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
