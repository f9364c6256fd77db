//! Rollouts: planned, begun, watched, stopped and taken back; and guests that they leave out.

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use fm_api::v1::enrolment::{NewPin, Role};
use fm_api::v1::fleet::PageRequest;
use fm_api::v1::rollout::{GuestPin, GuestPins, RollbackRequest, RolloutSpec, Rollouts};
use fm_fleet::RolloutCommand;
use serde::Deserialize;

use crate::answer::{Answer, json, tagged};
use crate::caller::Caller;
use crate::state::App;
use fm_access::request::{MAX_DOCUMENT_BYTES, Query, document, precondition};

/// Which page of guests is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(State(app): State<App>, Caller(caller): Caller) -> Answer {
    caller.require(Role::Reader)?;
    let (rollouts, revision) = app.fleet().rollouts().await?;
    json(&Rollouts {
        schema: fm_api::Schema::default(),
        rollouts,
        revision,
    })
}

pub(super) async fn plan(State(app): State<App>, Caller(caller): Caller, request: Request) -> Answer {
    caller.require(Role::Reader)?;
    let spec: RolloutSpec = document(request, MAX_DOCUMENT_BYTES).await?;
    json(&app.fleet().plan_rollout(&spec).await?)
}

pub(super) async fn begin(State(app): State<App>, Caller(caller): Caller, request: Request) -> Answer {
    caller.require(Role::Operator)?;
    let spec: RolloutSpec = document(request, MAX_DOCUMENT_BYTES).await?;
    let view = app.fleet().begin_rollout(&spec, &caller.name).await?;
    tagged(&view, view.revision)
}

pub(super) async fn one(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>) -> Answer {
    caller.require(Role::Reader)?;
    let view = app.fleet().rollout(&id).await?;
    tagged(&view, view.revision)
}

pub(super) async fn guests(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    caller.require(Role::Reader)?;
    let page = PageRequest {
        cursor: wanted.cursor,
        limit: wanted.limit,
    };
    json(&app.fleet().rollout_guests(&id, &page).await?)
}

pub(super) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    change(&app, caller, &id, RolloutCommand::Pause, &headers).await
}

pub(super) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    change(&app, caller, &id, RolloutCommand::Resume, &headers).await
}

pub(super) async fn abort(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    change(&app, caller, &id, RolloutCommand::Abort, &headers).await
}

async fn change(
    app: &App,
    Caller(caller): Caller,
    id: &str,
    command: RolloutCommand,
    headers: &HeaderMap,
) -> Answer {
    caller.require(Role::Operator)?;
    let revision = precondition(headers)?;
    let done = app
        .fleet()
        .change_rollout(id, command, None, &caller.name, revision);
    let view = done.await?;
    tagged(&view, view.revision)
}

pub(super) async fn roll_back(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    caller.require(Role::Operator)?;
    let revision = precondition(request.headers())?;
    let wanted: RollbackRequest = document(request, MAX_DOCUMENT_BYTES).await?;
    let variables = Some(wanted.variables);
    let command = RolloutCommand::RollBack;
    let view = app
        .fleet()
        .change_rollout(&id, command, variables, &caller.name, revision)
        .await?;
    tagged(&view, view.revision)
}

pub(super) async fn pins(State(app): State<App>, Caller(caller): Caller) -> Answer {
    caller.require(Role::Reader)?;
    json(&all_pins(&app).await?)
}

pub(super) async fn pin(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(guest): Path<String>,
    request: Request,
) -> Answer {
    caller.require(Role::Operator)?;
    let wanted: NewPin = document(request, MAX_DOCUMENT_BYTES).await?;
    let pin = GuestPin {
        guest,
        reason: wanted.reason,
        by: caller.name,
    };
    app.fleet().pin_guest(&pin).await?;
    json(&all_pins(&app).await?)
}

pub(super) async fn unpin(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(guest): Path<String>,
) -> Answer {
    caller.require(Role::Operator)?;
    app.fleet().unpin_guest(&guest, &caller.name).await?;
    json(&all_pins(&app).await?)
}

async fn all_pins(app: &App) -> Result<GuestPins, fm_access::Problem> {
    Ok(GuestPins {
        schema: fm_api::Schema::default(),
        pins: app.fleet().guest_pins().await?,
    })
}
