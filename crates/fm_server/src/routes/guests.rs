//! Guests: who runs which firmware, and where.

use axum::extract::State;
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::PageRequest;

use crate::answer::{Answer, json};
use crate::caller::Caller;
use crate::state::App;
use crate::wanted::WantedGuests;
use fm_access::request::Query;

pub(super) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(wanted): Query<WantedGuests>,
) -> Answer {
    let page = PageRequest {
        cursor: wanted.cursor.clone(),
        limit: wanted.limit,
    };
    let mut filter = wanted.filter();
    match caller.host() {
        // A host sees its own guests and nobody else's.
        Some(host) => filter.host = Some(host),
        None => caller.require(Role::Reader)?,
    }
    json(&app.fleet().guests(&filter, &page).await?)
}
