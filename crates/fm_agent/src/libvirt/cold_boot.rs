//! A guest is about to start: its CODE in the store must be what its path says.

use std::path::Path;
use std::time::Duration;

use fm_formats::Sha256;
use fm_libvirt::Domain;
use fm_store::{Import, Store};

use super::blank;
use super::digests::holds;
use super::hook::{Answer, Call, definition, mark};

/// A guest that was announced starts within the same call of libvirt's, after libvirt has made the disks that are
/// copied along.
const ON_ITS_WAY: Duration = Duration::from_secs(600);

/// Looks at files in the store; others are not ours to judge.
pub(super) fn answer(store: &Path, domain: &Domain, call: &Call<'_>) -> Answer {
    let Some(loader) = domain.flash() else {
        return Answer::Pass;
    };
    if loader.starts_with(store.join("landings")) {
        return on_landing(store, domain, loader, call);
    }
    match named(store, loader).map(|build| on_build(store, domain, loader, build, call.patience())) {
        None | Some(Answer::Pass) => on_template(store, domain, call.patience()),
        Some(answer) => answer,
    }
}

/// The digest in `STORE/builds/sha256-<hex>/CODE.fd`.
fn named(store: &Path, loader: &Path) -> Option<Sha256> {
    let inside = loader.strip_prefix(store.join("builds")).ok()?;
    inside
        .iter()
        .next()?
        .to_str()?
        .strip_prefix("sha256-")?
        .parse()
        .ok()
}

/// Whether the guest was announced, and its start here is no cold boot. A definition that was written since then and
/// names the landing came by an offline migration: for a guest that arrives, libvirt writes it in the end.
fn is_arriving(mark: &Path, definition: &Path, loader: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let Some(announced) = modified(mark) else {
        return false;
    };
    let is_recent = announced.elapsed().is_ok_and(|age| age < ON_ITS_WAY);
    let came_offline = modified(definition).is_some_and(|written| written > announced)
        && std::fs::read_to_string(definition).is_ok_and(|xml| xml.contains(&loader.display().to_string()));
    is_recent && !came_offline
}

fn on_landing(path: &Path, domain: &Domain, loader: &Path, call: &Call<'_>) -> Answer {
    let uuid = domain.uuid.as_deref().unwrap_or_default();
    let mark = mark(path, uuid);
    let announced = is_arriving(&mark, &definition(call.definitions, domain), loader);
    let _ = std::fs::remove_file(&mark);
    if announced {
        return Answer::Pass;
    }
    let landing = Store::open(path).and_then(|store| {
        let landing = store
            .landings()?
            .into_iter()
            .find(|landing| landing.path == loader);
        let store = store.with_patience(call.patience());
        match landing {
            // Another guest, or an import, has brought the build meanwhile.
            Some(landing) if landing.placeholder && store.build(&landing.code)?.is_some() => {
                store.settle_landing(&landing.id, &landing.code).map(Some)
            }
            landing => Ok(landing),
        }
    });
    match landing {
        Ok(Some(landing)) if !landing.placeholder => Answer::Pass,
        Ok(Some(landing)) => Answer::Refuse(format!(
            "domain {} would boot from a placeholder: its firmware, build {}, never arrived here (an offline \
             migration brings none); bring it with `flashmoor store import`, then start the domain again",
            domain.name, landing.code
        )),
        Ok(None) => Answer::Refuse(format!(
            "{}, from which domain {} would boot, is gone; `flashmoor libvirt unadopt {}` brings back the \
             definition as it was",
            loader.display(),
            domain.name,
            domain.name
        )),
        Err(error) => Answer::Remark(crate::guard::in_words(&error.into())),
    }
}

fn on_build(path: &Path, domain: &Domain, loader: &Path, build: Sha256, patience: Duration) -> Answer {
    if holds(path, loader, &build) {
        return Answer::Pass;
    }
    // The file that it came from may still be there.
    let before = domain
        .identity
        .as_ref()
        .and_then(|ours| ours.loader_before.as_deref());
    if let Some(bytes) = before.and_then(read)
        && Sha256::of(&bytes) == build
    {
        let healed = Store::open(path).and_then(|store| {
            store.with_patience(patience).import(&Import {
                code: &bytes,
                ..Import::default()
            })
        });
        match healed {
            Ok(_) if holds(path, loader, &build) => return Answer::Pass,
            Ok(_) => {}
            Err(error) => return refuse(domain, loader, &crate::guard::in_words(&error.into())),
        }
    }
    let why = if loader.exists() {
        "the file holds other bytes"
    } else {
        "there is no such file"
    };
    refuse(domain, loader, why)
}

fn refuse(domain: &Domain, loader: &Path, why: &str) -> Answer {
    Answer::Refuse(format!(
        "the firmware of domain {} is not at {}: {why}; bring the build with `flashmoor store import`, or give \
         the definition back as it was with `flashmoor libvirt unadopt {}`",
        domain.name,
        loader.display(),
        domain.name
    ))
}

/// A guest without its variables gets them from the template: it must be the very one, or Secure Boot would be on or
/// off by chance.
fn on_template(path: &Path, domain: &Domain, patience: Duration) -> Answer {
    let Some(nvram) = &domain.nvram else {
        return Answer::Pass;
    };
    let (Some(vars), Some(template)) = (&nvram.path, &nvram.template) else {
        return Answer::Pass;
    };
    let Some(build) = named(path, template).filter(|_| !vars.exists()) else {
        return Answer::Pass;
    };
    let by_name = template.file_name().and_then(|name| {
        let name = name.to_str()?.strip_prefix("VARS-sha256-")?;
        name.strip_suffix(".fd")?.parse::<Sha256>().ok()
    });
    // The name that an older Flashmoor gave it says nothing of what it holds.
    let in_index = || {
        let build = Store::open(path).and_then(|store| store.build(&build)).ok()??;
        Some(build.vars_template?.sha256)
    };
    let wanted = by_name.or_else(in_index);
    let is_it = |wanted: &Sha256| holds(path, template, wanted);
    if wanted.as_ref().is_some_and(is_it) {
        return Answer::Pass;
    }
    let identity = domain.identity.as_ref();
    let before = identity.and_then(|ours| read(ours.template_before.as_deref()?));
    let empty = identity.and_then(|ours| blank::bytes(ours.vars_bytes?));
    let again = [before, empty]
        .into_iter()
        .flatten()
        .find(|bytes| Some(Sha256::of(bytes)) == wanted);
    if let (Some(bytes), Some(code)) = (again, domain.flash().and_then(|code| read(code))) {
        let import = Import {
            code: &code,
            vars_template: Some(&bytes),
            ..Import::default()
        };
        let healed = Store::open(path).and_then(|store| store.with_patience(patience).import(&import));
        if healed.is_ok() && wanted.as_ref().is_some_and(is_it) {
            return Answer::Pass;
        }
    }
    Answer::Refuse(format!(
        "the variables of domain {} are not at {}, and the template to make new ones from is not at {}; put the \
         file back, or bring the template with `flashmoor store import CODE --vars-template FILE`",
        domain.name,
        vars.display(),
        template.display()
    ))
}

/// A file that is no larger than firmware is.
fn read(path: &Path) -> Option<Vec<u8>> {
    let fits = path
        .metadata()
        .is_ok_and(|file| file.is_file() && file.len() <= fm_store::MAX_FLASH_BYTES);
    fits.then(|| std::fs::read(path).ok())?
}
