//! RAM blocks, as the migration stream and QEMU's list of them name them.

use alloc::string::String;

/// A RAM block of a QEMU process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RamBlock {
    /// Its name in the stream, such as `system.flash0`.
    pub name: String,
    /// Its used length.
    pub size_bytes: u64,
}
