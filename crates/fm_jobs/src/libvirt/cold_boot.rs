//! A guest is about to start: its CODE in the store must be what its path says.

use std::path::Path;
use std::time::Duration;

use fm_formats::Sha256;
use fm_libvirt::Domain;
use fm_store::{Import, Store};

use super::hook::{Answer, mark};
use crate::capture::digest;

/// A guest that was announced starts within the same call of libvirt's; this is generous. An offline migration
/// announces a guest that does not start, and libvirt does not tell the two apart.
const ON_ITS_WAY: Duration = Duration::from_secs(15);

/// Looks at a CODE file in the store; others are not ours to judge.
pub(super) fn answer(store: &Path, domain: &Domain) -> Answer {
    let Some(loader) = domain.flash() else {
        return Answer::Pass;
    };
    if loader.starts_with(store.join("landings")) {
        return on_landing(store, domain, loader);
    }
    match named(store, loader) {
        Some(build) => on_build(store, domain, loader, build),
        None => Answer::Pass,
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

fn on_landing(path: &Path, domain: &Domain, loader: &Path) -> Answer {
    let uuid = domain.uuid.as_deref().unwrap_or_default();
    let mark = mark(path, uuid);
    let age = mark.metadata().and_then(|mark| mark.modified()).ok();
    let announced = age.is_some_and(|made| made.elapsed().is_ok_and(|age| age < ON_ITS_WAY));
    let _ = std::fs::remove_file(&mark);
    if announced {
        return Answer::Pass;
    }
    let landing = Store::open(path).and_then(|store| {
        let landing = store
            .landings()?
            .into_iter()
            .find(|landing| landing.path == loader);
        let store = store.with_patience(super::arrival::PATIENCE);
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

fn on_build(path: &Path, domain: &Domain, loader: &Path, build: Sha256) -> Answer {
    let holds = |path: &Path| digest(path).is_some_and(|(found, _)| found == build);
    if holds(loader) {
        return Answer::Pass;
    }
    // The file that it came from may still be there.
    let before = domain
        .identity
        .as_ref()
        .and_then(|ours| ours.loader_before.as_deref());
    if let Some(bytes) = before.and_then(|path| std::fs::read(path).ok())
        && Sha256::of(&bytes) == build
    {
        let healed = Store::open(path).and_then(|store| {
            store.with_patience(super::arrival::PATIENCE).import(&Import {
                code: &bytes,
                ..Import::default()
            })
        });
        match healed {
            Ok(_) if holds(loader) => return Answer::Pass,
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
