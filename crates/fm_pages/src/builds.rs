//! Builds, one of them with why it is kept, and the forms that pin and unpin it.

use askama::Template;
use axum::extract::{Path, Request, State};
use fm_api::v1::fleet::{BuildState, BuildView, Digest, PageRequest, StoredPin};
use fm_fleet::{BuildFilter, EventFilter};
use serde::Deserialize;

use super::address::{Address, BuildLink, Pager, encoded, given_word, guest as guest_href, page_request};
use super::ask::Asked;
use super::forms;
use super::frame::{Frame, Section};
use super::history::Row as EventRow;
use super::reply::{Reply, page as reply, secret_page, see};
use super::visitor::Visitor;
use super::words::{Word, build_state, obstacle, reason, short, shown, size, usage as usage_word};
use crate::site::Site;
use fm_access::Problem;
use fm_access::request::part;

/// So many needs and obstacles are shown.
const PROOF_COUNT: usize = 100;
const EVENT_COUNT: usize = 20;

/// What builds are asked for with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    cursor: Option<String>,
    limit: Option<String>,
    state: Option<String>,
}

/// What people call a build, or nothing.
pub(super) fn called(build: &BuildView) -> String {
    let parts = [build.name.as_deref(), build.version.as_deref()];
    let parts: Vec<String> = parts.into_iter().flatten().map(shown).collect();
    parts.join(" ")
}

/// A build in a table.
struct Row {
    link: BuildLink,
    digest: String,
    name: String,
    state: Word,
    generation: u64,
    users: u64,
    size: String,
    pins: Vec<String>,
}

impl Row {
    fn of(build: &BuildView) -> Self {
        Self {
            link: BuildLink::to(&build.build),
            digest: build.build.to_string(),
            name: called(build),
            state: build_state(build.state),
            generation: build.generation,
            users: build.user_count,
            size: build.size_bytes.map_or_else(|| "unknown".to_owned(), size),
            pins: build.pins.iter().map(|pin| shown(&pin.name)).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "builds.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
    state: String,
}

pub(super) async fn list(State(site): State<Site>, visitor: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let page = page_request(wanted.cursor.as_deref(), wanted.limit.as_deref())?;
    let filter = BuildFilter {
        state: given_word::<BuildState>("the state", wanted.state.as_deref())?,
    };
    let found = site.fleet().builds(&filter, &page).await?;
    let address = Address::new("/builds")
        .with("state", wanted.state.as_deref())
        .with("limit", wanted.limit.as_deref());
    reply(&ListPage {
        frame: Frame::live("Builds", Section::Builds, visitor.who()),
        rows: found.items.iter().map(Row::of).collect(),
        pager: Pager::new(&address, page.cursor.as_deref(), found.next.as_deref()),
        state: wanted.state.unwrap_or_default(),
    })
}

/// A pin, and where it is taken away.
struct Pin {
    name: String,
    reason: String,
    by: String,
    unpin: Option<String>,
}

/// A need for the build.
struct Need {
    host: String,
    guest: Option<(String, String)>,
    reason: &'static str,
}

/// What stands in the way of its removal.
struct Obstacle {
    what: &'static str,
    host: Option<String>,
    pin: String,
    remaining: Option<String>,
}

#[derive(Template)]
#[template(path = "build.html")]
struct OnePage {
    frame: Frame,
    build: Row,
    manifest: Option<String>,
    summary: &'static str,
    usage: Vec<(&'static str, u64)>,
    hosts_href: String,
    guests_href: String,
    pins: Vec<Pin>,
    pin: Option<String>,
    needs: Vec<Need>,
    need_count: u64,
    obstacles: Vec<Obstacle>,
    obstacle_count: u64,
    events: Vec<EventRow>,
    events_href: String,
    revision: u64,
}

pub(super) async fn one(State(site): State<Site>, visitor: Visitor, Path(digest): Path<String>) -> Reply {
    let digest: Digest = part(&digest)?;
    let fleet = site.fleet();
    let view = fleet.build(&digest).await?;
    let proof = fleet.why(&digest).await?;
    let usage = fleet.usage(&digest).await?;
    let filter = EventFilter {
        build: Some(digest.clone()),
        ..EventFilter::default()
    };
    let some = PageRequest {
        cursor: None,
        limit: Some(EVENT_COUNT),
    };
    let events = fleet.recent_events(&filter, &some).await?;
    let of_build = |path| Address::new(path).with("build", Some(digest.as_str())).href();
    let is_operator = visitor.is_operator();
    let pins = view.pins.iter().map(|pin| Pin {
        name: shown(&pin.name),
        reason: shown(&pin.reason),
        by: shown(&pin.by),
        unpin: is_operator.then(|| format!("/builds/{digest}/unpin?name={}", encoded(&pin.name))),
    });
    let needs = proof.needed_by.iter().take(PROOF_COUNT).map(|need| Need {
        host: need.host.to_string(),
        guest: need
            .guest
            .as_deref()
            .map(|guest| (guest_href(guest), shown(guest))),
        reason: reason(need.reason),
    });
    let obstacles = proof.blocked_by.iter().take(PROOF_COUNT).map(|found| Obstacle {
        what: obstacle(found.kind),
        host: found.host.as_ref().map(ToString::to_string),
        pin: shown(found.pin.as_deref().unwrap_or_default()),
        remaining: found.remaining_ms.map(lasting),
    });
    reply(&OnePage {
        frame: Frame::live(
            format!("Build {}", short(&digest)),
            Section::Builds,
            visitor.who(),
        ),
        manifest: view.manifest.as_ref().map(ToString::to_string),
        summary: summary(view.state, !view.pins.is_empty(), proof.need_count > 0),
        usage: usage
            .into_iter()
            .map(|(why, count)| (usage_word(why), count))
            .collect(),
        hosts_href: of_build("/hosts"),
        guests_href: of_build("/guests"),
        pins: pins.collect(),
        pin: (is_operator && view.state != BuildState::Deleting).then(|| format!("/builds/{digest}/pin")),
        needs: needs.collect(),
        need_count: proof.need_count,
        obstacles: obstacles.collect(),
        obstacle_count: proof.obstacle_count,
        events: events.items.iter().map(EventRow::of).collect(),
        events_href: of_build("/log"),
        revision: proof.revision,
        build: Row::of(&view),
    })
}

/// In one sentence, why the build is there or not.
fn summary(state: BuildState, is_pinned: bool, is_needed: bool) -> &'static str {
    match (state, is_needed, is_pinned) {
        (BuildState::Missing, _, _) => "Hosts run or hold it, and the fleet does not have its bytes yet.",
        (BuildState::Live | BuildState::Condemned, true, _) => "It is kept because hosts need it.",
        (BuildState::Live | BuildState::Condemned, false, true) => "It is kept because somebody pinned it.",
        (BuildState::Live, false, false) => "Nobody needs it; it will be condemned.",
        (BuildState::Condemned, false, false) => {
            "Nobody needs it; it goes when nothing below stands in the way."
        }
        (BuildState::Deleting, _, _) => "Nobody needs it, and it is being deleted.",
        (BuildState::Purged, _, _) => "It was deleted, because nobody needed it.",
        (BuildState::Unknown, _, _) => "A newer version of the program says what it is.",
    }
}

/// A time that is still to pass, rounded up.
pub(super) fn lasting(remaining_ms: u64) -> String {
    let minutes = remaining_ms.div_ceil(60_000);
    if minutes < 120 {
        super::words::count(minutes, "minute", "minutes")
    } else {
        super::words::count(minutes.div_ceil(60), "hour", "hours")
    }
}

#[derive(Template)]
#[template(path = "pin.html")]
struct PinPage {
    frame: Frame,
    build: Row,
    action: String,
    token: String,
    revision: u64,
}

pub(super) async fn ask_pin(State(site): State<Site>, visitor: Visitor, Path(digest): Path<String>) -> Reply {
    forms::require_operator(&visitor)?;
    let digest: Digest = part(&digest)?;
    let view = site.fleet().build(&digest).await?;
    let action = format!("/builds/{digest}/pin");
    secret_page(&PinPage {
        frame: Frame::still(
            format!("Pin build {}", short(&digest)),
            Section::Builds,
            visitor.who(),
        ),
        token: forms::token(&visitor, &action)?,
        action,
        revision: view.revision,
        build: Row::of(&view),
    })
}

#[derive(Debug, Deserialize)]
struct NewPin {
    name: String,
    #[serde(default)]
    reason: String,
    revision: String,
}

pub(super) async fn pin(
    State(site): State<Site>,
    visitor: Visitor,
    Path(digest): Path<String>,
    request: Request,
) -> Reply {
    let form: NewPin = forms::read_guarded(&visitor, request).await?;
    let digest: Digest = part(&digest)?;
    let pin = StoredPin {
        name: form.name.trim().to_owned(),
        reason: form.reason,
        by: visitor.principal.name,
    };
    site.fleet()
        .pin(&digest, &pin, Some(part(&form.revision)?))
        .await?;
    see(&format!("/builds/{digest}"))
}

/// Which pin.
#[derive(Debug, Deserialize)]
pub(super) struct WhichPin {
    name: String,
}

#[derive(Template)]
#[template(path = "unpin.html")]
struct UnpinPage {
    frame: Frame,
    build: Row,
    pin: Pin,
    /// As it was named, for the form.
    name: String,
    action: String,
    token: String,
    revision: u64,
}

pub(super) async fn ask_unpin(
    State(site): State<Site>,
    visitor: Visitor,
    Path(digest): Path<String>,
    Asked(which): Asked<WhichPin>,
) -> Reply {
    forms::require_operator(&visitor)?;
    let digest: Digest = part(&digest)?;
    let view = site.fleet().build(&digest).await?;
    let pin = view.pins.iter().find(|pin| pin.name == which.name);
    let pin = pin.ok_or_else(|| Problem::not_found("the build has no such pin"))?;
    let action = format!("/builds/{digest}/unpin");
    secret_page(&UnpinPage {
        frame: Frame::still(
            format!("Unpin build {}", short(&digest)),
            Section::Builds,
            visitor.who(),
        ),
        pin: Pin {
            name: shown(&pin.name),
            reason: shown(&pin.reason),
            by: shown(&pin.by),
            unpin: None,
        },
        token: forms::token(&visitor, &action)?,
        action,
        name: which.name,
        revision: view.revision,
        build: Row::of(&view),
    })
}

#[derive(Debug, Deserialize)]
struct OldPin {
    name: String,
    revision: String,
}

pub(super) async fn unpin(
    State(site): State<Site>,
    visitor: Visitor,
    Path(digest): Path<String>,
    request: Request,
) -> Reply {
    let form: OldPin = forms::read_guarded(&visitor, request).await?;
    let digest: Digest = part(&digest)?;
    let revision = Some(part(&form.revision)?);
    site.fleet()
        .unpin(&digest, &form.name, &visitor.principal.name, revision)
        .await?;
    see(&format!("/builds/{digest}"))
}
