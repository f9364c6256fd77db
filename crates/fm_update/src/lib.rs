//! New firmware under a running guest: judged, written while it stands still, taken back.
//!
//! What a reset runs is the CODE flash's RAM block; QEMU reads its file once, when its process starts. So a guest gets
//! another build by other bytes in that block, at its own next reset:
//!
//! ```text
//! gather -> judge -> decide -> keep both builds -> journal: writing -> stop -> look again -> write -> read back
//!                      |                                                              (doubt: old bytes)  |
//!                      +-> refused, with every reason                          journal: what it holds <- go on
//! ```
//!
//! [`decide`] has every reason against it, as a function of facts alone. [`journal`] is written before memory is, so
//! that whoever comes after a `kill -9` knows what was meant, and finishes or undoes it (the module `recover`).

#![forbid(unsafe_code)]

pub mod boots;
pub mod build;
pub mod decide;
mod error;
mod exchange;
mod gather;
mod job;
pub mod journal;
mod judged;
mod memory;
pub mod moment;
mod monitor;
mod perform;
mod recover;
mod request;
mod status;
mod watch;
pub mod window;

pub use error::{Error, RecordProblem, Result, TurnedUp};
pub use fm_api::v1::update::{State, Update, UpdateStatus, Way};
pub use gather::is_libvirts;
pub use monitor::Place;
pub use perform::{revert, update};
pub use recover::recover_after;
pub use request::{Options, Request};
pub use status::{Arrived, Waits, arrived, arrived_waiting, judge_migration, left, next_reset, status};
pub use watch::Watch;
