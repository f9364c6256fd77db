//! Tokens are made, exchanged for certificates, and certificates renewed.

use axum::extract::{Request, State};
use fm_api::v1::enrolment::{JoinRequest, Joined, NewToken, RenewRequest, Role, TokenRequest};
use fm_client::{is_name, random_hex};

use crate::answer::{Answer, json};
use crate::caller::Caller;
use crate::pki::Signer;
use crate::state::App;
use fm_access::request::{MAX_DOCUMENT_BYTES, document};
use fm_access::{Issued, Problem, Spent, Token, display, now_s};

/// A token to join with does not outlive a week; who joins later gets another.
const MAX_JOIN_LIFETIME_S: u64 = 7 * 24 * 3600;
/// A token for a collector of metrics does not outlive a year, as certificates do not.
const MAX_BEARER_LIFETIME_S: u64 = 365 * 24 * 3600;

pub(super) async fn make_token(State(app): State<App>, Caller(caller): Caller, request: Request) -> Answer {
    caller.require(Role::Administrator)?;
    let wanted: TokenRequest = document(request, MAX_DOCUMENT_BYTES).await?;
    let limit_s = if wanted.bearer {
        MAX_BEARER_LIFETIME_S
    } else {
        MAX_JOIN_LIFETIME_S
    };
    if wanted.lifetime_s == 0 || wanted.lifetime_s > limit_s {
        return Err(Problem::bad_request(format!(
            "such a token lives 1 to {limit_s} seconds"
        )));
    }
    if wanted.bearer && wanted.role != Role::Reader {
        return Err(Problem::bad_request(
            "a token that is sent with each request is for readers only",
        ));
    }
    if wanted.name.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(Problem::bad_request("that cannot be a name in a certificate"));
    }
    if !wanted.bearer && app.signer().is_none() {
        return Err(Problem::cannot_sign());
    }
    let id = random_hex(6).map_err(|error| Problem::internal(error.to_string()))?;
    let lifetime_s = i64::try_from(wanted.lifetime_s).unwrap_or(i64::MAX);
    let token = Token {
        id: id.clone(),
        role: wanted.role,
        name: wanted.name.clone(),
        expires_s: now_s().saturating_add(lifetime_s),
        bearer: wanted.bearer,
        by: caller.name,
    };
    let secret = app.ledger().make_token(&token).await?;
    json(&NewToken {
        schema: fm_api::Schema::default(),
        id,
        secret,
        role: wanted.role,
        name: wanted.name,
        expires: display(token.expires_s),
        text: None,
    })
}

pub(super) async fn join(State(app): State<App>, request: Request) -> Answer {
    let signer = app.signer().ok_or_else(Problem::cannot_sign)?;
    let wanted: JoinRequest = document(request, MAX_DOCUMENT_BYTES).await?;
    let unusable = || Problem::bad_token("it is not known, was used already, or has expired");
    let found = app.ledger().token(&wanted.secret).await?.ok_or_else(unusable)?;
    let name = found.token.name.clone().unwrap_or(wanted.name);
    if !is_name(&name) {
        return Err(Problem::bad_request("that cannot be a name in a certificate"));
    }
    let issued = sign(signer, &name, found.token.role, &wanted.csr)?;
    match app.ledger().spend(&found, &name, &issued).await? {
        Spent::Done => {}
        Spent::Gone => return Err(unusable()),
        Spent::NameTaken => {
            return Err(Problem::name_taken(format!(
                "{name} has joined already; to install it anew, use a token that was made for that name"
            )));
        }
    }
    json(&joined(name, found.token.role, issued))
}

pub(super) async fn renew(State(app): State<App>, Caller(caller): Caller, request: Request) -> Answer {
    let signer = app.signer().ok_or_else(Problem::cannot_sign)?;
    let is_bearer = request
        .extensions()
        .get::<fm_access::Shown>()
        .is_none_or(|shown| shown.0.is_none());
    if is_bearer {
        return Err(Problem::forbidden("a token cannot be renewed"));
    }
    let wanted: RenewRequest = document(request, MAX_DOCUMENT_BYTES).await?;
    let issued = sign(signer, &caller.name, caller.role, &wanted.csr)?;
    app.ledger().renewed(&caller.name, caller.role, &issued).await?;
    json(&joined(caller.name, caller.role, issued))
}

fn sign(signer: &Signer, name: &str, role: Role, csr: &str) -> Result<Issued, Problem> {
    signer
        .client_of_request(name, role, csr)
        .map_err(|error| Problem::bad_request(format!("the signing request cannot be used: {error}")))
}

fn joined(name: String, role: Role, issued: Issued) -> Joined {
    Joined {
        name,
        role,
        expires: issued.expires(),
        certificate: issued.pem,
    }
}
