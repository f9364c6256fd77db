//! Incus's virtual machines: held to the build that they run, by their own `raw.qemu.conf`, and let go again.
//!
//! Incus writes the file that QEMU reads with `-readconfig`, CODE as the first `[drive]` in it, and changes what
//! `raw.qemu.conf` says before. So a guest is changed by `incus config` alone.

#![forbid(unsafe_code)]

mod adopt;
mod conf;
mod error;
mod instance;
mod tool;

pub use adopt::{adopt, unadopt};
pub use error::{Error, Result};
pub use instance::Instance;
