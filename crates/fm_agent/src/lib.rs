//! What every guest of this host runs, kept for it: ps, capture, guard, libvirt, the agent.

pub mod agent;
mod agent_lock;
pub mod capture;
mod error;
pub mod fleet;
pub mod guard;
mod interrupted;
pub mod libvirt;
pub mod ps;
mod supply;

pub use error::{Error, Result};
pub use interrupted::remarks as interrupted_writes;
