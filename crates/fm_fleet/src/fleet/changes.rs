//! What happened to a host's guests between two reports.

use std::collections::BTreeMap;

use fm_api::v1::fleet::{Event, EventKind, GuestRow, HostId};

use super::events::event;

/// So many events of guests come from one report; a host with more changes tells of the first ones.
const MAX_EVENT_COUNT: usize = 128;

/// Adds the events that lead from one list of guests to another.
pub(super) fn guest_events(
    host: &HostId,
    before: Vec<GuestRow>,
    after: &[GuestRow],
    now: &str,
    events: &mut Vec<Event>,
) {
    let mut gone: BTreeMap<String, GuestRow> = before
        .into_iter()
        .map(|guest| (guest.uuid.clone(), guest))
        .collect();
    let mut told = Vec::new();
    let mut tell = |kind, guest: &GuestRow, why: Option<String>| {
        let mut event = event(kind, now.to_owned());
        event.host = Some(host.clone());
        event.guest = Some(guest.uuid.clone());
        event.build.clone_from(&guest.build);
        event.why = why;
        told.push(event);
    };
    for guest in after {
        match gone.remove(&guest.uuid) {
            None => tell(EventKind::GuestAppeared, guest, None),
            Some(before) if before.build != guest.build => {
                let why = before.build.map(|build| format!("it ran {build} before"));
                tell(EventKind::GuestChangedBuild, guest, why);
            }
            Some(_) => {}
        }
    }
    for guest in gone.values() {
        tell(EventKind::GuestLeft, guest, None);
    }
    told.truncate(MAX_EVENT_COUNT);
    events.extend(told);
}
