//! What this host runs and has: QEMU guests, QMP, firmware descriptors.

pub mod monitor;
pub mod qmp;
