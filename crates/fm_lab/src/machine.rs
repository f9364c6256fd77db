//! What a guest is made of, and the QEMU command line that makes it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::FLASH_EVENTS;

/// The architectures the lab can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// `qemu-system-x86_64`, machine `q35`.
    X86_64,
    /// `qemu-system-aarch64`, machine `virt`.
    Aarch64,
    /// `qemu-system-riscv64`, machine `virt`. On QEMU 7.2 Debian's firmware stays silent.
    Riscv64,
    /// `qemu-system-loongarch64`, machine `virt`. QEMU 7.2 takes no flash drive there.
    Loongarch64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::Aarch64, Self::Riscv64, Self::Loongarch64];

    /// The name in QEMU's programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// What QEMU calls the flash device with VARS.
    #[must_use]
    pub const fn vars_device(self) -> &'static str {
        match self {
            Self::X86_64 => "system.flash1",
            Self::Aarch64 | Self::Riscv64 | Self::Loongarch64 => "virt.flash1",
        }
    }

    /// Where the board has the flash with CODE (QEMU `hw/i386/pc_sysfw.c`, where it ends at 4 GiB; `hw/arm/virt.c`,
    /// `hw/riscv/virt.c`, `include/hw/loongarch/virt.h`).
    pub(crate) const fn code_address(self, size_bytes: u64) -> u64 {
        match self {
            Self::X86_64 => (4u64 << 30).saturating_sub(size_bytes),
            Self::Aarch64 => 0,
            Self::Riscv64 => 0x2000_0000,
            Self::Loongarch64 => 0x1c00_0000,
        }
    }
}

/// A QEMU program and where it finds its ROMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// The program, searched in `PATH` if it has no slash.
    pub program: PathBuf,
    /// Folders for `-L`, first one first.
    pub data_dirs: Vec<PathBuf>,
}

impl Emulator {
    /// The one installed on this system.
    #[must_use]
    pub fn system(arch: Arch) -> Self {
        Self {
            program: format!("qemu-system-{}", arch.name()).into(),
            data_dirs: Vec::new(),
        }
    }
}

/// A guest to be started.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The QEMU to use.
    pub emulator: Emulator,
    /// What `-machine` says, such as `q35` or `pc-q35-7.2,smm=on`.
    pub machine: String,
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// What `-name` says, if anything.
    pub name: Option<String>,
    /// What `-uuid` says, if anything.
    pub uuid: Option<String>,
    /// CODE, flash unit 0, raw and read-only.
    pub code: Option<PathBuf>,
    /// VARS, flash unit 1, raw and writable.
    pub vars: Option<PathBuf>,
    /// Whether it waits for a migration (`-incoming defer`).
    pub incoming: bool,
    /// Whether it starts stopped (`-S`).
    pub stopped: bool,
    /// Whether KVM runs it; emulation does otherwise.
    pub kvm: bool,
    /// More words, at the end.
    pub extra: Vec<OsString>,
}

impl Machine {
    /// A small `q35` or `virt` with this firmware, running from the start.
    #[must_use]
    pub fn new(arch: Arch, code: &Path, vars: &Path) -> Self {
        Self {
            code: Some(code.to_owned()),
            vars: Some(vars.to_owned()),
            ..Self::bare(arch)
        }
    }

    /// The same without any flash.
    #[must_use]
    pub fn bare(arch: Arch) -> Self {
        let (machine, memory_mib, extra) = match arch {
            Arch::X86_64 => ("q35", 128, Vec::new()),
            Arch::Aarch64 => ("virt", 128, vec!["-cpu".into(), "cortex-a57".into()]),
            Arch::Riscv64 => ("virt", 128, Vec::new()),
            Arch::Loongarch64 => ("virt", 512, Vec::new()),
        };
        Self {
            emulator: Emulator::system(arch),
            machine: machine.into(),
            memory_mib,
            name: None,
            uuid: None,
            code: None,
            vars: None,
            incoming: false,
            stopped: false,
            kvm: false,
            extra,
        }
    }

    /// The same guest as a migration's destination.
    #[must_use]
    pub fn incoming(mut self) -> Self {
        self.incoming = true;
        self
    }

    /// The same guest under a name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same guest with more words on its command line.
    #[must_use]
    pub fn with(mut self, words: &[&str]) -> Self {
        self.extra.extend(words.iter().map(OsString::from));
        self
    }

    /// The same guest, with every write to its flash traced into the file `trace`.
    #[must_use]
    pub fn tracing_flash(mut self, trace: &Path) -> Self {
        // Of several `-d` QEMU takes the last.
        let events = FLASH_EVENTS.map(|event| format!("trace:{event}")).join(",");
        self = self.with(&["-d", &events]);
        self.extra.extend(["-D".into(), trace.into()]);
        self
    }

    /// QEMU's arguments. `dir` receives the sockets `qmp` (free for whoever is tested), `lab` (the
    /// lab's own monitor) and the pipes `serial.in` and `serial.out`.
    pub(crate) fn arguments(&self, dir: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: OsString| words.extend([name.into(), value]);
        for data_dir in &self.emulator.data_dirs {
            option("-L", data_dir.into());
        }
        option("-accel", if self.kvm { "kvm" } else { "tcg" }.into());
        option("-machine", (&self.machine).into());
        option("-m", self.memory_mib.to_string().into());
        option("-display", "none".into());
        for (word, value) in [("-name", &self.name), ("-uuid", &self.uuid)] {
            if let Some(value) = value {
                option(word, value.into());
            }
        }
        let flash = [(&self.code, 0, "on"), (&self.vars, 1, "off")];
        for (path, unit, read_only) in flash {
            if let Some(path) = path {
                let head = format!("if=pflash,format=raw,unit={unit},readonly={read_only},file=");
                option("-drive", joined(&head, path, ""));
            }
        }
        option("-qmp", joined("unix:", &dir.join("qmp"), ",server=on,wait=off"));
        option("-qmp", joined("unix:", &dir.join("lab"), ",server=on,wait=off"));
        let mut serial = OsString::from("pipe:");
        serial.push(serial_pipes(dir));
        option("-serial", serial);
        if self.incoming {
            option("-incoming", "defer".into());
        }
        words.push("-nodefaults".into());
        if self.stopped {
            words.push("-S".into());
        }
        words.extend(self.extra.iter().cloned());
        words
    }
}

/// Where a guest with this folder has its serial line.
pub(crate) fn serial_pipes(dir: &Path) -> PathBuf {
    dir.join("serial")
}

/// A QEMU option value around a path, commas in it doubled as QEMU wants them.
fn joined(head: &str, path: &Path, tail: &str) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut value = head.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        value.push(*byte);
        if *byte == b',' {
            value.push(b',');
        }
    }
    value.extend_from_slice(tail.as_bytes());
    OsString::from_vec(value)
}
