//! What firmware is told apart by: words that several documents have.

use crate::words;

words! {
    /// The architecture that firmware is for.
    Arch {
        /// 64-bit PCs.
        X86_64 = "x86-64",
        /// 32-bit PCs.
        Ia32 = "ia32",
        /// 64-bit Arm.
        Aarch64 = "aarch64",
        /// 32-bit Arm.
        Arm = "arm",
        /// 64-bit RISC-V.
        Riscv64 = "riscv64",
        /// 64-bit LoongArch.
        Loongarch64 = "loongarch64",
    }
}

words! {
    /// Modes of the phases before DXE, and of DXE.
    CpuMode {
        /// 32 bits in all of them.
        Ia32 = "IA32",
        /// 32 bits up to DXE, 64 bits from there.
        Ia32X64 = "IA32X64",
        /// 64 bits in all of them.
        X64 = "X64",
    }
}

words! {
    /// Where things lie in VARS, and how large CODE is.
    Layout {
        /// OVMF of 1 MiB.
        X86Size1M = "1M",
        /// OVMF of 2 MiB.
        X86Size2M = "2M",
        /// OVMF of 4 MiB.
        X86Size4M = "4M",
        /// Arm's `virt`.
        ArmVirt = "armvirt",
        /// RISC-V's `virt`.
        Riscv = "riscv",
        /// LoongArch's `virt`.
        Loongarch = "loongarch",
    }
}

words! {
    /// The form of a variable store.
    StoreFormat {
        /// edk2's with authenticated variables.
        Authenticated = "authenticated",
        /// edk2's with plain variables.
        Plain = "plain",
        /// Nobody has written to it.
        Blank = "blank",
        /// JSON, which has no fixed room.
        Json = "json",
    }
}
