//! A page as an answer: its headers, its compression, and refusals as pages.

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    LOCATION, REFERRER_POLICY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::frame::Frame;
use fm_access::{Problem, Refusal};

/// Everything comes from this server: no script, style, picture or frame of anybody else's, and none inside a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// On every answer. A referrer stays within the server: without any, browsers would not say where a form comes from.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
/// More than any page has.
const MAX_PAGE_BYTES: usize = 4 << 20;
/// What is smaller fits into one packet.
const MIN_COMPRESSED_BYTES: usize = 1400;
/// Of zlib's levels: most of what the best one saves, in a fraction of its time.
const COMPRESSION_LEVEL: u8 = 3;

/// What a page's handler returns.
pub(super) type Reply = Result<Response, Refused>;

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Refused {
    /// As the API would say it.
    Problem(Problem),
    /// Somewhere else there is one.
    Redirect(Box<Response>),
}

impl<T: Into<Problem>> From<T> for Refused {
    fn from(problem: T) -> Self {
        Self::Problem(problem.into())
    }
}

/// Marks what may be compressed: nothing that holds a secret beside what a visitor chose.
#[derive(Debug, Clone, Copy)]
struct Compressible;

/// A page.
pub(super) fn page(template: &impl Template) -> Reply {
    let mut response = secret_page(template)?;
    response.extensions_mut().insert(Compressible);
    Ok(response)
}

/// A page with a form that holds a secret.
pub(super) fn secret_page(template: &impl Template) -> Reply {
    let text = template
        .render()
        .map_err(|error| Problem::internal(error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

/// A file of the program's own.
pub(super) fn file(media_type: &'static str, bytes: &'static [u8]) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    response.extensions_mut().insert(Compressible);
    response
}

/// Leads a browser somewhere else.
pub(super) fn redirect(status: StatusCode, to: &str) -> Box<Response> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    // What cannot be a header leads to the first page.
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, to);
    Box::new(response)
}

/// After something was done: to the page that shows it.
pub(super) fn see(to: &str) -> Reply {
    Ok(*redirect(StatusCode::SEE_OTHER, to))
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    frame: Frame,
    detail: String,
    is_stranger: bool,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Redirect(response) => return *response,
            Self::Problem(problem) => problem,
        };
        let said = problem.into_response();
        let status = said.status();
        let refusal = said.extensions().get::<Refusal>().cloned();
        let detail = refusal.as_ref().map_or("", |refusal| refusal.detail.as_str());
        let shown = page(&RefusedPage {
            frame: Frame::stranger(status.canonical_reason().unwrap_or("Refused")),
            detail: super::words::shown(detail),
            is_stranger: status == StatusCode::UNAUTHORIZED,
        });
        let Ok(mut shown) = shown else { return said };
        *shown.status_mut() = status;
        for (name, value) in said.headers() {
            if *name != CONTENT_TYPE && *name != CONTENT_LENGTH && *name != WWW_AUTHENTICATE {
                shown.headers_mut().insert(name, value.clone());
            }
        }
        if let Some(refusal) = refusal {
            shown.extensions_mut().insert(refusal);
        }
        shown
    }
}

/// Puts the headers on every answer, and compresses it for who takes that.
pub(super) async fn guarded(request: Request, next: Next) -> Response {
    let takes_deflate = takes_deflate(request.headers());
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    if !response.headers().contains_key(CACHE_CONTROL) {
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if response.extensions().get::<Compressible>().is_some() {
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("accept-encoding"));
        if takes_deflate {
            return compressed(response).await;
        }
    }
    response
}

async fn compressed(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_PAGE_BYTES).await else {
        return Problem::internal("a page was too long").into_response();
    };
    if bytes.len() < MIN_COMPRESSED_BYTES {
        return Response::from_parts(parts, Body::from(bytes));
    }
    let small = miniz_oxide::deflate::compress_to_vec_zlib(&bytes, COMPRESSION_LEVEL);
    parts.headers.remove(CONTENT_LENGTH);
    parts
        .headers
        .insert(CONTENT_ENCODING, HeaderValue::from_static("deflate"));
    Response::from_parts(parts, Body::from(small))
}

fn takes_deflate(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT_ENCODING).into_iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_it = parts.next() == Some("deflate");
            is_it && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_no_deflate_gets_none() {
        let takes = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            takes_deflate(&headers)
        };
        assert!(takes("gzip, deflate, br, zstd") && takes("deflate;q=0.5"));
        assert!(!takes("gzip, br") && !takes("deflate;q=0, gzip") && !takes_deflate(&HeaderMap::new()));
    }
}
