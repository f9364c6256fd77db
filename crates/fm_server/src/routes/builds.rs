//! Builds: how they stand, why they are kept, and their bytes in both directions.

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use fm_api::oci::MANIFEST;
use fm_api::v1::enrolment::{NewPin, Role, UploadedBuild};
use fm_api::v1::fleet::{BuildState, Digest, PageRequest, StoredPin};
use fm_fleet::{BuildFilter, Layer, StoredBuild};
use serde::Deserialize;

use crate::answer::{Answer, json, streamed, tagged, typed};
use crate::caller::Caller;
use crate::state::App;
use crate::uploads::MAX_BLOB_BYTES;
use fm_access::request::{MAX_DOCUMENT_BYTES, Query, check_length, document, part, precondition};
use fm_access::{Principal, Problem};

/// What a list of builds is asked for with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    cursor: Option<String>,
    limit: Option<usize>,
    state: Option<BuildState>,
}

pub(super) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(wanted): Query<Wanted>,
) -> Answer {
    caller.require_builds()?;
    let filter = BuildFilter { state: wanted.state };
    let page = PageRequest {
        cursor: wanted.cursor,
        limit: wanted.limit,
    };
    json(&app.fleet().builds(&filter, &page).await?)
}

pub(super) async fn one(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
) -> Answer {
    caller.require_builds()?;
    let view = app.fleet().build(&part::<Digest>(&digest)?).await?;
    tagged(&view, view.revision)
}

pub(super) async fn why(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
) -> Answer {
    caller.require(Role::Reader)?;
    json(&app.fleet().why(&part::<Digest>(&digest)?).await?)
}

pub(super) async fn manifest(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
) -> Answer {
    caller.require_builds()?;
    let digest: Digest = part(&digest)?;
    let found = app.fleet().manifest(&digest).await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("the fleet does not hold build {digest}")))?;
    Ok(typed(MANIFEST, found.bytes))
}

pub(super) async fn blob(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
) -> Answer {
    caller.require_builds()?;
    let digest: Digest = part(&digest)?;
    let found = app.fleet().blob(&digest).await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("the fleet does not hold {digest}")))?;
    Ok(streamed(found))
}

pub(super) async fn put_blob(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
    request: Request,
) -> Answer {
    require_bringing(&caller)?;
    let digest: Digest = part(&digest)?;
    check_length(request.headers(), MAX_BLOB_BYTES)?;
    let size_bytes = app.uploads().take(&digest, request.into_body()).await?;
    json(&serde_json::json!({ "size_bytes": size_bytes }))
}

/// Hosts bring what they hold, and operators what they like.
fn require_bringing(caller: &Principal) -> Result<(), Problem> {
    match caller.role {
        Role::Host => Ok(()),
        _ => caller.require(Role::Operator),
    }
}

pub(super) async fn store(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
    request: Request,
) -> Answer {
    require_bringing(&caller)?;
    let build: Digest = part(&digest)?;
    let wanted: UploadedBuild = document(request, MAX_DOCUMENT_BYTES).await?;
    if wanted.layers.len() > fm_formats::image::MAX_BUILD_FILE_COUNT {
        return Err(Problem::bad_request("no build has so many files"));
    }
    let mut layers = Vec::new();
    for layer in &wanted.layers {
        let blob = app
            .uploads()
            .blob(&layer.digest)
            .ok_or_else(|| Problem::conflict(format!("blob {} has to be uploaded first", layer.digest)))?;
        layers.push(Layer {
            media_type: layer.media_type.clone(),
            title: layer.title.clone(),
            blob,
        });
    }
    let stored = StoredBuild {
        build,
        layers,
        name: wanted.name,
        version: wanted.version,
        source: wanted.source,
        facts: wanted.facts,
    };
    let view = app.fleet().store(&stored, &caller.name).await?;
    for layer in &wanted.layers {
        app.uploads().forget(&layer.digest);
    }
    tagged(&view, view.revision)
}

pub(super) async fn pin(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((digest, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    caller.require(Role::Operator)?;
    let build: Digest = part(&digest)?;
    let revision = precondition(request.headers())?;
    let wanted: NewPin = document(request, MAX_DOCUMENT_BYTES).await?;
    let pin = StoredPin {
        name,
        reason: wanted.reason,
        by: caller.name,
    };
    let view = app.fleet().pin(&build, &pin, revision).await?;
    tagged(&view, view.revision)
}

pub(super) async fn unpin(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((digest, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    caller.require(Role::Operator)?;
    let build: Digest = part(&digest)?;
    let revision = precondition(&headers)?;
    let view = app.fleet().unpin(&build, &name, &caller.name, revision).await?;
    tagged(&view, view.revision)
}

pub(super) async fn condemn(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.require(Role::Operator)?;
    let build: Digest = part(&digest)?;
    let view = app
        .fleet()
        .condemn(&build, &caller.name, precondition(&headers)?)
        .await?;
    tagged(&view, view.revision)
}

pub(super) async fn revive(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.require(Role::Operator)?;
    let build: Digest = part(&digest)?;
    let view = app
        .fleet()
        .revive(&build, &caller.name, precondition(&headers)?)
        .await?;
    tagged(&view, view.revision)
}
