//! Signing in with a reader's token, and out again.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use fm_client::BEARER;
use serde::Deserialize;

use super::ask::Asked;
use super::forms;
use super::frame::Frame;
use super::reply::{Reply, secret_page, see};
use super::visitor::{is_secret, set_cookie};
use crate::site::Site;
use fm_access::Problem;

/// Where to go then.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Form {
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    frame: Frame,
    next: String,
    refused: bool,
}

pub(super) async fn ask(Asked(wanted): Asked<Wanted>) -> Reply {
    secret_page(&Page {
        frame: Frame::stranger("Sign in"),
        next: own_page(wanted.next.as_deref()),
        refused: false,
    })
}

pub(super) async fn sign_in(State(site): State<Site>, request: Request) -> Reply {
    let form: Form = forms::read(request).await?;
    let next = own_page(Some(&form.next));
    let secret = form.token.trim().strip_prefix(BEARER);
    let secret = secret.and_then(|text| text.strip_prefix('.'));
    let is_good = match secret.filter(|secret| is_secret(secret)) {
        Some(secret) => site.ledger().bearer(secret).await?.is_some(),
        None => false,
    };
    if !is_good {
        let mut page = secret_page(&Page {
            frame: Frame::stranger("Sign in"),
            next,
            refused: true,
        })?;
        *page.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(page);
    }
    with_cookie(see(&next)?, secret)
}

pub(super) async fn sign_out(request: Request) -> Reply {
    // Whoever is signed out by somebody else has lost nothing; it is nobody else's affair all the same.
    forms::check_origin(request.headers())?;
    with_cookie(see("/sign-in")?, None)
}

fn with_cookie(mut response: Response, secret: Option<&str>) -> Reply {
    let value = HeaderValue::from_str(&set_cookie(secret))
        .map_err(|_| Problem::bad_request("the token cannot be kept"))?;
    response.headers_mut().insert(SET_COOKIE, value);
    Ok(response)
}

/// A page of this server, whatever an address asks for.
fn own_page(next: Option<&str>) -> String {
    let is_own = |next: &&str| {
        next.starts_with('/')
            && !next.starts_with("//")
            && next.len() <= 2048
            && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(is_own).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_no_other_server() {
        assert_eq!(own_page(Some("/guests?name=a%20b")), "/guests?name=a%20b");
        for next in [
            "//b",
            "/\\b",
            "https://b",
            "b",
            "",
            "/a\r\nb: c",
            "/\tb",
            "javascript:x",
        ] {
            assert_eq!(own_page(Some(next)), "/", "{next:?}");
        }
        assert_eq!(own_page(None), "/");
    }
}
