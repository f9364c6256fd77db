//! The log: what happened, newest first.

use askama::Template;
use axum::extract::State;
use fm_api::v1::fleet::{Digest, Event, EventKind, HostId};
use fm_fleet::EventFilter;
use serde::Deserialize;

use super::address::{Address, BuildLink, Pager, given, given_word, guest as guest_href, page_request};
use super::ask::Asked;
use super::frame::{Frame, Section};
use super::reply::{Reply, page as reply};
use super::visitor::Visitor;
use super::words::{event as event_word, shown};
use crate::site::Site;

/// What events are asked for with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    cursor: Option<String>,
    limit: Option<String>,
    kind: Option<String>,
    host: Option<String>,
    guest: Option<String>,
    build: Option<String>,
}

/// An event in a table.
pub(super) struct Row {
    pub(super) time: String,
    pub(super) what: &'static str,
    pub(super) host: Option<String>,
    pub(super) guest: Option<(String, String)>,
    pub(super) build: Option<BuildLink>,
    pub(super) by: String,
    pub(super) why: String,
}

impl Row {
    pub(super) fn of(event: &Event) -> Self {
        let text = |text: &Option<String>| shown(text.as_deref().unwrap_or_default());
        Self {
            time: shown(&event.time),
            what: event_word(event.kind),
            host: event.host.as_ref().map(ToString::to_string),
            guest: event
                .guest
                .as_deref()
                .map(|guest| (guest_href(guest), shown(guest))),
            build: event.build.as_ref().map(BuildLink::to),
            by: text(&event.by),
            why: text(&event.why),
        }
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
    kinds: Vec<(String, &'static str, bool)>,
    host: String,
    guest: String,
    build: String,
}

const KINDS: [EventKind; 20] = [
    EventKind::HostJoined,
    EventKind::HostRebooted,
    EventKind::HostRetired,
    EventKind::GuestAppeared,
    EventKind::GuestLeft,
    EventKind::GuestChangedBuild,
    EventKind::BuildStored,
    EventKind::BuildLost,
    EventKind::BuildCondemned,
    EventKind::BuildRevived,
    EventKind::BuildDeleting,
    EventKind::BuildPurged,
    EventKind::BuildPinned,
    EventKind::BuildUnpinned,
    EventKind::PlannerElected,
    EventKind::EpochBegan,
    EventKind::RolloutChanged,
    EventKind::RolloutWave,
    EventKind::RolloutFailed,
    EventKind::GuestPinned,
];

pub(super) async fn page(State(site): State<Site>, visitor: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let page = page_request(wanted.cursor.as_deref(), wanted.limit.as_deref())?;
    let kind = given_word::<EventKind>("the kind", wanted.kind.as_deref())?;
    let filter = EventFilter {
        after: None,
        kind,
        host: given::<HostId>("the host", wanted.host.as_deref())?,
        guest: wanted.guest.clone().filter(|guest| !guest.is_empty()),
        build: given::<Digest>("the build", wanted.build.as_deref())?,
    };
    let found = site.fleet().recent_events(&filter, &page).await?;
    let address = Address::new("/log")
        .with("kind", wanted.kind.as_deref())
        .with("host", wanted.host.as_deref())
        .with("guest", wanted.guest.as_deref())
        .with("build", wanted.build.as_deref())
        .with("limit", wanted.limit.as_deref());
    let kinds = KINDS.into_iter().filter_map(|known| {
        let name = serde_json::to_value(known).ok()?.as_str()?.to_owned();
        Some((name, event_word(known), kind == Some(known)))
    });
    let text = |text: &Option<String>| shown(text.as_deref().unwrap_or_default());
    reply(&Page {
        frame: Frame::live("Log", Section::Log, visitor.who()),
        rows: found.items.iter().map(Row::of).collect(),
        pager: Pager::new(&address, page.cursor.as_deref(), found.next.as_deref()),
        kinds: kinds.collect(),
        host: text(&wanted.host),
        guest: text(&wanted.guest),
        build: text(&wanted.build),
    })
}
