//! What rollouts want of this host's guests: judged again here, done so that there is a way back, and told.
//!
//! ```text
//! Waiting -> judged -> variables kept, or converted to a file beside -> definition -> Armed
//!         -> its QEMU starts -> Booting -> MTC rises -> Healthy, or not in time -> Failed
//! at reset:  judged -> variables kept -> its memory -> definition -> Armed -> it resets, MTC rises -> Healthy
//! keys:      it is off -> enrolled in a file beside -> definition -> Armed -> as above
//! back:      the difference is looked at -> definition -> variables, while it is off -> Reverted
//! ```
//!
//! What is about to be done is written down first, and each step can be done again: an agent that is killed goes on from
//! there, or undoes. A guest is never killed, and nothing changes under one that runs.

mod back;
mod domains;
mod enroll;
mod error;
mod ground;
mod health;
mod keys;
mod record;
mod reset;
mod restart;
mod take;
#[cfg(test)]
mod tests;
mod updates;
mod work;
mod written;

pub use domains::Domains;
pub use error::{Error, Result};
pub use updates::WatcherCommand;
pub use work::Work;
