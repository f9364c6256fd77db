//! Builds that guests of this host will start from and that its store lacks: they are fetched before anybody waits for them.

use std::collections::BTreeMap;
use std::path::Path;

use fm_api::v1::fleet::{DayWindow, OwnerWish, Rest};
use fm_formats::Sha256;
use fm_libvirt::{Domain, Owner};
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
    for identity in ours(store, definitions).filter_map(|domain| domain.identity) {
        needs.insert(identity.build, Some(identity.code_bytes));
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

/// The guests whose definitions start from this store, and what their owners say of rollouts.
pub(super) fn adopted(store: &Store, definitions: &Path) -> BTreeMap<String, Option<OwnerWish>> {
    ours(store, definitions)
        .filter(|domain| domain.identity.is_some())
        .filter_map(|domain| Some((domain.uuid?, domain.owner.map(wish))))
        .collect()
}

fn wish(owner: Owner) -> OwnerWish {
    OwnerWish {
        pin: owner.pin,
        window: owner.window.map(|(from_minute, to_minute)| DayWindow {
            from_minute,
            to_minute,
        }),
        rest: Rest::new(),
    }
}

/// Domains that start from this store. Without libvirt there are none.
fn ours(store: &Store, definitions: &Path) -> impl Iterator<Item = Domain> {
    let entries = std::fs::read_dir(definitions).into_iter().flatten().flatten();
    let is_ours = |domain: &Domain| {
        domain
            .flash()
            .is_some_and(|loader| loader.starts_with(store.path()))
    };
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "xml"))
        .filter_map(|path| definition(&path))
        .filter(is_ours)
}

fn definition(path: &Path) -> Option<Domain> {
    let bytes = fm_files::read_bounded(path, MAX_DEFINITION_BYTES).ok()??;
    Domain::parse(&String::from_utf8(bytes).ok()?).ok()
}
