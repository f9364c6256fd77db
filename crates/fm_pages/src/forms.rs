//! What changes something: sent from a page of this server, with the token of that page, by somebody who may.
//!
//! A browser sends a client certificate with every request, whoever wrote the page that made it. So a form holds a
//! token that only this server makes, for one visitor and one address, and `Origin` has to be this server's.

use std::sync::OnceLock;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use fm_api::v1::enrolment::Role;
use fm_formats::Sha256;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::visitor::Visitor;
use fm_access::Problem;
use fm_access::request::body;

/// The most bytes of a form.
const MAX_FORM_BYTES: u64 = 8 << 10;
const BLOCK_BYTES: usize = 64;

/// What every form that changes something says besides.
#[derive(Debug, Deserialize)]
pub(super) struct Guarded<T> {
    token: String,
    #[serde(flatten)]
    pub(super) rest: T,
}

/// The token of a form for one visitor and one address.
pub(super) fn token(visitor: &Visitor, path: &str) -> Result<String, Problem> {
    let who = &visitor.principal;
    let text = format!("{}\n{}\n{path}", who.role.name(), who.name);
    Ok(keyed(key()?, text.as_bytes()).to_string())
}

/// Whether a visitor may open such a form at all.
pub(super) fn require_operator(visitor: &Visitor) -> Result<(), Problem> {
    visitor.principal.require(Role::Operator)
}

/// What a form says, after everything that could be wrong with it was looked at.
pub(super) async fn read_guarded<T: DeserializeOwned>(
    visitor: &Visitor,
    request: Request,
) -> Result<T, Problem> {
    require_operator(visitor)?;
    let path = request.uri().path().to_owned();
    let form: Guarded<T> = read(request).await?;
    let wanted = token(visitor, &path)?;
    if !is_same(form.token.as_bytes(), wanted.as_bytes()) {
        return Err(Problem::forbidden(
            "this form was not made for you by this server, or the server was started again since; open it anew",
        ));
    }
    Ok(form.rest)
}

/// What a form says that comes from a page of this server.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    check_origin(request.headers())?;
    let headers = request.headers().clone();
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded")) {
        return Err(Problem::bad_request("that is not a form"));
    }
    let bytes = body(&headers, request.into_body(), MAX_FORM_BYTES).await?;
    let broken = || Problem::bad_request("the form cannot be read");
    let text = std::str::from_utf8(&bytes).map_err(|_| broken())?;
    // A form is written as a query is.
    let uri: Uri = format!("/?{text}").parse().map_err(|_| broken())?;
    axum::extract::Query::<T>::try_from_uri(&uri)
        .map(|form| form.0)
        .map_err(|_| broken())
}

/// Refuses what a page of somebody else's sends.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin
            .strip_prefix("https://")
            .is_some_and(|origin| origin.eq_ignore_ascii_case(host)),
        _ => false,
    };
    if is_own {
        return Ok(());
    }
    Err(Problem::forbidden(
        "the request does not come from a page of this server",
    ))
}

/// Made up when the first form is: whoever restarts the server makes all forms anew.
fn key() -> Result<&'static [u8; 32], Problem> {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let random = fm_client::random_hex(32).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(KEY.get_or_init(|| Sha256::of(random.as_bytes()).to_bytes()))
}

/// HMAC-SHA-256 (RFC 2104).
fn keyed(key: &[u8; 32], message: &[u8]) -> Sha256 {
    let mut inner = vec![0x36; BLOCK_BYTES];
    let mut outer = vec![0x5c; BLOCK_BYTES];
    for (at, byte) in key.iter().enumerate() {
        inner[at] ^= byte;
        outer[at] ^= byte;
    }
    inner.extend_from_slice(message);
    outer.extend_from_slice(&Sha256::of(&inner).to_bytes());
    Sha256::of(&outer)
}

/// Compares in a time that says nothing of where two texts differ.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |all, (left, right)| all | (left ^ right))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyed_digest_is_that_of_the_standard() {
        // RFC 4231, case 1, with the key filled up with zeros as the standard does it.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            keyed(&key, b"Hi There").to_string(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn only_pages_of_this_server_are_listened_to() {
        let check = |origin: Option<&str>, host: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(ORIGIN, origin), (HOST, host)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            check_origin(&headers).is_ok()
        };
        assert!(check(Some("https://a:7117"), Some("a:7117")));
        for (origin, host) in [
            (Some("https://b:7117"), Some("a:7117")),
            (Some("http://a:7117"), Some("a:7117")),
            (Some("https://a"), Some("a:7117")),
            (Some("null"), Some("a:7117")),
            (Some("https://a:7117.b"), Some("a:7117")),
            (None, Some("a:7117")),
            (Some("https://"), None),
            (None, None),
        ] {
            assert!(!check(origin, host), "{origin:?} {host:?}");
        }
    }
}
