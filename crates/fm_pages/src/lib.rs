//! What people see of a fleet in a browser: pages made on the server, which need no script to be read.
//!
//! ```text
//! visitor   who looks: a client certificate, or a reader's token in a cookie
//! reply     a page as an answer: its headers, compression, and refusals as pages
//! forms     what changes something: origin, token, role
//! words     what states and reasons are called, and text that others chose
//! address   links with filters and cursors
//! fleet … history   a page or two each
//! live      tells a page that something happened
//! ```
//!
//! The API knows nothing of the cookie: what a page may, a script of somebody else's may not.

#![forbid(unsafe_code)]

mod address;
mod ask;
mod builds;
mod certificates;
mod collection;
mod csv;
mod files;
mod fleet;
mod forms;
mod frame;
mod guests;
mod history;
mod hosts;
mod live;
mod plan;
mod reply;
mod rollouts;
mod sign_in;
mod site;
#[cfg(test)]
mod tests;
mod visitor;
mod words;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

pub use site::Site;

/// Every page.
pub fn router<S>(site: Site) -> Router<S> {
    Router::new()
        .route("/", get(fleet::page))
        .route("/hosts", get(hosts::list))
        .route("/hosts/{id}", get(hosts::one))
        .route("/hosts/{id}/retire", get(hosts::ask_retire).post(hosts::retire))
        .route("/guests", get(guests::list))
        .route("/guest", get(guests::one))
        .route("/builds", get(builds::list))
        .route("/builds/{digest}", get(builds::one))
        .route("/builds/{digest}/pin", get(builds::ask_pin).post(builds::pin))
        .route(
            "/builds/{digest}/unpin",
            get(builds::ask_unpin).post(builds::unpin),
        )
        .route("/rollouts", get(rollouts::list))
        .route("/rollouts/plan", get(plan::page))
        .route("/rollouts/{id}", get(rollouts::one))
        .route(
            "/rollouts/{id}/{verb}",
            get(rollouts::ask_change).post(rollouts::change),
        )
        .route("/certificates", get(certificates::page))
        .route("/certificates.csv", get(certificates::download))
        .route("/collection", get(collection::page))
        .route("/log", get(history::page))
        .route("/live", get(live::stream))
        .route("/sign-in", get(sign_in::ask).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/static/{name}", get(files::file))
        .layer(from_fn(reply::guarded))
        .with_state(site)
}
