//! Guests, and one of them: what it runs, what its next boot takes, and what happened to it.

use askama::Template;
use axum::extract::State;
use fm_api::v1::fleet::{Digest, GuestState, GuestView, HostId, PageRequest};
use fm_api::v1::trust::GuestTrust;
use fm_fleet::{EventFilter, GuestFilter};
use serde::Deserialize;

use super::address::{Address, BuildLink, Pager, given, given_word, guest as guest_href, page_request};
use super::ask::Asked;
use super::frame::{Frame, Section};
use super::history::Row as EventRow;
use super::reply::{Reply, page as reply};
use super::visitor::Visitor;
use super::words::{Word, actor, generations, guest_state, shown, shown_or, size, switch};
use crate::site::Site;
use fm_access::Problem;

/// So much of what happened to a guest is on its page.
const EVENT_COUNT: usize = 50;
/// While it moves, a guest is in two places.
const MAX_PLACE_COUNT: usize = 20;

/// What guests are asked for with.
#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct Wanted {
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<String>,
    build: Option<String>,
    host: Option<String>,
    name: Option<String>,
    layout: Option<String>,
    secure_boot: Option<String>,
    state: Option<String>,
    certificate: Option<String>,
    drifts: Option<String>,
}

impl Wanted {
    pub(super) fn filter(&self) -> Result<GuestFilter, Problem> {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(GuestFilter {
            build: given::<Digest>("the build", self.build.as_deref())?,
            host: given::<HostId>("the host", self.host.as_deref())?,
            uuid: None,
            name: text(&self.name),
            layout: text(&self.layout),
            secure_boot: given("Secure Boot", self.secure_boot.as_deref())?,
            state: given_word::<GuestState>("the state", self.state.as_deref())?,
            certificate: text(&self.certificate),
            drifts: given("the next boot", self.drifts.as_deref())?,
        })
    }

    /// The same filters at another address.
    pub(super) fn address(&self, path: &'static str) -> Address {
        Address::new(path)
            .with("build", self.build.as_deref())
            .with("host", self.host.as_deref())
            .with("name", self.name.as_deref())
            .with("layout", self.layout.as_deref())
            .with("secure_boot", self.secure_boot.as_deref())
            .with("state", self.state.as_deref())
            .with("certificate", self.certificate.as_deref())
            .with("drifts", self.drifts.as_deref())
            .with("limit", self.limit.as_deref())
    }

    /// The filters as a form shows them.
    pub(super) fn fields(&self) -> Fields {
        let text = |text: &Option<String>| shown(text.as_deref().unwrap_or_default());
        Fields {
            build: text(&self.build),
            host: text(&self.host),
            name: text(&self.name),
            layout: text(&self.layout),
            secure_boot: text(&self.secure_boot),
            state: text(&self.state),
            certificate: text(&self.certificate),
            drifts: text(&self.drifts),
        }
    }
}

/// The filters as a form shows them.
pub(super) struct Fields {
    build: String,
    pub(super) host: String,
    pub(super) name: String,
    layout: String,
    pub(super) secure_boot: String,
    state: String,
    pub(super) certificate: String,
    drifts: String,
}

/// A guest in a table.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) state: Word,
    pub(super) build: Option<BuildLink>,
    pub(super) next: Option<BuildLink>,
    pub(super) layout: String,
    pub(super) secure_boot: &'static str,
    pub(super) machine: String,
    pub(super) qemu: String,
    pub(super) free: String,
}

impl Row {
    pub(super) fn of(view: &GuestView) -> Self {
        let guest = &view.guest;
        Self {
            href: guest_href(&guest.uuid),
            uuid: shown(&guest.uuid),
            name: shown_or(
                guest.name.as_deref().filter(|name| !name.trim().is_empty()),
                "unnamed",
            ),
            host: view.host.to_string(),
            state: guest_state(guest.state),
            build: guest.build.as_ref().map(BuildLink::to),
            next: guest.next_build.as_ref().map(BuildLink::to),
            layout: shown_or(guest.layout.as_deref(), "unknown"),
            secure_boot: switch(guest.secure_boot),
            machine: shown_or(guest.machine.as_deref(), "unknown"),
            qemu: shown_or(guest.qemu.as_deref(), "unknown"),
            free: guest.vars_free_bytes.map_or_else(|| "unknown".to_owned(), size),
        }
    }
}

#[derive(Template)]
#[template(path = "guests.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
    fields: Fields,
}

pub(super) async fn list(State(site): State<Site>, visitor: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let page = page_request(wanted.cursor.as_deref(), wanted.limit.as_deref())?;
    let found = site.fleet().guests(&wanted.filter()?, &page).await?;
    let address = wanted.address("/guests");
    reply(&ListPage {
        frame: Frame::live("Guests", Section::Guests, visitor.who()),
        rows: found.items.iter().map(Row::of).collect(),
        pager: Pager::new(&address, page.cursor.as_deref(), found.next.as_deref()),
        fields: wanted.fields(),
    })
}

/// Which guest.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    uuid: String,
}

/// One of the hosts that a guest is on.
struct Place {
    row: Row,
    keys: [String; 4],
    actor: Word,
    next_boot: &'static str,
}

impl Place {
    fn of(view: &GuestView) -> Self {
        let guest = &view.guest;
        let next_boot = match (&guest.build, &guest.next_build) {
            (_, Some(_)) => "another build",
            (Some(_), None) => "the same build",
            (None, None) => "unknown",
        };
        Self {
            row: Row::of(view),
            keys: generations(guest.certificates.as_ref()),
            actor: actor(GuestTrust::of(view).actor),
            next_boot,
        }
    }
}

#[derive(Template)]
#[template(path = "guest.html")]
struct OnePage {
    frame: Frame,
    uuid: String,
    places: Vec<Place>,
    events: Vec<EventRow>,
    events_href: String,
}

pub(super) async fn one(State(site): State<Site>, visitor: Visitor, Asked(which): Asked<Which>) -> Reply {
    let fleet = site.fleet();
    let some = |count| PageRequest {
        cursor: None,
        limit: Some(count),
    };
    let filter = GuestFilter {
        uuid: Some(which.uuid.clone()),
        ..GuestFilter::default()
    };
    let places = fleet.guests(&filter, &some(MAX_PLACE_COUNT)).await?;
    let filter = EventFilter {
        guest: Some(which.uuid.clone()),
        ..EventFilter::default()
    };
    let events = fleet.recent_events(&filter, &some(EVENT_COUNT)).await?;
    if places.items.is_empty() && events.items.is_empty() {
        return Err(Problem::not_found("the fleet knows no such guest").into());
    }
    let name = places.items.first().and_then(|view| view.guest.name.as_deref());
    let title = format!("Guest {}", shown(name.unwrap_or(&which.uuid)));
    reply(&OnePage {
        frame: Frame::live(title, Section::Guests, visitor.who()),
        uuid: shown(&which.uuid),
        places: places.items.iter().map(Place::of).collect(),
        events: events.items.iter().map(EventRow::of).collect(),
        events_href: Address::new("/log").with("guest", Some(&which.uuid)).href(),
    })
}
