//! Rollouts decided: who gets a build, in which wave, and what happens next. Pure: what is known comes in, what is to be
//! done goes out.
//!
//! ```text
//! Selector   an expression over guests and their hosts
//! Planner    guests in classes of equal facts, each judged once
//! wave_of    which wave a guest has its turn in, the same wherever it is computed
//! next       states and commands, every transition in one table
//! decide     what the elected planner does next
//! ```

#![forbid(unsafe_code)]

mod command;
mod decide;
mod error;
mod facts;
mod plan;
mod selector;
mod spec;
mod state;
mod waves;

pub use command::Command;
pub use decide::{Decision, HealthWord, Member, Situation, Stop, decide, heard, target_of, trouble_count};
pub use error::{Error, Result, state_name};
pub use plan::{KnownBuild, Planned, PlannedMember, Planner, ReportedGuest};
pub use selector::{Selector, Subject};
pub use spec::check;
pub use state::next;
pub use waves::{position, wave_of};
