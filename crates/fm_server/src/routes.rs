//! The API: one file a noun, and what surrounds every request.

mod builds;
mod certificates;
mod enrolment;
mod events;
mod guests;
mod hosts;
mod keys;
mod pull;
mod rollouts;
mod system;

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post, put};

use crate::log::Log;
use crate::metrics::{KindLabels, RequestLabels};
use crate::problem::{Problem, Refusal};
use crate::state::App;

/// Every route. What is served is listed in `openapi`, and a test compares the two.
pub(crate) fn router(app: App, log: Log) -> Router {
    Router::new()
        .route("/api/v1/ca", get(system::ca))
        .route("/api/v1/openapi.json", get(system::openapi))
        .route("/api/v1/meta", get(system::meta))
        .route("/metrics", get(system::metrics))
        .route("/api/v1/join", post(enrolment::join))
        .route("/api/v1/renew", post(enrolment::renew))
        .route("/api/v1/tokens", post(enrolment::make_token))
        .route("/api/v1/keys", get(keys::list))
        .route("/api/v1/keys/{serial}/revoke", post(keys::revoke))
        .route("/api/v1/hosts", get(hosts::list))
        .route("/api/v1/hosts/{id}", get(hosts::one))
        .route("/api/v1/hosts/{id}/report", put(hosts::report))
        .route("/api/v1/hosts/{id}/alive", post(hosts::alive))
        .route("/api/v1/hosts/{id}/targets", get(hosts::targets))
        .route("/api/v1/hosts/{id}/retire", post(hosts::retire))
        .route("/api/v1/guests", get(guests::list))
        .route("/api/v1/certificates", get(certificates::list))
        .route("/api/v1/builds", get(builds::list))
        .route("/api/v1/builds/{digest}", get(builds::one).put(builds::store))
        .route("/api/v1/builds/{digest}/why", get(builds::why))
        .route("/api/v1/builds/{digest}/manifest", get(builds::manifest))
        .route("/api/v1/builds/{digest}/condemn", post(builds::condemn))
        .route("/api/v1/builds/{digest}/revive", post(builds::revive))
        .route(
            "/api/v1/builds/{digest}/pins/{name}",
            put(builds::pin).delete(builds::unpin),
        )
        .route("/api/v1/blobs/{digest}", get(builds::blob).put(builds::put_blob))
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/rollouts", get(rollouts::list).post(rollouts::begin))
        .route("/api/v1/rollouts/plan", post(rollouts::plan))
        .route("/api/v1/rollouts/{id}", get(rollouts::one))
        .route("/api/v1/rollouts/{id}/guests", get(rollouts::guests))
        .route("/api/v1/rollouts/{id}/pause", post(rollouts::pause))
        .route("/api/v1/rollouts/{id}/resume", post(rollouts::resume))
        .route("/api/v1/rollouts/{id}/abort", post(rollouts::abort))
        .route("/api/v1/rollouts/{id}/rollback", post(rollouts::roll_back))
        .route("/api/v1/guest-pins", get(rollouts::pins))
        .route(
            "/api/v1/guest-pins/{guest}",
            put(rollouts::pin).delete(rollouts::unpin),
        )
        .merge(pull::router())
        .merge(crate::pages::router())
        .fallback(|| async { Problem::not_found("the API has no such address") })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(from_fn_with_state((app.clone(), log), observe))
        .with_state(app)
}

/// Counts a request, and tells the log of a refused one.
async fn observe(State((app, log)): State<(App, Log)>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = method_name(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let from = log.origin(request.extensions());
    let response = next.run(request).await;
    let metrics = app.metrics();
    metrics.request_s.observe(began.elapsed().as_secs_f64());
    let status = response.status().as_u16();
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        metrics
            .refused
            .get_or_create(&KindLabels { kind: refusal.kind })
            .inc();
        log.refused(refusal, method, &route, &from);
    }
    let labels = RequestLabels {
        method,
        route,
        status,
    };
    metrics.requests.get_or_create(&labels).inc();
    response
}

/// From a list of ours, whatever somebody sends.
fn method_name(method: &axum::http::Method) -> &'static str {
    ["GET", "PUT", "POST", "DELETE", "HEAD"]
        .into_iter()
        .find(|name| method.as_str() == *name)
        .unwrap_or("other")
}
