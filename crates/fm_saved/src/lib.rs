//! Saved guests: take their firmware out, say what differs, bring them back.

mod adopt;
mod diff;
mod error;
mod extract;
mod file;
mod offer;
mod plan;
mod snapshot;
mod steps;
pub mod stream;
mod vars;

pub use adopt::{AdoptRequest, adopt, adoptable_code};
pub use diff::diff;
pub use error::Error;
/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub use extract::{Extract, extract};
pub use offer::offer;
pub use plan::{Plan, restore_plan};
pub use vars::vars;
