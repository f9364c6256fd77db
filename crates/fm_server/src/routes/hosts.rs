//! Hosts: what they report, how they stand, and that one will not come back.

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::{Digest, HostId, HostReport, HostState, PageRequest};
use fm_fleet::HostFilter;
use serde::Deserialize;

use crate::answer::{Answer, json, tagged};
use crate::caller::Caller;
use crate::state::App;
use fm_access::Problem;
use fm_access::request::{MAX_REPORT_BYTES, Query, document, part, precondition};

/// What a list of hosts is asked for with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    cursor: Option<String>,
    limit: Option<usize>,
    state: Option<HostState>,
    build: Option<Digest>,
    alive: Option<bool>,
}

pub(super) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(wanted): Query<Wanted>,
) -> Answer {
    caller.require(Role::Reader)?;
    let filter = HostFilter {
        state: wanted.state,
        build: wanted.build,
        alive: wanted.alive,
    };
    let page = PageRequest {
        cursor: wanted.cursor,
        limit: wanted.limit,
    };
    json(&app.fleet().hosts(&filter, &page).await?)
}

pub(super) async fn one(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>) -> Answer {
    let host: HostId = part(&id)?;
    caller.require_reading(&host)?;
    let view = app.fleet().host(&host).await?;
    tagged(&view, view.revision)
}

pub(super) async fn report(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    let host: HostId = part(&id)?;
    caller.require_host(&host)?;
    let report: HostReport = document(request, MAX_REPORT_BYTES).await?;
    if report.host != host {
        return Err(Problem::not_yours(format!(
            "the report is of {}, and the address of {host}",
            report.host
        )));
    }
    json(&app.fleet().report(&report).await?)
}

pub(super) async fn alive(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>) -> Answer {
    let host: HostId = part(&id)?;
    caller.require_host(&host)?;
    json(&app.fleet().sign_of_life(&host).await?)
}

pub(super) async fn targets(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Answer {
    let host: HostId = part(&id)?;
    caller.require_reading(&host)?;
    let targets = app.fleet().targets(&host).await?;
    tagged(&targets, targets.revision)
}

pub(super) async fn retire(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.require(Role::Operator)?;
    let host: HostId = part(&id)?;
    let view = app
        .fleet()
        .retire(&host, &caller.name, precondition(&headers)?)
        .await?;
    // What will not come back must not come back under its old name either, until somebody lets it.
    app.ledger().revoke_name(host.as_str()).await?;
    tagged(&view, view.revision)
}
