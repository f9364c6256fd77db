//! Looking at the host: cheaply, to see whether anything changed, and in full.

use std::collections::BTreeMap;
use std::path::Path;

use fm_adopt::libvirt::DEFINITIONS;
use fm_api::v1::ps::PsGuest;
use fm_check::Images;
use fm_store::Store;

use super::needs::adopted;
use super::rows::Seen;
use super::{facts, trust};
use crate::Result;
use crate::ps;

/// What changes when a guest starts or ends, or the store does: cheap enough to be looked at every few seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fingerprint {
    processes: Vec<(u32, u64)>,
    builds: Vec<(String, usize)>,
    landings: Vec<(String, bool)>,
}

/// Looks without reading anybody's memory.
pub(super) fn fingerprint(store: &Store) -> Result<Fingerprint> {
    let listing = fm_host::guests()?;
    let mut processes: Vec<(u32, u64)> = listing
        .guests
        .iter()
        .map(|guest| (guest.pid(), guest.process().start_ticks()))
        .collect();
    processes.sort_unstable();
    Ok(Fingerprint {
        processes,
        builds: store
            .builds()?
            .iter()
            .map(|build| (build.id.to_string(), build.pins.len()))
            .collect(),
        landings: store
            .landings()?
            .iter()
            .map(|landing| (landing.id.clone(), landing.placeholder))
            .collect(),
    })
}

/// Looks at everything, from the beginning.
pub(super) fn scan(store: &Store) -> Result<Seen> {
    let found = ps::ps(&ps::Request {
        store: Some(store.path().to_owned()),
        ..ps::Request::default()
    })?;
    let is_seen = |guest: &PsGuest| {
        guest
            .code
            .as_ref()
            .is_none_or(|code| code.running_sha256.is_some())
    };
    // A process that may be a guest and could not be looked at may need anything.
    let is_complete = found.remarks.is_empty() && found.guests.iter().all(is_seen);
    let guests = found.guests.into_iter().filter(|guest| guest.code.is_some());
    let images = Images::default();
    let mut facts = BTreeMap::new();
    Ok(Seen {
        guests: guests
            .map(|guest| {
                let certificates = guest.vars.as_ref().and_then(|_| trust::of_guest(guest.pid));
                if let Some(found) = facts::of_guest(guest.pid, &images) {
                    facts.insert(guest.pid, found);
                }
                (guest, certificates)
            })
            .collect(),
        facts,
        adopted: adopted(store, Path::new(DEFINITIONS)),
        builds: store.builds()?,
        landings: store.landings()?,
        is_complete,
        ..Seen::default()
    })
}
