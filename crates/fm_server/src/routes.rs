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
use crate::state::App;
use fm_access::{Problem, Refusal};

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
        .merge(fm_pages::router(app.site()))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::http::header::COOKIE;
    use fm_access::{Ledger, Token};
    use fm_api::v1::enrolment::Role;
    use fm_blobs::Layout;
    use fm_fleet::{Fleet, FleetOptions};
    use fm_records::Memory;
    use tower_service::Service as _;

    use super::*;
    use crate::metrics::Metrics;
    use crate::uploads::Uploads;

    #[tokio::test]
    async fn a_cookie_opens_the_pages_and_not_the_api_which_pages_of_others_could_use_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Layout::open(&folder.path().join("builds")).unwrap();
        let fleet = Fleet::open(
            Arc::new(Memory::default()),
            Arc::new(blobs),
            None,
            FleetOptions::default(),
        );
        let fleet = fleet.await.unwrap();
        let token = Token {
            id: "t".into(),
            role: Role::Reader,
            name: Some("dora".into()),
            expires_s: i64::MAX,
            bearer: true,
            by: "test".into(),
        };
        let ledger = Ledger::new(Arc::clone(fleet.records()));
        let secret = ledger.make_token(&token).await.unwrap();
        let uploads = Uploads::open(&folder.path().join("uploads")).unwrap();
        let app = App::new(fleet, None, String::new(), Metrics::default(), uploads);
        let mut router = router(app, Log::new(Box::new(|_| {})));
        for (path, status) in [
            ("/hosts", StatusCode::OK),
            ("/api/v1/hosts", StatusCode::UNAUTHORIZED),
        ] {
            let request = Request::get(path).header(COOKIE, format!("__Host-flashmoor={secret}"));
            let answer = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
        }
    }
}
