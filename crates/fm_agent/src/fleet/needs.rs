//! Builds that guests of this host will start from and that its store lacks: they are fetched before anybody waits for them.

use std::collections::BTreeMap;
use std::path::Path;

use fm_formats::Sha256;
use fm_libvirt::Domain;
use fm_store::Store;

use crate::Result;
use fm_adopt::supply::Wanted;

/// A definition of libvirt's is some kilobytes.
const MAX_DEFINITION_BYTES: u64 = 4 << 20;

/// What landings wait for, and what the definitions name that start from this store. Whether the store has it is not
/// looked at.
pub(super) fn needs(store: &Store, definitions: &Path) -> Result<Vec<Wanted>> {
    let mut needs: BTreeMap<Sha256, Option<u64>> = BTreeMap::new();
    for landing in store.landings()?.iter().filter(|landing| landing.placeholder) {
        needs.entry(landing.code).or_default();
    }
    // Without libvirt there are none.
    for entry in std::fs::read_dir(definitions).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|end| end != "xml") {
            continue;
        }
        let Some(domain) = definition(&path) else { continue };
        let is_ours = domain
            .flash()
            .is_some_and(|loader| loader.starts_with(store.path()));
        if let Some(identity) = domain.identity.filter(|_| is_ours) {
            needs.insert(identity.build, Some(identity.code_bytes));
        }
    }
    Ok(needs
        .into_iter()
        .map(|(build, code_bytes)| Wanted {
            build,
            code_bytes,
            peer: None,
        })
        .collect())
}

fn definition(path: &Path) -> Option<Domain> {
    let is_small = path
        .metadata()
        .is_ok_and(|file| file.is_file() && file.len() <= MAX_DEFINITION_BYTES);
    let text = is_small.then(|| std::fs::read_to_string(path).ok()).flatten()?;
    Domain::parse(&text).ok()
}
