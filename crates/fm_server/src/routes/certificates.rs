//! Which generations of certificates guests trust, who can change that, and how many of each there are.

use axum::extract::State;
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::PageRequest;
use fm_api::v1::trust::{GuestTrust, TrustPage};

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
    caller.require(Role::Reader)?;
    let found = app.fleet().guests(&wanted.filter(), &page).await?;
    json(&TrustPage {
        schema: fm_api::Schema::default(),
        guests: found.items.iter().map(GuestTrust::of).collect(),
        next: found.next,
        revision: found.revision,
    })
}
