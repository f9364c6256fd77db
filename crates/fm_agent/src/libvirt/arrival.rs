//! A guest is about to arrive, by migration or restore: where its flash lands.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_formats::Sha256;
use fm_libvirt::{Domain, Identity};
use fm_remedy::{Action, Remedy};
use fm_store::{NewLanding, Store};

use super::adopt::is_qcow2;
use fm_libvirt::virsh;

use super::{blank, digests, hook};

/// What is in place for it.
#[derive(Debug)]
pub(super) enum Arrival {
    /// All that its XML names is here.
    Ready,
    /// What its XML shall name instead.
    Placed {
        loader: PathBuf,
        template: Option<PathBuf>,
    },
    /// We can't help, and it may work without.
    Unhelped(String),
    /// We can't help, and QEMU would fail.
    Impossible(String),
}

/// Looks, and makes what is missing; waits at most `patience` for another writer of the store.
pub(super) fn plan(store: &Path, domain: &Domain, patience: Duration) -> Arrival {
    let (Some(loader), name) = (domain.flash(), &domain.name) else {
        return Arrival::Ready;
    };
    let Some(identity) = &domain.identity else {
        return not_adopted(domain, loader);
    };
    let vars = match vars_here(store, domain, identity) {
        Ok(vars) => vars,
        Err(why) => return Arrival::Impossible(why),
    };
    let store = match Store::open(store) {
        Ok(store) => store.with_patience(patience),
        Err(error) => return without_store(domain, loader, identity, &crate::guard::in_words(&error.into())),
    };
    let placed = code(&store, domain, loader, identity).and_then(|code| {
        let template = match vars {
            Vars::Missing(vars_bytes) => Some(template(&store, identity, vars_bytes)?),
            Vars::Here => None,
        };
        Ok((code, template))
    });
    match placed {
        Ok((None, None)) => Arrival::Ready,
        Ok((code, template)) => Arrival::Placed {
            loader: code.unwrap_or_else(|| loader.clone()),
            template,
        },
        Err(error) => {
            let why = format!("{name}: {}", crate::guard::in_words(&error));
            without_store(domain, loader, identity, &why)
        }
    }
}

/// An offline migration brings the definition alone, and nothing will ever arrive in a landing. No path is given that
/// is of no use for a cold boot: libvirt keeps what it is told in the definition.
pub(super) fn offline(store: &Path, domain: &Domain) -> Arrival {
    let Some(loader) = domain.flash() else {
        return Arrival::Ready;
    };
    let Some(identity) = &domain.identity else {
        return not_adopted(domain, loader);
    };
    if holds(store, identity, loader) {
        return Arrival::Ready;
    }
    let stored = Store::open(store).and_then(|store| store.build(&identity.build));
    match stored {
        Ok(Some(stored)) if holds(store, identity, &stored.code.path) => Arrival::Placed {
            loader: stored.code.path,
            template: None,
        },
        _ => Arrival::Impossible(format!(
            "an offline migration brings no firmware, and build {} of domain {} is not on this host; bring it first \
             with `flashmoor store export` there and `flashmoor store import` here",
            identity.build, domain.name
        )),
    }
}

/// Without a word on sizes, only what is missing altogether can be judged.
fn not_adopted(domain: &Domain, loader: &Path) -> Arrival {
    let nvram = domain.nvram.as_ref();
    let template = nvram
        .filter(|nvram| !nvram.path.as_ref().is_some_and(|path| path.exists()))
        .and_then(|nvram| nvram.template.as_deref());
    match [Some(loader), template]
        .into_iter()
        .flatten()
        .find(|path| !path.exists())
    {
        None => Arrival::Ready,
        Some(missing) => {
            let image = virsh::managed_save(&domain.name);
            let image = if image.exists() { image } else { "FILE".into() };
            Arrival::Impossible(format!(
                "{} is not on this host, and what arrives of domain {} does not say what to put in its place; \
                 run `flashmoor libvirt adopt {}` where it runs (for a saved guest: `flashmoor saved adopt {}`)",
                missing.display(),
                domain.name,
                domain.name,
                image.display()
            ))
        }
    }
}

/// The store can't be used. The guest runs its own firmware all the same if the file here has its length.
fn without_store(domain: &Domain, loader: &Path, identity: &Identity, why: &str) -> Arrival {
    let fits = |path: &Path, bytes: u64| path.metadata().is_ok_and(|file| file.len() == bytes);
    let nvram = domain.nvram.as_ref();
    let vars_fit = nvram.is_none_or(|nvram| {
        let files = [nvram.path.as_deref(), nvram.template.as_deref()];
        let bytes = identity.vars_bytes.unwrap_or_default();
        files.into_iter().flatten().any(|path| fits(path, bytes))
    });
    let why = format!("the store cannot be used: {why}");
    if fits(loader, identity.code_bytes) && vars_fit {
        Arrival::Unhelped(why)
    } else {
        Arrival::Impossible(format!(
            "no firmware of the right size for domain {}: {why}",
            domain.name
        ))
    }
}

enum Vars {
    /// Its file or a template of the right length is here, or it has none.
    Here,
    /// There is no file, and no template of this length.
    Missing(u64),
}

fn vars_here(store: &Path, domain: &Domain, identity: &Identity) -> Result<Vars, String> {
    let (Some(nvram), Some(vars_bytes)) = (&domain.nvram, identity.vars_bytes) else {
        return Ok(Vars::Here);
    };
    let Some(path) = nvram.path.as_ref().filter(|_| nvram.is_raw) else {
        return Ok(Vars::Here);
    };
    match path.metadata() {
        Ok(file) if file.len() == vars_bytes => Ok(Vars::Here),
        // What libvirt calls raw may be qcow2 all the same, and its length says nothing then.
        Ok(_) if is_qcow2(path) => Ok(Vars::Here),
        Ok(file) => Err(format!(
            "{} has {} bytes from another time, and the variables of domain {} have {vars_bytes}; \
             move the file away and migrate again",
            path.display(),
            file.len(),
            domain.name
        )),
        Err(_) if vars_bytes > fm_store::MAX_FLASH_BYTES => Err(format!(
            "the metadata of domain {} says that its variables have {vars_bytes} bytes, and no firmware has so many; \
             run `flashmoor libvirt adopt {}` where it runs",
            domain.name, domain.name
        )),
        Err(_) => {
            let fits = |template: &PathBuf| {
                let has_length = template.metadata().is_ok_and(|file| file.len() == vars_bytes);
                let is_it = match &identity.vars_template {
                    Some(known) => digests::holds(store, template, known),
                    // of one in the store, an older Flashmoor does not say whose it was
                    None => !template.starts_with(store),
                };
                has_length && is_it
            };
            Ok(if nvram.template.as_ref().is_some_and(fits) {
                Vars::Here
            } else {
                Vars::Missing(vars_bytes)
            })
        }
    }
}

/// Whether a file is this domain's CODE.
fn holds(store: &Path, identity: &Identity, path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.len() == identity.code_bytes)
        && digests::holds(store, path, &identity.build)
}

/// Where CODE shall be, if not where the XML says.
fn code(
    store: &Store,
    domain: &Domain,
    loader: &Path,
    identity: &Identity,
) -> crate::Result<Option<PathBuf>> {
    let build = &identity.build;
    if holds(store.path(), identity, loader) {
        return Ok(None);
    }
    if let Some(stored) = store.build(build)? {
        if !holds(store.path(), identity, &stored.code.path) {
            return Err(damaged(build, &stored.code.path));
        }
        return Ok(Some(stored.code.path).filter(|path| path != loader));
    }
    let landing = store.create_landing(&NewLanding {
        guest_name: Some(&domain.name),
        guest_uuid: domain.uuid.as_deref(),
        code: *build,
        size_bytes: identity.code_bytes,
    })?;
    if let Some(uuid) = &domain.uuid {
        let mark = hook::mark(store.path(), uuid);
        let made = mark
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&mark, "arriving\n"));
        made.map_err(|source| crate::Error::file("write", &mark, source))?;
    }
    Ok(Some(landing.path).filter(|path| path != loader))
}

fn damaged(build: &Sha256, path: &Path) -> crate::Error {
    crate::Error::Usage {
        message: format!("{} does not hold the build {build}", path.display()),
        remedy: Remedy::new("see what is wrong with the store", Action::VerifyStore),
    }
}

/// The domain's own template, or an empty store of that length: the variables come with the stream.
fn template(store: &Store, identity: &Identity, vars_bytes: u64) -> crate::Result<PathBuf> {
    let stored = store.build(&identity.build)?;
    let own = stored
        .into_iter()
        .flat_map(|build| build.templates)
        .filter(|part| Some(part.sha256) == identity.vars_template)
        .find(|part| digests::holds(store.path(), &part.path, &part.sha256));
    match own {
        Some(part) => Ok(part.path),
        None => blank::template(store, vars_bytes),
    }
}
