//! Rollouts in the records: planned, begun, changed by a person, taken on by the elected planner, shown.

mod asked;
mod begin;
mod change;
mod given;
mod known;
mod members;
mod pins;
mod step;
mod turn;
mod view;

pub(super) use begin::{begin, plan};
pub(super) use change::change;
pub(super) use pins::{pin, pins, unpin};
pub use step::RolloutStep;
pub(super) use step::{Rollouts, step};
pub(super) use view::{guests, list, one};
