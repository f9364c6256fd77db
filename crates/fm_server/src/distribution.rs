//! What clients of OCI registries ask for and are answered, by a server of the fleet as by a host.
//!
//! Source: OCI distribution-spec v1.1, "Pull", "Error Codes".

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use fm_api::v1::fleet::Digest;

use crate::answer::typed;

/// Whether there is a registry.
pub(crate) const VERSION: &str = "/v2/";
/// Manifests of the one repository that there is.
pub(crate) const MANIFEST_OF: &str = "/v2/builds/manifests/{reference}";
/// Its blobs.
pub(crate) const BLOB: &str = "/v2/builds/blobs/{digest}";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The build whose tag a reference is.
pub(crate) fn tagged_build(reference: &str) -> Option<Digest> {
    reference.strip_prefix("fm-")?.parse().ok()
}

/// The digest that a reference is.
pub(crate) fn digest(reference: &str) -> Option<Digest> {
    reference.strip_prefix("sha256:")?.parse().ok()
}

/// An answer that names what it holds.
pub(crate) fn named(digest: &Digest, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("sha256:{digest}")) {
        response.headers_mut().insert(CONTENT_DIGEST, value);
    }
    response
}

/// What is not there, in the words of registries.
pub(crate) fn unknown(code: &'static str) -> Response {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": "the fleet does not hold it" }] });
    let mut response = typed("application/json", body.to_string());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
