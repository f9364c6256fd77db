//! Real QEMU guests in a few words, and what is shown with them: the demo, the atlas.
//!
//! Guests are driven over their serial line and a monitor of their own, and gone when the value is dropped.
//!
//! Every guest runs under TCG: `/dev/kvm` may exist and not work, and none of what is shown needs it.

pub mod atlas;
pub mod demo;
mod error;
mod failure;
mod flash_writes;
mod guest;
mod machine;
mod serial;

use std::time::Duration;

pub use error::{Error, Result};
pub use failure::{GuestError, GuestResult};
pub use flash_writes::{FLASH_EVENTS, FlashWrites, FlashWritesError};
pub use guest::Guest;
pub use machine::{Arch, Emulator, Machine};
pub use serial::Serial;

/// How long one step of a guest may take before it counts as failed. Generous: it bounds a hang,
/// it does not measure, and emulation on a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(180);
