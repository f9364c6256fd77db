//! The fleet as a whole, what the API is, and the server's own figures.

use axum::extract::State;
use axum::response::Response;
use fm_api::v1::enrolment::{FleetMeta, Role};

use crate::answer::{Answer, json, typed};
use crate::caller::Caller;
use crate::state::App;

/// The CA's certificate. Whoever joins compares it with what the token pins; there is nothing secret in it.
pub(super) async fn ca(State(app): State<App>) -> Response {
    typed("application/x-pem-file", app.ca().to_owned())
}

pub(super) async fn openapi() -> Answer {
    json(&crate::openapi::openapi())
}

pub(super) async fn meta(State(app): State<App>, Caller(caller): Caller) -> Answer {
    if caller.host().is_none() {
        caller.require(Role::Reader)?;
    }
    let meta = app.fleet().meta().await?;
    json(&FleetMeta {
        schema: fm_api::Schema::default(),
        fleet: meta.fleet_id,
        epoch: meta.epoch,
        revision: meta.revision,
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

pub(super) async fn metrics(State(app): State<App>, Caller(caller): Caller) -> Answer {
    caller.require(Role::Reader)?;
    Ok(typed(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        app.metrics().text(),
    ))
}
