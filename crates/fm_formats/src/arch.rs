//! The processor architectures that QEMU runs UEFI firmware for.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The architecture that a firmware brings the guest up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit x86: the DXE phase is X64, whatever the PEI phase is.
    X86_64,
    /// 32-bit x86.
    Ia32,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit LoongArch.
    Loongarch64,
}

/// The text names no architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an architecture is x86-64, ia32, aarch64, arm, riscv64 or loongarch64")]
pub struct ParseArchError;

impl Arch {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::X86_64,
        Self::Ia32,
        Self::Aarch64,
        Self::Arm,
        Self::Riscv64,
        Self::Loongarch64,
    ];

    /// The name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Ia32 => "ia32",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// The name in firmware descriptors, in libvirt and in `qemu-system-NAME`.
    #[must_use]
    pub const fn qemu_name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Ia32 => "i386",
            other => other.name(),
        }
    }

    /// The architecture of an `IMAGE_FILE_MACHINE_*` value in a PE or TE header.
    #[must_use]
    pub const fn of_pe_machine(machine: u16) -> Option<Self> {
        Some(match machine {
            0x8664 => Self::X86_64,
            0x014c => Self::Ia32,
            0xaa64 => Self::Aarch64,
            0x01c0 | 0x01c2 | 0x01c4 => Self::Arm,
            0x5064 => Self::Riscv64,
            0x6264 => Self::Loongarch64,
            _ => return None,
        })
    }

    /// Whether flash ends at 4 GiB and the reset vector lies in its last bytes.
    #[must_use]
    pub const fn is_x86(self) -> bool {
        matches!(self, Self::X86_64 | Self::Ia32)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Arch {
    type Err = ParseArchError;

    /// Reads both the name in documents and the name that QEMU uses.
    fn from_str(text: &str) -> Result<Self, ParseArchError> {
        Self::ALL
            .into_iter()
            .find(|arch| arch.name() == text || arch.qemu_name() == text)
            .ok_or(ParseArchError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_reads_back_from_both_of_its_names() {
        for arch in Arch::ALL {
            assert_eq!(arch.name().parse(), Ok(arch));
            assert_eq!(arch.qemu_name().parse(), Ok(arch));
        }
        assert_eq!("vax".parse::<Arch>(), Err(ParseArchError));
    }
}
