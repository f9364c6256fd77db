//! Where a guest's processors are: in flash, in firmware that lies in memory, or in a system.
//!
//! SEC, and on Arm and RISC-V PEI as well, execute from flash; on x86 the table of segments that SEC loads lies there
//! until DXE's processor driver makes its own (edk2 `UefiCpuPkg/ResetVector`, `UefiCpuPkg/CpuDxe`). Elsewhere PEI goes to
//! memory to unpack DXE, for most of a boot, and comes back to flash; nothing that is printed tells that from DXE, nor
//! DXE from a shell or boot loader. Only a system that is seen to run says that the boot is over. What is read is what
//! QEMU's human monitor prints for `info registers -a` (`target/*/cpu*.c`, `*_cpu_dump_state`).

use std::ops::Range;

use crate::qmp::Client;

/// Where the boards have their flash. On a PC it ends at 4 GiB and has 8 MiB at most (QEMU `hw/i386/pc_sysfw.c`);
/// `hw/arm/virt.c`, `hw/riscv/virt.c`, `include/hw/loongarch/virt.h`.
fn flash_of(arch: &str) -> Option<Range<u64>> {
    Some(match arch {
        "x86_64" | "i386" => 0xff80_0000..1 << 32,
        "aarch64" | "arm" => 0..0x0800_0000,
        "riscv64" | "riscv32" => 0x2000_0000..0x2400_0000,
        "loongarch64" => 0x1c00_0000..0x2000_0000,
        _ => return None,
    })
}

/// What was seen of a guest's processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Processors {
    /// Nobody could look.
    #[default]
    Unseen,
    /// What runs in the guest answered, which firmware does not: its boot is over.
    SystemAnswers,
    /// All were looked at.
    Seen {
        /// How many have their next instruction in flash.
        in_flash: usize,
        /// How many have their table of segments there.
        tables_in_flash: usize,
        /// How many are in a system: its kernel, or a program of a user.
        in_system: usize,
    },
}

impl Processors {
    /// What the guest's human monitor prints of them.
    pub fn look(monitor: &mut Client, arch: &str) -> Self {
        monitor
            .human("info registers -a")
            .map_or(Self::Unseen, |text| parse(arch, &text))
    }

    /// Whether one may still read what flash holds: SEC or PEI runs, or its segments lie there.
    #[must_use]
    pub const fn use_flash(self) -> bool {
        matches!(
            self,
            Self::Seen { in_flash, tables_in_flash, .. } if in_flash > 0 || tables_in_flash > 0
        )
    }

    /// Whether the guest has handed over from its firmware to a system.
    #[must_use]
    pub const fn are_in_system(self) -> bool {
        match self {
            Self::SystemAnswers => true,
            Self::Seen { in_system, .. } => in_system > 0 && !self.use_flash(),
            Self::Unseen => false,
        }
    }
}

/// What `info registers -a` says of a guest of `arch`.
#[must_use]
pub fn parse(arch: &str, text: &str) -> Processors {
    let Some(flash) = flash_of(arch) else {
        return Processors::Unseen;
    };
    let is_x86 = matches!(arch, "x86_64" | "i386");
    let (mut in_flash, mut tables_in_flash, mut in_system) = (0, 0, 0);
    // Each processor's part starts with `CPU#N`; with a single one older releases print no such line.
    let mut parts: Vec<&str> = text
        .split("CPU#")
        .filter(|part| !part.trim().is_empty())
        .collect();
    if parts.is_empty() {
        parts.push(text);
    }
    for part in parts {
        let Some(pointer) = (match is_x86 {
            true => x86_pointer(part),
            false => hex_after(part, " PC=")
                .or_else(|| hex_after(part, " pc "))
                .or_else(|| hex_after(part, "PC=")),
        }) else {
            return Processors::Unseen;
        };
        let waits = is_x86 && pointer == X86_RESET_VECTOR && part.contains("HLT=1");
        if waits {
            // It was never started: what starts it tells it where.
            continue;
        }
        if runs_a_system(arch, pointer, part) {
            in_system += 1;
            continue;
        }
        in_flash += usize::from(flash.contains(&pointer));
        if is_x86 {
            let Some(table) = hex_after(part, "GDT=") else {
                return Processors::Unseen;
            };
            tables_in_flash += usize::from(flash.contains(&table));
        }
    }
    Processors::Seen {
        in_flash,
        tables_in_flash,
        in_system,
    }
}

/// Whether a processor is in a kernel, which has its addresses in the upper half, where firmware has none; or in a user's
/// program, as its privilege level says on a PC and its exception level on Arm. A 32-bit kernel is not told.
fn runs_a_system(arch: &str, pointer: u64, part: &str) -> bool {
    let in_user = match arch {
        "x86_64" | "i386" => part.contains(" CPL=3"),
        "aarch64" => part.contains(" EL0t"),
        _ => false,
    };
    in_user || pointer >> 63 == 1
}

/// Where a processor starts after a reset.
const X86_RESET_VECTOR: u64 = 0xffff_fff0;

fn x86_pointer(part: &str) -> Option<u64> {
    let pointer = hex_after(part, "RIP=").or_else(|| hex_after(part, "EIP="))?;
    // `CS =f000 ffff0000 0000ffff …`: selector, then base.
    let (_, rest) = part.split_once("CS =")?;
    let base = u64::from_str_radix(rest.split_whitespace().nth(1)?, 16).ok()?;
    Some(base.wrapping_add(pointer))
}

/// The number in hexadecimal that stands behind `name`.
fn hex_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PC: &str = "CPU#0\nRAX=0 RBX=0\nRIP=000000000647a1cd RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\n\
                      CS =0038 0000000000000000 ffffffff 00af9a00 DPL=0 CS64 [-R-]\n\
                      GDT=     00000000079dc000 00000047\nIDT=     00000000072f4018 00000fff\n";

    fn seen(in_flash: usize, tables_in_flash: usize, in_system: usize) -> Processors {
        Processors::Seen {
            in_flash,
            tables_in_flash,
            in_system,
        }
    }

    #[test]
    fn a_guest_that_left_flash_is_told_from_one_that_has_not() {
        assert_eq!(parse("x86_64", PC), seen(0, 0, 0));
        let sec = PC
            .replace("000000000647a1cd", "00000000fffcc2a1")
            .replace("00000000079dc000", "00000000ffffff80");
        assert_eq!(parse("x86_64", &sec), seen(1, 1, 0));
        let pei = PC.replace("00000000079dc000", "00000000fffffed0");
        assert_eq!(parse("x86_64", &pei), seen(0, 1, 0));
        let two = format!("{PC}\n{}", sec.replace("CPU#0", "CPU#1"));
        assert_eq!(parse("x86_64", &two), seen(1, 1, 0));
    }

    #[test]
    fn a_processor_that_was_never_started_executes_nothing() {
        let waiting = "CPU#1\nEIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1\n\
                       CS =f000 ffff0000 0000ffff 00009b00\nGDT=     00000000 0000ffff\n";
        assert_eq!(parse("x86_64", &format!("{PC}\n{waiting}")), seen(0, 0, 0));
        let started = waiting.replace("HLT=1", "HLT=0");
        assert_eq!(parse("x86_64", &format!("{PC}\n{started}")), seen(1, 0, 0));
    }

    #[test]
    fn other_boards_have_flash_elsewhere() {
        let arm = " PC=0000000000002a10 X00=0000\nPSTATE=600003c5 -ZC- EL1h\n";
        assert_eq!(parse("aarch64", arm), seen(1, 0, 0));
        let riscv = "CPU#0\n pc       0000000020001000\n mhartid 0\n";
        assert_eq!(parse("riscv64", riscv), seen(1, 0, 0));
    }

    #[test]
    fn firmware_in_memory_may_come_back_to_flash_where_no_table_tells() {
        // Debian's build of 2025.02 for Arm unpacks DXE here, with PEI's stack, and then goes on in flash.
        let pei = " PC=0000000047ef4770 X00=0000\nPSTATE=600003c5 -ZC- EL1h\n";
        assert_eq!(parse("aarch64", pei), seen(0, 0, 0));
        let kernel = pei.replace("0000000047ef4770", "ffffc00080f1a2b4");
        assert_eq!(parse("aarch64", &kernel), seen(0, 0, 1));
        // What a user's program calls an address of flash is none.
        let user = pei
            .replace("0000000047ef4770", "0000000000412a10")
            .replace("EL1h", "EL0t");
        assert_eq!(parse("aarch64", &user), seen(0, 0, 1));
        let two = format!("CPU#0\n{kernel}\nCPU#1\n{}", pei.replace("47ef4770", "00002a10"));
        assert_eq!(parse("aarch64", &two), seen(1, 0, 1));
        let riscv = "CPU#0\n pc       0000000080200000\n mhartid 0\n";
        assert_eq!(parse("riscv64", riscv), seen(0, 0, 0));
        let kernel = riscv.replace("0000000080200000", "ffffffff80a1b2c4");
        assert_eq!(parse("riscv64", &kernel), seen(0, 0, 1));
    }

    #[test]
    fn a_system_is_told_from_firmware_by_its_addresses_or_its_users_programs() {
        assert!(!parse("x86_64", PC).are_in_system());
        let kernel = PC.replace("000000000647a1cd", "ffffffff81c0a2b4");
        assert_eq!(parse("x86_64", &kernel), seen(0, 0, 1));
        assert!(parse("x86_64", &kernel).are_in_system());
        // What a user's program calls an address of flash is none, and a table of a kernel's is not looked for.
        let user = PC
            .replace("000000000647a1cd", "00000000fffcc2a1")
            .replace("CPL=0", "CPL=3");
        assert_eq!(parse("x86_64", &user), seen(0, 0, 1));
        // The lower half ends here.
        let below = PC.replace("000000000647a1cd", "7fffffffffffffff");
        assert_eq!(parse("x86_64", &below), seen(0, 0, 0));
        // As long as one has not left flash the others do not count.
        let sec = PC.replace("000000000647a1cd", "00000000fffcc2a1");
        let both = parse("x86_64", &format!("{kernel}\n{}", sec.replace("CPU#0", "CPU#1")));
        assert_eq!(both, seen(1, 0, 1));
        assert!(both.use_flash() && !both.are_in_system());
        assert!(Processors::SystemAnswers.are_in_system() && !Processors::Unseen.are_in_system());
        assert!(!Processors::SystemAnswers.use_flash() && !Processors::Unseen.use_flash());
        assert!(seen(0, 1, 0).use_flash());
    }

    #[test]
    fn what_is_not_understood_is_unseen() {
        for text in ["", "nonsense", "CPU#0\nRIP=zz\n", "CPU#0\nRIP=0 CS =0038 0 0\n"] {
            assert_eq!(parse("x86_64", text), Processors::Unseen, "{text}");
        }
        assert_eq!(parse("s390x", PC), Processors::Unseen);
    }
}
