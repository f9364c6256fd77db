//! Proxmox VE: its configurations read, its volumes found, builds given to its guests.
//!
//! Nothing here locks or writes a guest's configuration: that is done by Proxmox's own `qm set`. What it does not know of a
//! guest (the hookscript that was there before ours, the size of CODE) is a record of ours in the cluster's file system,
//! so that every node has it.

#![forbid(unsafe_code)]

mod adopt;
mod args;
mod cluster;
mod config;
mod error;
mod hook;
mod install;
mod pins;
mod place;
mod record;
mod status;
mod tools;
mod volume;
mod words;

pub use adopt::{adopt, follow, unadopt};
pub use cluster::Cluster;
pub use config::{EfiDisk, VmConfig};
pub use error::Error;
pub use hook::{Phase, pre_start, run_previous};
pub use install::install;
pub use pins::keep_builds;
pub use status::status;
pub use volume::{VarsVolume, vars_volume};

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
