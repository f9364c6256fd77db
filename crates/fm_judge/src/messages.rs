//! What QEMU prints when it refuses, by its version; the atlas holds these to real runs.
//!
//! Sources: QEMU `migration/ram.c` (`parse_ramblock`), `system/physmem.c` (`qemu_ram_resize`),
//! `migration/savevm.c` (`configuration_post_load`), `hw/i386/pc_sysfw.c` (`pc_system_flash_map`),
//! `block/file-posix.c` (`raw_open_common`), `hw/block/block.c` (`blk_check_size_and_read_all`),
//! `system/vl.c` (`select_machine`), `block/qcow2.c` (`qcow2_do_open`), `target/i386/sev.c`
//! (`sev_launch_finish`), `system/qdev-monitor.c` (`qdev_get_device_class`), `blockdev.c` (`drive_check_orphaned`).

use alloc::format;
use alloc::string::String;

use crate::QemuVersion;

/// A block of the stream has another size at the destination.
#[must_use]
pub fn size_mismatch(block: &str, incoming_bytes: u64, local_bytes: u64) -> String {
    format!("Size mismatch: {block}: {incoming_bytes:#x} != {local_bytes:#x}: Invalid argument")
}

/// The destination has no block of that name.
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

/// A PC's file for `-bios` is no multiple of 64 KiB, or empty.
#[must_use]
pub fn bios_not_loaded(path: &str) -> String {
    format!("could not load PC BIOS '{path}'")
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

/// A file does not fill the flash chip of a board whose chips have a fixed size; 9.0 began to name both.
#[must_use]
pub fn chip_not_filled(
    unit: u8,
    block: &str,
    chip_bytes: u64,
    file_bytes: u64,
    qemu: Option<QemuVersion>,
) -> String {
    if qemu.is_none_or(|qemu| qemu < QemuVersion::new(9, 0, 0)) {
        format!("device requires {chip_bytes} bytes, block backend provides {file_bytes} bytes")
    } else {
        format!(
            "cfi.pflash01 device '/machine/{block}' requires {chip_bytes} bytes, pflash{unit} block backend provides {file_bytes} bytes"
        )
    }
}

/// A file that does not go into LoongArch's flash ends QEMU by an assertion (`virt_flash_map1`), whose line is known of
/// the releases that were tried.
#[must_use]
pub fn loongarch_flash(fits: bool, qemu: Option<QemuVersion>) -> Option<String> {
    let is_10_0 =
        qemu.is_some_and(|qemu| (QemuVersion::new(10, 0, 0)..QemuVersion::new(10, 1, 0)).contains(&qemu));
    (is_10_0 && fits).then(|| {
        "hw/loongarch/virt.c:107: virt_flash_map1: Assertion `QEMU_IS_ALIGNED(real_size, VIRT_FLASH_SECTOR_SIZE)' failed."
            .into()
    })
}

/// A raw file that is said to be qcow2; QEMU prints the option that names it before these words.
pub const NOT_QCOW2: &str = "Image is not in qcow2 format";

/// What the source's monitor answers when a SEV guest is to migrate.
pub const SEV_BLOCKER: &str = "SEV: Migration is not implemented";

/// A device that this QEMU does not have; the option that asks for it is printed before these words.
#[must_use]
pub fn no_such_device(name: &str) -> String {
    format!("'{name}' is not a valid device model name")
}

/// A queue of a virtio device that is longer than the destination's.
pub const VIRTIO_QUEUE_TOO_LARGE: &str = "VQ 0 vring.num 1024 exceeds allocated max 256";

/// A board without flash that is given a flash drive; the option is printed before these words.
#[must_use]
pub fn no_flash(unit: u8) -> String {
    format!("machine type does not support if=pflash,bus=0,unit={unit}")
}
