//! Certificates that the fleet's CA issued, and their revocation.

use axum::extract::{Path, State};
use fm_api::v1::enrolment::{IssuedCertificates, Role};
use fm_api::v1::fleet::PageRequest;

use crate::answer::{Answer, json};
use crate::caller::Caller;
use crate::state::App;
use fm_access::Problem;
use fm_access::request::Query;

pub(super) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(page): Query<PageRequest>,
) -> Answer {
    caller.require(Role::Administrator)?;
    let after = page.cursor.as_deref();
    if let Some(after) = after {
        check(after)?;
    }
    let (certificates, next) = app.ledger().certificates(after, page.count()).await?;
    json(&IssuedCertificates {
        schema: fm_api::Schema::default(),
        certificates,
        next,
    })
}

pub(super) async fn revoke(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(serial): Path<String>,
) -> Answer {
    caller.require(Role::Administrator)?;
    check(&serial)?;
    json(&app.ledger().revoke(&serial).await?)
}

/// A serial number has at most 20 bytes.
fn check(serial: &str) -> Result<(), Problem> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if (1..=40).contains(&serial.len()) && serial.bytes().all(is_digit) {
        return Ok(());
    }
    Err(Problem::bad_request(
        "a serial number is written in small hexadecimal digits",
    ))
}
