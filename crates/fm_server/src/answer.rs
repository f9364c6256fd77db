//! What goes out: JSON, and the tag by which a later write says what it relied on.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use fm_blobs::BlobReader;
use serde::Serialize;

use crate::pieces::Pieces;
use fm_access::Problem;

/// What a handler returns.
pub(crate) type Answer = Result<Response, Problem>;

/// A document.
pub(crate) fn json(document: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(document).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(typed("application/json", bytes))
}

/// A document with the revision of its record as its tag.
pub(crate) fn tagged(document: &impl Serialize, revision: u64) -> Answer {
    let mut response = json(document)?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// Bytes of a certain type.
pub(crate) fn typed(media_type: &'static str, bytes: impl Into<axum::body::Body>) -> Response {
    let mut response = (StatusCode::OK, bytes.into()).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A blob, piece by piece.
pub(crate) fn streamed(blob: BlobReader) -> Response {
    let body = Body::from_stream(Pieces::new(blob.bytes));
    let mut response = typed("application/octet-stream", body);
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, blob.size_bytes.into());
    response
}
