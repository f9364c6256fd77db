//! Who asks, for the handlers of the API.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use fm_access::{Principal, Problem, Shown};

use crate::state::App;

/// Who asks; refused if that is not known.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let shown = parts.extensions.get::<Shown>().cloned().unwrap_or_default();
        Principal::of(&shown, &parts.headers, app.ledger())
            .await
            .map(Self)
    }
}
