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

pub use adopt::{AdoptRequest, SavedAdoption, adopt};
pub use diff::{BlockDiff, Changed, DeviceDiff, Endpoint, SavedDiff, diff};
pub use error::Error;
/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub use extract::{Extract, Extracted, ExtractedFile, extract};
pub use offer::offer;
pub use plan::{Plan, PlannedDevice, PlannedMemory, RestorePlan, restore_plan};
pub use vars::{SavedVariable, SavedVars, vars};
