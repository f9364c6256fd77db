//! What a RAM block holds, told by its name.

/// What a RAM block is to somebody who looks for firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// Flash unit 0: CODE.
    Code,
    /// Flash unit 1: the variable store.
    Vars,
    /// Firmware that is no flash: `-bios`, and its copy below 1 MiB.
    Bios,
    /// The option ROM of a device.
    OptionRom,
    /// A table that QEMU built for the guest: ACPI, SMBIOS.
    Table,
    /// Guest memory, video memory and everything else.
    Memory,
}

impl BlockKind {
    /// The kind of the block called `name`.
    ///
    /// Names: QEMU `hw/i386/pc_sysfw.c` (`system.flash0`), `hw/arm/virt.c`, `hw/riscv/virt.c`,
    /// `hw/loongarch/virt.c` (`virt.flash0`), `hw/arm/sbsa-ref.c` (`sbsa.flash0`),
    /// `hw/i386/x86-common.c` (`pc.bios`, `isa-bios`), `hw/pci/pci.c` (`DEVICE/NAME.rom`).
    #[must_use]
    pub fn of(name: &str) -> Self {
        if let Some((_, unit)) = name.rsplit_once(".flash") {
            return match unit {
                "0" => Self::Code,
                "1" => Self::Vars,
                _ => Self::Memory,
            };
        }
        if name.starts_with("/rom@") {
            return Self::Table;
        }
        match name.rsplit_once('.').map_or(name, |(_, last)| last) {
            "bios" | "isa-bios" => Self::Bios,
            "rom" => Self::OptionRom,
            _ => Self::Memory,
        }
    }

    /// Whether the block is flash or ROM, whose content is firmware.
    #[must_use]
    pub fn is_firmware(self) -> bool {
        matches!(self, Self::Code | Self::Vars | Self::Bios | Self::OptionRom)
    }
}

#[cfg(test)]
mod tests {
    use super::BlockKind::{self, Bios, Code, Memory, OptionRom, Table, Vars};

    #[test]
    fn block_names_of_real_guests_tell_what_they_hold() {
        for (name, kind) in [
            ("system.flash0", Code),
            ("virt.flash0", Code),
            ("sbsa.flash0", Code),
            ("system.flash1", Vars),
            ("virt.flash1", Vars),
            ("system.flash2", Memory),
            ("pc.bios", Bios),
            ("isa-bios", Bios),
            ("pc.rom", OptionRom),
            ("0000:00:01.0/vga.rom", OptionRom),
            ("0000:00:02.0/virtio-net-pci.rom", OptionRom),
            ("0000:00:01.0/vga.vram", Memory),
            ("/rom@etc/acpi/tables", Table),
            ("pc.ram", Memory),
            ("m0", Memory),
            ("mach-virt.ram", Memory),
            ("", Memory),
        ] {
            assert_eq!(BlockKind::of(name), kind, "{name}");
        }
    }
}
