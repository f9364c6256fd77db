//! A guest is about to arrive, by migration or restore: where its flash lands.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_formats::Sha256;
use fm_libvirt::{Domain, Identity};
use fm_store::{NewLanding, Store};

use super::{blank, hook};
use crate::capture::digest;

/// How long another writer of the store is waited for: less than the hook's own deadline.
pub(super) const PATIENCE: Duration = Duration::from_millis(1000);

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

/// Looks, and makes what is missing.
pub(super) fn plan(store: &Path, domain: &Domain) -> Arrival {
    let (Some(loader), name) = (domain.flash(), &domain.name) else {
        return Arrival::Ready;
    };
    let Some(identity) = &domain.identity else {
        return not_adopted(domain, loader);
    };
    let vars = match vars_here(domain, identity) {
        Ok(vars) => vars,
        Err(why) => return Arrival::Impossible(why),
    };
    let store = match Store::open(store) {
        Ok(store) => store.with_patience(PATIENCE),
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
        Some(missing) => Arrival::Impossible(format!(
            "{} is not on this host, and domain {} is not adopted, so what to put in its place is not known; \
             run `flashmoor libvirt adopt {}` where it runs (for a saved guest: `flashmoor saved adopt FILE`)",
            missing.display(),
            domain.name,
            domain.name
        )),
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

fn vars_here(domain: &Domain, identity: &Identity) -> Result<Vars, String> {
    let (Some(nvram), Some(vars_bytes)) = (&domain.nvram, identity.vars_bytes) else {
        return Ok(Vars::Here);
    };
    let Some(path) = nvram.path.as_ref().filter(|_| nvram.is_raw) else {
        return Ok(Vars::Here);
    };
    match path.metadata() {
        Ok(file) if file.len() == vars_bytes => Ok(Vars::Here),
        Ok(file) => Err(format!(
            "{} has {} bytes from another time, and the variables of domain {} have {vars_bytes}; \
             move the file away and migrate again",
            path.display(),
            file.len(),
            domain.name
        )),
        Err(_) => {
            let template = nvram.template.as_ref();
            let fits =
                template.is_some_and(|file| file.metadata().is_ok_and(|file| file.len() == vars_bytes));
            Ok(if fits {
                Vars::Here
            } else {
                Vars::Missing(vars_bytes)
            })
        }
    }
}

/// Where CODE shall be, if not where the XML says.
fn code(
    store: &Store,
    domain: &Domain,
    loader: &Path,
    identity: &Identity,
) -> crate::Result<Option<PathBuf>> {
    let build = &identity.build;
    let holds = |path: &Path| {
        path.metadata()
            .is_ok_and(|file| file.len() == identity.code_bytes)
            && digest(path).is_some_and(|(found, _)| found == *build)
    };
    if holds(loader) {
        return Ok(None);
    }
    if let Some(stored) = store.build(build)? {
        if !holds(&stored.code.path) {
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
            .and_then(|()| fs::write(&mark, ""));
        made.map_err(|source| crate::Error::file("write", &mark, source))?;
    }
    Ok(Some(landing.path).filter(|path| path != loader))
}

fn damaged(build: &Sha256, path: &Path) -> crate::Error {
    crate::Error::Usage {
        message: format!("{} does not hold the build {build}", path.display()),
        remedy: "`flashmoor store verify` says what is wrong".into(),
    }
}

/// The build's own template, or an empty store of that length.
fn template(store: &Store, identity: &Identity, vars_bytes: u64) -> crate::Result<PathBuf> {
    let stored = store
        .build(&identity.build)?
        .and_then(|build| build.vars_template);
    match stored.filter(|part| part.path.metadata().is_ok_and(|file| file.len() == vars_bytes)) {
        Some(part) => Ok(part.path),
        None => blank::template(store, vars_bytes),
    }
}
