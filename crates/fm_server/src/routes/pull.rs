//! Builds as every client of OCI registries pulls them: hosts with their certificate, and skopeo, oras or podman with one
//! that may read. Nothing is written here.
//!
//! Source: OCI distribution-spec v1.1, "Pull", "Error Codes".

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use fm_api::oci::MANIFEST;
use fm_blobs::FoundManifest;

use crate::answer::{Answer, streamed, typed};
use crate::caller::Caller;
use crate::distribution::{BLOB, MANIFEST_OF, VERSION, digest, named, tagged_build, unknown};
use crate::state::App;

/// The one repository that there is: `builds`.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route(VERSION, get(version))
        .route(MANIFEST_OF, get(manifest))
        .route(BLOB, get(blob))
}

async fn version(Caller(caller): Caller) -> Answer {
    caller.require_builds()?;
    Ok(typed("application/json", "{}"))
}

async fn manifest(State(app): State<App>, Caller(caller): Caller, Path(reference): Path<String>) -> Answer {
    caller.require_builds()?;
    let by_digest = digest(&reference);
    let by_tag = tagged_build(&reference);
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
