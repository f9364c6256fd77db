//! Hosts, one of them, and the form that says that one will not come back.

use askama::Template;
use axum::extract::{Path, Request, State};
use fm_api::v1::fleet::{Digest, HostId, HostState, HostView, PageRequest};
use fm_fleet::{EventFilter, GuestFilter, HostFilter};
use serde::Deserialize;

use super::address::{Address, Pager, given, given_word, page_request};
use super::ask::Asked;
use super::forms;
use super::frame::{Frame, Section};
use super::guests::Row as GuestRow;
use super::history::Row as EventRow;
use super::reply::{Reply, page as reply, secret_page, see};
use super::visitor::Visitor;
use super::words::{Word, host_state, shown, shown_or};
use crate::site::Site;
use fm_access::request::part;

/// So many of its guests, and of what happened to it, are on a host's own page.
const GUEST_COUNT: usize = 100;
const EVENT_COUNT: usize = 20;

/// What hosts are asked for with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    cursor: Option<String>,
    limit: Option<String>,
    state: Option<String>,
    alive: Option<String>,
    build: Option<String>,
}

/// A host in a table.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: Word,
    pub(super) guests: u64,
    pub(super) needs: u64,
    pub(super) holds: u64,
    pub(super) agent: String,
    pub(super) reported: Option<String>,
}

impl Row {
    pub(super) fn of(host: &HostView) -> Self {
        Self {
            href: format!("/hosts/{}", host.host),
            id: host.host.to_string(),
            name: shown_or(host.name.as_deref(), ""),
            state: host_state(host.state, host.alive),
            guests: host.guest_count,
            needs: host.use_count,
            holds: host.build_count,
            agent: shown(&host.agent_version),
            reported: host.reported.as_deref().map(shown),
        }
    }
}

#[derive(Template)]
#[template(path = "hosts.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
    state: String,
    alive: String,
    build: String,
}

pub(super) async fn list(State(site): State<Site>, visitor: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let page = page_request(wanted.cursor.as_deref(), wanted.limit.as_deref())?;
    let filter = HostFilter {
        state: given_word::<HostState>("the state", wanted.state.as_deref())?,
        build: given::<Digest>("the build", wanted.build.as_deref())?,
        alive: given("alive", wanted.alive.as_deref())?,
    };
    let found = site.fleet().hosts(&filter, &page).await?;
    let address = Address::new("/hosts")
        .with("state", wanted.state.as_deref())
        .with("alive", wanted.alive.as_deref())
        .with("build", wanted.build.as_deref())
        .with("limit", wanted.limit.as_deref());
    reply(&ListPage {
        frame: Frame::live("Hosts", Section::Hosts, visitor.who()),
        rows: found.items.iter().map(Row::of).collect(),
        pager: Pager::new(&address, page.cursor.as_deref(), found.next.as_deref()),
        state: wanted.state.unwrap_or_default(),
        alive: wanted.alive.unwrap_or_default(),
        build: shown(&wanted.build.unwrap_or_default()),
    })
}

#[derive(Template)]
#[template(path = "host.html")]
struct OnePage {
    frame: Frame,
    host: Row,
    boot_id: String,
    instance: String,
    sequence: u64,
    acknowledged: Option<u64>,
    retire: Option<String>,
    rows: Vec<GuestRow>,
    more: Option<String>,
    targets: Vec<(String, String, String)>,
    events: Vec<EventRow>,
    events_href: String,
}

pub(super) async fn one(State(site): State<Site>, visitor: Visitor, Path(id): Path<String>) -> Reply {
    let id: HostId = part(&id)?;
    let fleet = site.fleet();
    let host = fleet.host(&id).await?;
    let some = |count| PageRequest {
        cursor: None,
        limit: Some(count),
    };
    let filter = GuestFilter {
        host: Some(id.clone()),
        ..GuestFilter::default()
    };
    let guests = fleet.guests(&filter, &some(GUEST_COUNT)).await?;
    let filter = EventFilter {
        host: Some(id.clone()),
        ..EventFilter::default()
    };
    let events = fleet.recent_events(&filter, &some(EVENT_COUNT)).await?;
    let targets = fleet.targets(&id).await?;
    let of_host = |path| Address::new(path).with("host", Some(id.as_str())).href();
    let targets = targets.guests.iter().take(GUEST_COUNT).map(|target| {
        (
            super::address::guest(&target.guest),
            shown(&target.guest),
            target.build.to_string(),
        )
    });
    let can_retire = visitor.is_operator() && host.state == HostState::Active;
    reply(&OnePage {
        frame: Frame::live(format!("Host {id}"), Section::Hosts, visitor.who()),
        boot_id: shown(&host.boot_id),
        instance: shown(&host.instance),
        sequence: host.sequence,
        acknowledged: host.acknowledged.as_ref().map(|mark| mark.revision),
        retire: can_retire.then(|| format!("/hosts/{id}/retire")),
        host: Row::of(&host),
        rows: guests.items.iter().map(GuestRow::of).collect(),
        more: guests.next.map(|_| of_host("/guests")),
        targets: targets.collect(),
        events: events.items.iter().map(EventRow::of).collect(),
        events_href: of_host("/log"),
    })
}

#[derive(Template)]
#[template(path = "retire.html")]
struct RetirePage {
    frame: Frame,
    host: Row,
    action: String,
    token: String,
    revision: u64,
}

pub(super) async fn ask_retire(State(site): State<Site>, visitor: Visitor, Path(id): Path<String>) -> Reply {
    forms::require_operator(&visitor)?;
    let id: HostId = part(&id)?;
    let host = site.fleet().host(&id).await?;
    let action = format!("/hosts/{id}/retire");
    secret_page(&RetirePage {
        frame: Frame::still(format!("Retire host {id}"), Section::Hosts, visitor.who()),
        token: forms::token(&visitor, &action)?,
        action,
        revision: host.revision,
        host: Row::of(&host),
    })
}

#[derive(Debug, Deserialize)]
struct Retire {
    revision: String,
}

pub(super) async fn retire(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    request: Request,
) -> Reply {
    let form: Retire = forms::read_guarded(&visitor, request).await?;
    let id: HostId = part(&id)?;
    let revision = part(&form.revision)?;
    site.fleet()
        .retire(&id, &visitor.principal.name, Some(revision))
        .await?;
    // As through the API: what will not come back must not come back under its old name either.
    site.ledger().revoke_name(id.as_str()).await?;
    see(&format!("/hosts/{id}"))
}
