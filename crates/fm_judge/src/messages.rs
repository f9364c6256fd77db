//! What QEMU prints when it refuses, by its version; the atlas holds these to real runs.
//!
//! Sources: QEMU `migration/ram.c` (`parse_ramblock`), `system/physmem.c` (`qemu_ram_resize`),
//! `migration/savevm.c` (`configuration_post_load`), `hw/i386/pc_sysfw.c` (`pc_system_flash_map`),
//! `block/file-posix.c` (`raw_open_common`), `hw/block/block.c` (`blk_check_size_and_read_all`), `system/vl.c` (`select_machine`).

use alloc::format;
use alloc::string::String;

use crate::QemuVersion;

/// A block of the stream has another size at the destination.
#[must_use]
pub fn size_mismatch(block: &str, incoming_bytes: u64, local_bytes: u64) -> String {
    format!("Size mismatch: {block}: {incoming_bytes:#x} != {local_bytes:#x}: Invalid argument")
}

/// A resizable block of the stream is larger than the destination can make its own.
#[must_use]
pub fn unknown_block(block: &str) -> String {
    format!("Unknown ramblock \"{block}\", cannot accept migration")
}

/// The machine types differ.
#[must_use]
pub fn machine_type(received: &str, local: &str) -> String {
    format!("Machine type received is '{received}' and local is '{local}'")
}

/// The destination's QEMU has no such machine type; 9.0 began to name it.
#[must_use]
pub fn unsupported_machine(name: &str, qemu: QemuVersion) -> String {
    if qemu < QemuVersion::new(9, 0, 0) {
        String::from("unsupported machine type")
    } else {
        format!("unsupported machine type: \"{name}\"")
    }
}

/// A flash file is not there; QEMU prints the option that names it before these words.
#[must_use]
pub fn no_such_file(path: &str) -> String {
    format!("Could not open '{path}': No such file or directory")
}

/// A PC's flash file is no multiple of 4 KiB, or empty.
#[must_use]
pub fn flash_size_invalid(unit: u8, size_bytes: u64) -> String {
    format!("system firmware block device pflash{unit} has invalid size {size_bytes}")
}

/// A PC's flash files together are larger than `max-fw-size`, 8 MiB unless told otherwise.
#[must_use]
pub fn flash_too_large(limit_bytes: u64) -> String {
    format!("combined size of system firmware exceeds {limit_bytes} bytes")
}
