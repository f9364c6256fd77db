//! QEMU's own words as types: versions, machine types, RAM blocks.

mod machine;
mod ram;
mod version;

pub use machine::{MachineFamily, MachineType, MachineVendor};
pub use ram::RamBlock;
pub use version::{ParseVersionError, QemuVersion};
