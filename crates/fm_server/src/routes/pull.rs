//! Builds as every client of OCI registries pulls them: hosts with their certificate, and skopeo, oras or podman with one
//! that may read. Nothing is written here.
//!
//! Source: OCI distribution-spec v1.1, "Pull", "Error Codes".

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use fm_api::v1::fleet::Digest;
use fm_fleet::blobs::FoundManifest;

use crate::answer::{Answer, MANIFEST, streamed, typed};
use crate::request::Caller;
use crate::state::App;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The one repository that there is: `builds`.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/v2/", get(version))
        .route("/v2/builds/manifests/{reference}", get(manifest))
        .route("/v2/builds/blobs/{digest}", get(blob))
}

async fn version(Caller(caller): Caller) -> Answer {
    caller.require_builds()?;
    Ok(typed("application/json", "{}"))
}

async fn manifest(State(app): State<App>, Caller(caller): Caller, Path(reference): Path<String>) -> Answer {
    caller.require_builds()?;
    let by_digest = digest(&reference);
    let by_tag = reference.strip_prefix("fm-").and_then(|build| build.parse().ok());
    let found: Option<FoundManifest> = match (by_digest, by_tag) {
        (Some(digest), _) => app.fleet().manifest_at(&digest).await?,
        (None, Some(build)) => app.fleet().manifest(&build).await?,
        (None, None) => None,
    };
    let Some(found) = found else {
        return Ok(unknown("MANIFEST_UNKNOWN"));
    };
    Ok(named(&found.digest, typed(MANIFEST, found.bytes)))
}

async fn blob(State(app): State<App>, Caller(caller): Caller, Path(reference): Path<String>) -> Answer {
    caller.require_builds()?;
    let Some(digest) = digest(&reference) else {
        return Ok(unknown("BLOB_UNKNOWN"));
    };
    Ok(match app.fleet().blob(&digest).await? {
        Some(found) => named(&digest, streamed(found)),
        None => unknown("BLOB_UNKNOWN"),
    })
}

fn digest(reference: &str) -> Option<Digest> {
    reference.strip_prefix("sha256:")?.parse().ok()
}

fn named(digest: &Digest, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("sha256:{digest}")) {
        response.headers_mut().insert(CONTENT_DIGEST, value);
    }
    response
}

/// What is not there, in the words of registries.
fn unknown(code: &'static str) -> Response {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": "the fleet does not hold it" }] });
    let mut response = typed("application/json", body.to_string());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
