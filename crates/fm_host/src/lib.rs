//! What this host runs and has: QEMU guests, QMP, firmware descriptors.

pub mod descriptor;
pub mod monitor;
pub mod processors;
pub mod qmp;

mod cmdline;
mod error;
mod guest;
mod kernel;
mod memory;
mod process;
mod version;

pub use cmdline::{CommandLine, Encryption, FlashArgument, QmpArgument, UefiVars};
pub use error::Error;
pub use guest::{
    FlashFormat, FlashUnit, Guest, GuestMachine, Listing, MachineSource, find, guests, qcow2_size_bytes,
};
pub use kernel::{boot_id, host_name};
pub use memory::{GuestMemory, RamBlock, Region};
pub use process::{Mapping, OpenFile, Process, Rights, Root};
pub use version::QemuRelease;
