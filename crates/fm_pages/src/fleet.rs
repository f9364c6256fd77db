//! The first page: which builds how many guests run, what drifts, and which hosts are silent.

use askama::Template;
use axum::extract::State;
use fm_api::v1::fleet::{BuildState, HostState, PageRequest, UseReason};
use fm_fleet::{GuestFilter, HostFilter};

use super::address::Address;
use super::frame::{Frame, Section};
use super::guests::Row as GuestRow;
use super::hosts::Row as HostRow;
use super::reply::{Reply, page as reply};
use super::visitor::Visitor;
use super::words::{Word, build_state, count, short};
use crate::site::Site;

/// So many builds are shown: those that most guests run.
const BUILD_COUNT: usize = 100;
/// So many guests and hosts that want attention.
const ROW_COUNT: usize = 20;

/// What a build is needed for, in figures.
struct Row {
    href: String,
    guests_href: String,
    short: String,
    name: String,
    state: Word,
    hosts: u64,
    runs: u64,
    next_boot: u64,
    saved: u64,
    other: u64,
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page {
    frame: Frame,
    figures: Vec<(&'static str, u64, &'static str, &'static str)>,
    rows: Vec<Row>,
    more: Option<String>,
    most: u64,
    drift: Vec<GuestRow>,
    drift_count: String,
    silent: Vec<HostRow>,
    silent_count: String,
    revision: u64,
}

pub(super) async fn page(State(site): State<Site>, visitor: Visitor) -> Reply {
    let fleet = site.fleet();
    let summary = fleet.summary(BUILD_COUNT).await?;
    let some = PageRequest {
        cursor: None,
        limit: Some(ROW_COUNT),
    };
    let of = |reason| summary.reasons.get(&reason).copied().unwrap_or(0);
    let state = |state| summary.states.get(&state).copied().unwrap_or(0);
    let (runs, drift_count) = (of(UseReason::Runs), of(UseReason::NextBoot));
    let drift = match drift_count {
        0 => Vec::new(),
        _ => {
            let filter = GuestFilter {
                drifts: Some(true),
                ..GuestFilter::default()
            };
            fleet.guests(&filter, &some).await?.items
        }
    };
    let silent = match summary.silent_count {
        0 => Vec::new(),
        _ => {
            let filter = HostFilter {
                state: Some(HostState::Active),
                alive: Some(false),
                ..HostFilter::default()
            };
            fleet.hosts(&filter, &some).await?.items
        }
    };
    let figures = vec![
        ("Hosts", summary.host_count, "/hosts", "plain"),
        (
            "Silent hosts",
            summary.silent_count,
            "/hosts?state=active&alive=false",
            if summary.silent_count > 0 { "bad" } else { "plain" },
        ),
        ("Guests that run", runs, "/guests", "plain"),
        (
            "Guests with another build at the next boot",
            drift_count,
            "/guests?drifts=true",
            if drift_count > 0 { "warn" } else { "plain" },
        ),
        (
            "Builds stored",
            state(BuildState::Live),
            "/builds?state=live",
            "plain",
        ),
        (
            "Builds missing",
            state(BuildState::Missing),
            "/builds?state=missing",
            if state(BuildState::Missing) > 0 {
                "warn"
            } else {
                "plain"
            },
        ),
        (
            "Builds condemned",
            state(BuildState::Condemned),
            "/collection",
            "plain",
        ),
    ];
    let rows: Vec<Row> = summary
        .builds
        .iter()
        .map(|usage| {
            let of = |reason| usage.reasons.get(&reason).copied().unwrap_or(0);
            let known = [UseReason::Runs, UseReason::NextBoot, UseReason::Saved];
            let build = &usage.build;
            Row {
                href: format!("/builds/{}", build.build),
                guests_href: Address::new("/guests")
                    .with("build", Some(build.build.as_str()))
                    .href(),
                short: short(&build.build),
                name: super::builds::called(build),
                state: build_state(build.state),
                hosts: build.user_count,
                runs: of(UseReason::Runs),
                next_boot: of(UseReason::NextBoot),
                saved: of(UseReason::Saved),
                other: usage
                    .reasons
                    .iter()
                    .filter(|(reason, _)| !known.contains(reason))
                    .map(|(_, count)| count)
                    .sum(),
            }
        })
        .collect();
    let rest = summary.build_count.saturating_sub(rows.len() as u64);
    reply(&Page {
        frame: Frame::live("Fleet", Section::Fleet, visitor.who()),
        figures,
        most: runs.max(1),
        more: (rest > 0).then(|| count(rest, "more build", "more builds")),
        rows,
        drift: drift.iter().map(GuestRow::of).collect(),
        drift_count: count(drift_count, "guest", "guests"),
        silent: silent.iter().map(HostRow::of).collect(),
        silent_count: count(summary.silent_count, "host", "hosts"),
        revision: summary.revision,
    })
}
