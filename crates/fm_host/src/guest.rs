//! A guest: one QEMU process, what its command line says, and what it really runs.

mod files;
mod find;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fm_files::open_regular;
use fm_formats::Sha256;
use fm_formats::qemu::{self, MachineVendor};

use crate::Error;
use crate::cmdline::{self, CommandLine, QmpArgument};
use crate::memory::{self, GuestMemory};
use crate::process::{self, Process};
use crate::version::{self, QemuRelease};

pub use files::{FlashFormat, FlashUnit, qcow2_size_bytes};
pub use find::{Listing, find, guests};

/// The largest configuration file that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A QEMU process on this host.
#[derive(Debug, Clone)]
pub struct Guest {
    process: Process,
    command: CommandLine,
    /// The target architecture by QEMU's name: `x86_64`, `aarch64`.
    arch: String,
    flash: Vec<FlashUnit>,
    qmp_sockets: Vec<PathBuf>,
}

/// Where a machine type's name was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineSource {
    /// From the running QEMU's memory.
    Memory,
    /// The command line gives the full name.
    CommandLine,
    /// The command line gives an alias, which the QEMU version resolves as upstream does.
    Version,
}

impl MachineSource {
    /// For documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::CommandLine => "command line",
            Self::Version => "version",
        }
    }
}

/// The machine type of a guest, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestMachine {
    /// The full name where it is known: `pc-q35-7.2`.
    pub name: String,
    /// How it is known.
    pub source: MachineSource,
}

impl Guest {
    /// What `process` is, if its command line can be read.
    fn of(process: Process) -> Result<Self, Error> {
        let arguments = process.arguments()?;
        let chroot = cmdline::changes_root(&arguments);
        let command = CommandLine::parse(&arguments, &mut |path| {
            let config = open_config(&process, chroot, Path::new(path));
            match config.and_then(|file| process::read_at_most(file, MAX_CONFIG_BYTES)) {
                Ok(Some(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Ok(None) => Err("the file is too large".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
        let arch = arch(&process, &command);
        let mut flash = files::resolve(&process, &command);
        if flash.is_empty() && command.config_unread {
            flash = files::in_memory(&process);
        }
        let qmp_sockets = qmp_sockets(&process, &command);
        Ok(Self {
            process,
            command,
            arch,
            flash,
            qmp_sockets,
        })
    }

    /// Its pid.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// `-name`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.command.name.as_deref()
    }

    /// `-uuid`, or the one in its SMBIOS.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.command.uuid.as_deref()
    }

    /// For messages: `guest web1 (pid 123)`.
    #[must_use]
    pub fn label(&self) -> String {
        match self.name() {
            Some(name) => format!("guest {name} (pid {})", self.pid()),
            None => format!("the guest of pid {}", self.pid()),
        }
    }

    /// All that its command line says.
    #[must_use]
    pub const fn command(&self) -> &CommandLine {
        &self.command
    }

    /// The target architecture by QEMU's name.
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// Whether its process still is the one that was found.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Where QMP listens. A monitor serves one client: these belong to whoever started the guest.
    #[must_use]
    pub fn qmp_sockets(&self) -> &[PathBuf] {
        &self.qmp_sockets
    }

    /// The version of the QEMU that runs, whatever its file holds by now.
    ///
    /// # Errors
    /// [`Error::NotQemu`], or the kernel's answer.
    pub fn qemu_version(&self) -> Result<QemuRelease, Error> {
        version::of(&self.process)?.ok_or_else(|| Error::NotQemu {
            pid: self.pid(),
            why: "its program holds no QEMU version".to_owned(),
        })
    }

    /// `kvm`, `tcg`, …: what is in use where the kernel shows it, else what the command line says. Nothing if
    /// that is several, of which QEMU takes the first that works.
    #[must_use]
    pub fn accelerator(&self) -> Option<String> {
        let held = self.process.open_files().ok();
        accelerator(&self.command, held.as_deref())
    }

    /// The machine type, from `memory` if that is given and holds it.
    #[must_use]
    pub fn machine(&self, memory: Option<&GuestMemory>) -> Option<GuestMachine> {
        if let Some(name) = memory.and_then(GuestMemory::machine) {
            return Some(GuestMachine {
                name: name.to_owned(),
                source: MachineSource::Memory,
            });
        }
        let is_x86 = matches!(self.arch.as_str(), "x86_64" | "i386");
        let written = match self.command.machine.as_deref() {
            Some(written) => written,
            None if is_x86 => "pc",
            None => return None,
        };
        let is_alias = match written {
            "q35" | "pc" => is_x86,
            "virt" => matches!(self.arch.as_str(), "aarch64" | "arm"),
            _ => false,
        };
        if !is_alias {
            return Some(GuestMachine {
                name: written.to_owned(),
                source: MachineSource::CommandLine,
            });
        }
        let release = self.qemu_version().ok()?;
        // A distribution's own QEMU means a type of its own.
        if MachineVendor::of_version_text(&release.text) != MachineVendor::Qemu {
            return None;
        }
        let resolved = qemu::MachineType::new(written, Some(release.version));
        Some(GuestMachine {
            name: resolved.name().to_owned(),
            source: MachineSource::Version,
        })
    }

    /// Its flash units, ascending: CODE is unit 0, VARS unit 1.
    ///
    /// # Errors
    /// [`Error::NoFlash`], [`Error::TooManyFlashUnits`].
    pub fn flash(&self) -> Result<&[FlashUnit], Error> {
        if let Some(strange) = self.flash.iter().find(|flash| flash.unit > 1) {
            return Err(Error::TooManyFlashUnits {
                guest: self.label(),
                unit: strange.unit,
            });
        }
        if self.flash.is_empty() {
            return Err(Error::NoFlash {
                guest: self.label(),
                firmware: match (&self.command.bios, self.arch.as_str()) {
                    (Some(bios), _) => format!("{bios:?} as -bios"),
                    (None, "x86_64" | "i386") => "QEMU's default, SeaBIOS".to_owned(),
                    (None, _) => "what QEMU loads by default".to_owned(),
                },
            });
        }
        Ok(&self.flash)
    }

    /// Flash `unit`, if the guest has it.
    ///
    /// # Errors
    /// As [`Guest::flash`], and [`Error::NoSuchFlash`].
    pub fn flash_unit(&self, unit: u32) -> Result<&FlashUnit, Error> {
        let mut units = self.flash()?.iter();
        units
            .find(|flash| flash.unit == unit)
            .ok_or_else(|| Error::NoSuchFlash {
                guest: self.label(),
                unit,
            })
    }

    /// The file that the path of `flash` leads to now, which the guest's next start would get, if it is a
    /// regular one.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none, [`io::ErrorKind::Unsupported`] if it lies in no file, and
    /// as [`fm_files::open_regular`].
    pub fn open_now(&self, flash: &FlashUnit) -> io::Result<File> {
        flash.open_now(&self.process)
    }

    /// The path that the path of `flash` leads to, without links; whether there is a file or not.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn shown_path(&self, flash: &FlashUnit) -> io::Result<PathBuf> {
        flash.shown(&self.process)
    }

    /// Opens a file by a path as [`Guest::shown_path`] gives it.
    ///
    /// # Errors
    /// As [`fm_files::open_regular`].
    pub fn open_shown(&self, path: &Path) -> io::Result<File> {
        self.process.top()?.open(path)
    }

    /// The file in which QEMU's `uefi-vars` device keeps the guest's variables: its path, and the file itself. Nothing
    /// for a guest without the device, or whose device keeps them nowhere.
    #[must_use]
    pub fn uefi_vars_file(&self) -> Option<(PathBuf, io::Result<File>)> {
        let written = self.command.uefi_vars.as_ref()?.json.as_deref()?;
        let path = self.process.absolute(Path::new(written));
        let file = open_config(&self.process, self.command.chroot, Path::new(written));
        Some((path, file))
    }

    /// Opens its memory.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn memory(&self) -> Result<GuestMemory, Error> {
        GuestMemory::open(&self.process)
    }

    /// Where flash `unit` lies in `memory`.
    ///
    /// # Errors
    /// [`Error::FlashNotFound`], and as [`Guest::flash`].
    pub fn flash_region(&self, memory: &GuestMemory, unit: u32) -> Result<memory::Region, Error> {
        let flash = self.flash_unit(unit)?;
        let file = match &flash.opened {
            Some(opened) => open_regular(opened).ok(),
            None => self.open_now(flash).ok(),
        };
        memory
            .flash(unit, flash.size_bytes, file.as_ref())
            .map_err(|why| Error::FlashNotFound {
                guest: self.label(),
                unit,
                why,
            })
    }

    /// The bytes of flash `unit` as they were at one instant, read from the running guest.
    ///
    /// # Errors
    /// [`Error::Unsettled`] if the guest wrote all the time, and as [`Guest::flash_region`].
    pub fn read_flash(&self, unit: u32) -> Result<Vec<u8>, Error> {
        let memory = self.memory()?;
        let region = self.flash_region(&memory, unit)?;
        self.read_region(&memory, unit, region, u64::MAX)
    }

    /// The digest of flash `unit` in a region that was found before, for what is too large to be held.
    ///
    /// # Errors
    /// As [`Guest::read_region`].
    pub fn digest_region(
        &self,
        memory: &GuestMemory,
        unit: u32,
        region: memory::Region,
    ) -> Result<Sha256, Error> {
        memory.settled_digest(region)?.ok_or_else(|| Error::Unsettled {
            guest: self.label(),
            unit,
            readings: memory::MAX_DIGEST_COUNT,
        })
    }

    /// As [`Guest::read_flash`], for a region that was found before, and at most `len_bytes` of it.
    ///
    /// # Errors
    /// [`Error::Unsettled`], or the kernel's answer.
    pub fn read_region(
        &self,
        memory: &GuestMemory,
        unit: u32,
        region: memory::Region,
        len_bytes: u64,
    ) -> Result<Vec<u8>, Error> {
        memory.read(region, len_bytes)?.ok_or_else(|| Error::Unsettled {
            guest: self.label(),
            unit,
            readings: memory::MAX_READING_COUNT,
        })
    }
}

/// A configuration file as QEMU opened it. Names of its own descriptors stand for what it holds, not we.
fn open_config(process: &Process, chroot: bool, path: &Path) -> io::Result<File> {
    let text = path.to_str().unwrap_or_default();
    let number = match text {
        "/dev/stdin" => Some("0"),
        _ => ["/dev/fd/", "/proc/self/fd/"]
            .into_iter()
            .find_map(|folder| text.strip_prefix(folder)),
    };
    if let Some(fd) = number.and_then(|number| number.parse().ok()) {
        if !process.may_read(fd) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        return open_regular(&process.fd_path(fd));
    }
    let from_top = chroot || path.is_relative();
    let base = if from_top { process.top() } else { process.root() };
    base?.open(&process.absolute(path))
}

fn accelerator(command: &CommandLine, held: Option<&[process::OpenFile]>) -> Option<String> {
    let said = command.accels.as_slice();
    let Some(held) = held else {
        return match said {
            [] if command.program.ends_with("kvm") => None,
            [] => Some("tcg".to_owned()),
            [one] => Some(one.clone()),
            _ => None,
        };
    };
    let holds = |start: &str| {
        let mut targets = held.iter().filter_map(|file| file.target.to_str());
        targets.any(|target| target.starts_with(start))
    };
    // what hypervisors of this kernel's hand out; whoever holds none of it computes by itself
    if holds("anon_inode:kvm-vm") {
        return Some("kvm".to_owned());
    }
    if holds("/dev/xen/") || holds("/proc/xen/") {
        return Some("xen".to_owned());
    }
    let computes = |name: &&String| matches!(name.as_str(), "tcg" | "qtest");
    match said {
        [] => Some("tcg".to_owned()),
        said => said.iter().find(computes).cloned(),
    }
}

/// From the program's name: `qemu-system-aarch64`. Programs called otherwise (`kvm`, `qemu-kvm`) serve
/// the host's own architecture.
fn arch(process: &Process, command: &CommandLine) -> String {
    let exe = process.exe().ok();
    let exe = exe.as_deref().unwrap_or(Path::new(&command.program));
    let name = exe.file_name().unwrap_or_default().to_string_lossy();
    match name.split_once("qemu-system-") {
        Some((_, arch)) => arch.split(['-', '.', ' ']).next().unwrap_or(arch).to_owned(),
        None => std::env::consts::ARCH.to_owned(),
    }
}

fn qmp_sockets(process: &Process, command: &CommandLine) -> Vec<PathBuf> {
    command
        .qmp
        .iter()
        .filter_map(|argument| match argument {
            QmpArgument::Path(path) => Some(process.absolute(Path::new(path))),
            QmpArgument::Descriptor(fd) => find::socket_path(process, *fd),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accelerator_is_what_is_held_and_not_what_was_tried_first() {
        let command = |accels: &[&str]| CommandLine {
            program: "qemu-system-x86_64".into(),
            accels: accels.iter().map(ToString::to_string).collect(),
            ..CommandLine::default()
        };
        let open = |target: &str| process::OpenFile {
            fd: 9,
            target: target.into(),
            deleted: false,
        };
        let kvm = [open("/dev/kvm"), open("anon_inode:kvm-vm")];
        let none = [open("/dev/null")];
        let is = |accels: &[&str], held: Option<&[process::OpenFile]>, wanted: Option<&str>| {
            assert_eq!(
                accelerator(&command(accels), held).as_deref(),
                wanted,
                "{accels:?} {held:?}"
            );
        };
        is(&["tcg"], Some(&kvm), Some("kvm"));
        for fallback in [["xen", "tcg"], ["whpx", "tcg"], ["kvm", "tcg"]] {
            is(&fallback, Some(&none), Some("tcg"));
            is(&fallback, None, None);
        }
        is(&["kvm", "tcg"], Some(&kvm), Some("kvm"));
        is(&["kvm"], Some(&none), None);
        is(&["kvm"], None, Some("kvm"));
        is(&[], Some(&none), Some("tcg"));
        is(&[], None, Some("tcg"));
    }
}
