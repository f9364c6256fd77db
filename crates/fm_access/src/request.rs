//! What comes in: read within its bounds, and refused in one form.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{CONTENT_LENGTH, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The most bytes of a report: the records take one MiB in a transaction, and JSON has spaces.
pub const MAX_REPORT_BYTES: u64 = 4 << 20;
/// The most bytes of any other document.
pub const MAX_DOCUMENT_BYTES: u64 = 64 << 10;
/// A body has to be here by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The words behind the question mark; one that is not known is a mistake of the caller's.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    axum::extract::Query::<T>::try_from_uri(uri)
        .map(|query| query.0)
        .map_err(|error| Problem::bad_request(error.body_text()))
}

/// A part of the path.
pub fn part<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|error: T::Err| Problem::bad_request(error.to_string()))
}

/// The revision that a write relies on, from `If-Match`.
pub fn precondition(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    text.trim_matches('"')
        .parse()
        .map(Some)
        .map_err(|_| Problem::bad_request("If-Match wants the tag that a read gave"))
}

/// A JSON document of at most so many bytes.
pub async fn document<T: DeserializeOwned>(request: Request, limit_bytes: u64) -> Result<T, Problem> {
    let headers = request.headers().clone();
    let bytes = body(&headers, request.into_body(), limit_bytes).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The bytes of a body, in time and at most so many.
pub async fn body(headers: &HeaderMap, body: Body, limit_bytes: u64) -> Result<axum::body::Bytes, Problem> {
    check_length(headers, limit_bytes)?;
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, limit)).await {
        Err(_) => Err(Problem::too_slow()),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(if is_length_limit(&error) {
            Problem::too_large(limit_bytes)
        } else {
            Problem::bad_request("the request broke off")
        }),
    }
}

/// Refuses a body that says itself that it is too long, before any of it is read.
pub fn check_length(headers: &HeaderMap, limit_bytes: u64) -> Result<(), Problem> {
    let said = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match said {
        Some(length) if length > limit_bytes => Err(Problem::too_large(limit_bytes)),
        _ => Ok(()),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
        .any(|cause| cause.is::<LengthLimitError>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precondition_is_the_tag_of_a_read() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, value.parse().unwrap());
            precondition(&headers)
        };
        assert_eq!(with("\"17\"").unwrap(), Some(17));
        assert_eq!(with("*").unwrap(), None);
        assert!(with("\"x\"").is_err());
        assert_eq!(precondition(&HeaderMap::new()).unwrap(), None);
    }

    #[tokio::test]
    async fn a_body_is_refused_at_its_limit_whether_it_says_its_length_or_not() {
        let long = vec![b' '; 100];
        let request = |said: Option<u64>| {
            let mut request = Request::new(Body::from(long.clone()));
            if let Some(said) = said {
                request.headers_mut().insert(CONTENT_LENGTH, said.into());
            }
            request
        };
        for said in [None, Some(100), Some(1 << 30)] {
            let problem = document::<serde_json::Value>(request(said), 99)
                .await
                .unwrap_err();
            assert_eq!(problem.status().as_u16(), 413);
        }
        let problem = document::<serde_json::Value>(request(None), 100)
            .await
            .unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
    }
}
