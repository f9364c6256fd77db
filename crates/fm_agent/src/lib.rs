//! What every guest of this host runs, kept for it: ps, guard, the agent.

pub mod agent;
mod error;
pub mod fleet;
pub mod guard;
pub mod ps;

pub use error::{Error, Result};
