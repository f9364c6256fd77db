//! The option ROMs that a host has: which file QEMU loads for a device, and how large its block becomes.

use std::path::{Path, PathBuf};

use fm_judge::{Block, Known};

use crate::{Error, Result};

/// Devices and the files that they load unless told otherwise.
///
/// Sources: QEMU `hw/net/*.c` and `hw/display/*.c`, `romfile` of each device's class.
const FILES: &[(&str, &[&str])] = &[
    (
        "efi-virtio.rom",
        &[
            "virtio-net-pci",
            "virtio-net-pci-transitional",
            "virtio-net-pci-non-transitional",
        ],
    ),
    ("efi-e1000.rom", &["e1000", "e1000-82544gc", "e1000-82545em"]),
    ("efi-e1000e.rom", &["e1000e"]),
    ("efi-eepro100.rom", &["i82550", "i82557b", "i82559er"]),
    ("efi-ne2k_pci.rom", &["ne2k_pci"]),
    ("efi-pcnet.rom", &["pcnet"]),
    ("efi-rtl8139.rom", &["rtl8139"]),
    ("efi-vmxnet3.rom", &["vmxnet3"]),
    ("vgabios-stdvga.bin", &["VGA", "vga"]),
    ("vgabios-bochs-display.bin", &["bochs-display"]),
    ("vgabios-cirrus.bin", &["cirrus-vga"]),
    ("vgabios-qxl.bin", &["qxl-vga"]),
    ("vgabios-virtio.bin", &["virtio-vga", "virtio-vga-gl"]),
    ("vgabios-vmware.bin", &["vmware-svga"]),
];

/// What is in `folders`; the first that has a file gives it, as with QEMU's `-L`.
pub(super) fn sizes(folders: &[PathBuf]) -> Result<Known<Vec<Block>>> {
    for folder in folders {
        // A folder that is not there would be a host without ROMs.
        std::fs::read_dir(folder).map_err(|source| Error::file("read", folder, source))?;
    }
    let len = |file: &Path| {
        file.metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.len())
    };
    let mut roms = Vec::new();
    for (file, devices) in FILES {
        let Some(len_bytes) = folders.iter().find_map(|folder| len(&folder.join(file))) else {
            continue;
        };
        // QEMU rounds up to a power of two (`hw/pci/pci.c`, `pci_add_option_rom`).
        let size_bytes = len_bytes.checked_next_power_of_two().unwrap_or(u64::MAX);
        roms.extend(devices.iter().map(|device| Block {
            name: (*device).to_owned(),
            size_bytes,
        }));
    }
    let list: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    Ok(Known::new(roms, format!("the files in {}", list.join(", "))))
}
