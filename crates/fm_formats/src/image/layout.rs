//! Layouts: where things lie in VARS and how large CODE is.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an edk2 platform divides its flash.
///
/// Sources: edk2 `OvmfPkg/Include/Fdf/OvmfPkgDefines.fdf.inc` and `VarStore.fdf.inc` (x86),
/// `ArmVirtPkg/VarStore.fdf.inc`, `OvmfPkg/RiscVVirt/VarStore.fdf.inc`,
/// `OvmfPkg/LoongArchVirt/VarStore.fdf.inc`; device sizes from QEMU `hw/arm/virt.c`, `hw/riscv/virt.c`,
/// `hw/loongarch/virt.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Layout {
    /// OVMF built with `FD_SIZE_1MB`.
    X86Size1M,
    /// OVMF built with `FD_SIZE_2MB`.
    X86Size2M,
    /// OVMF built with `FD_SIZE_4MB`.
    X86Size4M,
    /// ArmVirtQemu on the `virt` machine.
    ArmVirt,
    /// RISC-V on the `virt` machine.
    Riscv,
    /// LoongArch on the `virt` machine.
    Loongarch,
}

/// The text names no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a layout is 1M, 2M, 4M, armvirt, riscv or loongarch")]
pub struct ParseLayoutError;

impl Layout {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::X86Size1M,
        Self::X86Size2M,
        Self::X86Size4M,
        Self::ArmVirt,
        Self::Riscv,
        Self::Loongarch,
    ];

    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86Size1M => "1M",
            Self::X86Size2M => "2M",
            Self::X86Size4M => "4M",
            Self::ArmVirt => "armvirt",
            Self::Riscv => "riscv",
            Self::Loongarch => "loongarch",
        }
    }

    /// Size of the CODE flash device. On x86 the file has this size; elsewhere a file may be smaller and
    /// QEMU's fixed chip is this large.
    #[must_use]
    pub const fn code_size_bytes(self) -> u64 {
        match self {
            Self::X86Size1M => 0xe_0000,
            Self::X86Size2M => 0x1e_0000,
            Self::X86Size4M => 0x37_c000,
            Self::ArmVirt => 64 << 20,
            Self::Riscv => 32 << 20,
            Self::Loongarch => 16 << 20,
        }
    }

    /// Size of the VARS flash device. On x86 it equals [`Self::vars_volume_size_bytes`].
    #[must_use]
    pub const fn vars_size_bytes(self) -> u64 {
        match self {
            Self::X86Size1M | Self::X86Size2M | Self::X86Size4M => self.vars_volume_size_bytes(),
            Self::ArmVirt | Self::Riscv | Self::Loongarch => self.code_size_bytes(),
        }
    }

    /// `FvLength` of the volume that holds the variables, their event log and FTW areas.
    #[must_use]
    pub const fn vars_volume_size_bytes(self) -> u64 {
        match self {
            Self::X86Size1M | Self::X86Size2M => 0x2_0000,
            Self::X86Size4M => 0x8_4000,
            Self::ArmVirt | Self::Riscv | Self::Loongarch => 0xc_0000,
        }
    }

    /// Erase-block size that the volume header of VARS names.
    #[must_use]
    pub const fn vars_block_size_bytes(self) -> u32 {
        match self {
            Self::X86Size1M | Self::X86Size2M | Self::X86Size4M => 0x1000,
            Self::ArmVirt | Self::Riscv | Self::Loongarch => 0x4_0000,
        }
    }

    /// The x86 layout whose CODE file has this size.
    #[must_use]
    pub fn of_x86_code_size(size_bytes: u64) -> Option<Self> {
        [Self::X86Size1M, Self::X86Size2M, Self::X86Size4M]
            .into_iter()
            .find(|layout| layout.code_size_bytes() == size_bytes)
    }

    /// The x86 layout whose combined file (VARS, then CODE) has this size.
    #[must_use]
    pub fn of_x86_combined_size(size_bytes: u64) -> Option<Self> {
        [Self::X86Size1M, Self::X86Size2M, Self::X86Size4M]
            .into_iter()
            .find(|layout| layout.code_size_bytes().saturating_add(layout.vars_size_bytes()) == size_bytes)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = ParseLayoutError;

    fn from_str(text: &str) -> Result<Self, ParseLayoutError> {
        Self::ALL
            .into_iter()
            .find(|layout| layout.name() == text)
            .ok_or(ParseLayoutError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_x86_layouts_add_up_to_the_sizes_they_are_named_after() {
        for (size_bytes, layout) in [
            (1 << 20, Layout::X86Size1M),
            (2 << 20, Layout::X86Size2M),
            (4 << 20, Layout::X86Size4M),
        ] {
            assert_eq!(Layout::of_x86_combined_size(size_bytes), Some(layout));
            assert_eq!(Layout::of_x86_code_size(layout.code_size_bytes()), Some(layout));
            assert_eq!(layout.name().parse(), Ok(layout));
        }
    }
}
