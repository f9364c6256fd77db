//! The collection: builds that are to go, and who is still to be heard before.

use askama::Template;
use axum::extract::State;
use fm_api::v1::fleet::PageRequest;
use fm_fleet::WaitingBuild;
use serde::Deserialize;

use super::address::{Address, BuildLink, Pager};
use super::ask::Asked;
use super::builds::{called, lasting};
use super::frame::{Frame, Section};
use super::reply::{Reply, page as reply};
use super::visitor::Visitor;
use super::words::{obstacle, shown};
use crate::site::Site;

/// So many condemned builds are on a page, each with the hosts that it waits for.
const ROW_COUNT: usize = 25;

/// What the collection is asked for with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    cursor: Option<String>,
}

/// A condemned build.
struct Row {
    link: BuildLink,
    name: String,
    users: u64,
    pins: Vec<String>,
    awaited: u64,
    silent: u64,
    epoch: u64,
    hosts: Vec<(String, &'static str)>,
    hosts_more: u64,
    grace: Option<String>,
    has_planner: bool,
    is_free: bool,
}

impl Row {
    fn of(waiting: &WaitingBuild) -> Self {
        let build = &waiting.build;
        let hosts = waiting.hosts.iter();
        let host_count = waiting.awaited_count + waiting.silent_count + waiting.epoch_count;
        let grace = waiting.remaining_ms.map_or_else(
            || "the planner's server knows how long".to_owned(),
            |left| format!("{} left", lasting(left)),
        );
        Self {
            link: BuildLink::to(&build.build),
            name: called(build),
            users: build.user_count,
            pins: build.pins.iter().map(|pin| shown(&pin.name)).collect(),
            awaited: waiting.awaited_count,
            silent: waiting.silent_count,
            epoch: waiting.epoch_count,
            hosts: hosts
                .map(|(host, kind)| (host.to_string(), obstacle(*kind)))
                .collect(),
            hosts_more: host_count.saturating_sub(waiting.hosts.len() as u64),
            grace: waiting.has_grace.then_some(grace),
            has_planner: waiting.has_planner,
            is_free: host_count == 0
                && build.user_count == 0
                && build.pins.is_empty()
                && !waiting.has_grace
                && waiting.has_planner,
        }
    }
}

#[derive(Template)]
#[template(path = "collection.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
}

pub(super) async fn page(State(site): State<Site>, visitor: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let page = PageRequest {
        cursor: wanted.cursor.filter(|cursor| !cursor.is_empty()),
        limit: Some(ROW_COUNT),
    };
    let found = site.fleet().waiting(&page).await?;
    reply(&Page {
        frame: Frame::live("Collection", Section::Collection, visitor.who()),
        rows: found.items.iter().map(Row::of).collect(),
        pager: Pager::new(
            &Address::new("/collection"),
            page.cursor.as_deref(),
            found.next.as_deref(),
        ),
    })
}
