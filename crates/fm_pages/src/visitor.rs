//! Who looks at a page: the holder of a client certificate, or of a reader's token that a cookie keeps.

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use fm_api::v1::enrolment::Role;
use fm_client::BEARER;

use super::address::encoded;
use super::frame::Who;
use super::reply::{Refused, redirect};
use super::words;
use crate::site::Site;
use fm_access::{Principal, Problem, Shown};

/// Sent over TLS only, to this very server, from its own pages, and read by no script. A browser takes a cookie of this
/// name with `Secure` and `Path=/` alone.
pub(super) const COOKIE_NAME: &str = "__Host-flashmoor";

/// Who looks.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) principal: Principal,
    /// Whether a cookie says so, which signing out takes away.
    by_cookie: bool,
}

impl Visitor {
    /// As the frame of a page shows it.
    pub(super) fn who(&self) -> Who {
        Who {
            name: words::shown(&self.principal.name),
            role: self.principal.role.name(),
            can_sign_out: self.by_cookie,
        }
    }

    /// Whether it may change something.
    pub(super) fn is_operator(&self) -> bool {
        self.principal.require(Role::Operator).is_ok()
    }

    /// Who asks by what was shown, with a cookie or without.
    pub(super) async fn of(shown: &Shown, headers: &HeaderMap, site: &Site) -> Result<Self, Problem> {
        let (headers, by_cookie) = with_cookie(shown, headers);
        let principal = Principal::of(shown, &headers, site.ledger()).await?;
        principal.require(Role::Reader)?;
        Ok(Self { principal, by_cookie })
    }
}

impl FromRequestParts<Site> for Visitor {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refused> {
        let shown = parts.extensions.get::<Shown>().cloned().unwrap_or_default();
        Self::of(&shown, &parts.headers, site).await.map_err(|problem| {
            let is_stranger = shown.0.is_none() && problem.is_unknown_caller();
            if is_stranger && parts.method == axum::http::Method::GET {
                let next = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                Refused::Redirect(redirect(
                    StatusCode::SEE_OTHER,
                    &format!("/sign-in?next={}", encoded(next)),
                ))
            } else {
                problem.into()
            }
        })
    }
}

/// The headers as the API would get them: the cookie's token as one that is sent with each request.
fn with_cookie(shown: &Shown, headers: &HeaderMap) -> (HeaderMap, bool) {
    let mut headers = headers.clone();
    if shown.0.is_some() || headers.contains_key(AUTHORIZATION) {
        return (headers, false);
    }
    let Some(secret) = cookie(&headers) else {
        return (headers, false);
    };
    match HeaderValue::from_str(&format!("Bearer {BEARER}.{secret}")) {
        Ok(value) => {
            headers.insert(AUTHORIZATION, value);
            (headers, true)
        }
        Err(_) => (headers, false),
    }
}

/// The secret in the cookie, if it can be one.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(COOKIE).into_iter();
    let mut pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, secret) = pairs.find(|(name, _)| *name == COOKIE_NAME)?;
    is_secret(secret).then(|| secret.to_owned())
}

/// Whether a text can be the secret of a token.
pub(super) fn is_secret(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What sets the cookie, or takes it away.
pub(super) fn set_cookie(secret: Option<&str>) -> String {
    let rest = "Path=/; Secure; HttpOnly; SameSite=Strict";
    match secret {
        Some(secret) => format!("{COOKIE_NAME}={secret}; {rest}"),
        None => format!("{COOKIE_NAME}=; Max-Age=0; {rest}"),
    }
}
