//! The bench: firmware files, QEMU programs, and the guests that are made of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::{Arch, Emulator, Guest, Machine};

use super::files::Files;
use super::plan::{Act, Step};
use super::programs::{self, Program};
use super::{
    Change, Image, Observation, Reached, Request, Side, VarsAccess, boot, convert, late, migrate, overwrite,
    stores, twice,
};
use crate::{Error, Result};

/// CPU time after which a guest that says nothing is given up; a healthy one needs a third of it.
const SILENCE_CPU_S: u64 = 25;
/// Wall time after which it is given up in any case.
const SILENCE_WALL: Duration = Duration::from_secs(300);

/// What observations are made with.
#[derive(Debug)]
pub(super) struct Bench {
    firmware: PathBuf,
    work: PathBuf,
    pub(super) programs: Vec<Program>,
    pub(super) files: Files,
    count: AtomicU32,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

impl Bench {
    pub(super) fn new(request: &Request) -> Result<Self> {
        Self::with(programs::named(&request.qemu)?, &request.firmware)
    }

    /// A bench with programs that have been asked already.
    pub(super) fn with(programs: Vec<Program>, firmware: &Path) -> Result<Self> {
        Ok(Self {
            firmware: firmware.to_owned(),
            work: std::env::temp_dir().join(format!("flashmoor-atlas-{}", std::process::id())),
            programs,
            files: Files::of(firmware)?,
            count: AtomicU32::new(0),
        })
    }

    /// The programs of an architecture, in the order in which they were named.
    pub(super) fn programs_of(&self, arch: Arch) -> impl Iterator<Item = usize> {
        let programs = self.programs.iter().enumerate();
        programs
            .filter(move |(_, program)| program.arch == arch)
            .map(|(index, _)| index)
    }

    pub(super) fn arch(&self, qemu: usize) -> Arch {
        self.programs
            .get(qemu)
            .map_or(Arch::X86_64, |program| program.arch)
    }

    pub(super) fn version(&self, qemu: usize) -> String {
        self.programs
            .get(qemu)
            .map(|program| program.version.clone())
            .unwrap_or_default()
    }

    pub(super) fn observe(&self, step: &Step) -> Result<Observation> {
        let folder = self
            .work
            .join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir_all(&folder).map_err(|source| Error::file("create", &folder, source))?;
        let seen = match (&step.destination, step.act) {
            (None, Act::BootTwice) => twice::observe(self, step, &folder),
            (None, _) => boot::observe(self, step, &folder),
            (Some(destination), Act::Boot | Act::BootTwice | Act::Migrate { .. }) => {
                let follow = step.act != Act::Migrate { follow: false };
                migrate::observe(self, step, destination, follow, &folder)
            }
            (Some(destination), Act::Convert) => convert::observe(self, step, destination, &folder),
            (Some(destination), Act::Overwrite { from_start }) => {
                overwrite::observe(self, step, destination, from_start, &folder)
            }
            (Some(destination), Act::WriteLate) => late::observe(self, step, destination, &folder),
        }?;
        let _ = fs::remove_dir_all(&folder);
        Ok(Observation {
            id: step.id.clone(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            source: step.source.clone(),
            destination: step.destination.clone(),
            seen,
        })
    }

    /// The guest that `side` describes, its files copied into `folder`.
    pub(super) fn machine(&self, side: &Side, qemu: usize, folder: &Path) -> Result<Machine> {
        fs::create_dir_all(folder).map_err(|source| Error::file("create", folder, source))?;
        let program = self.programs.get(qemu);
        let mut machine = Machine::bare(self.arch(qemu));
        machine.machine.clone_from(&side.machine);
        if let Some(program) = program {
            machine.emulator = Emulator {
                program: program.path.clone(),
                data_dirs: Vec::new(),
            };
        }
        for (unit, name, image) in [(0, "code.fd", &side.code), (1, "vars.fd", &side.vars)] {
            let Some(image) = image else { continue };
            let path = self.copy(image, &folder.join(name))?;
            match (image.change, unit) {
                (Some(Change::Qcow2), _) => {
                    let read_only = if unit == 0 { "on" } else { "off" };
                    machine = machine.with(&[
                        "-drive",
                        &format!(
                            "if=pflash,format=qcow2,unit={unit},readonly={read_only},file={}",
                            path.display()
                        ),
                    ]);
                }
                (_, 0) => machine.code = Some(path),
                _ if side.vars_access.is_some() => {
                    let how = match side.vars_access {
                        Some(VarsAccess::ReadOnly) => "readonly=on",
                        _ => "snapshot=on",
                    };
                    machine = machine.with(&[
                        "-drive",
                        &format!("if=pflash,format=raw,unit=1,{how},file={}", path.display()),
                    ]);
                }
                _ => machine.vars = Some(path),
            }
        }
        if let Some(image) = &side.bios {
            let path = self.copy(image, &folder.join("bios.fd"))?;
            machine = machine.with(&["-bios", &path.to_string_lossy()]);
        }
        if side.secure_flash {
            machine = machine.with(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
        if side.s3_off {
            machine = machine.with(&["-global", "ICH9-LPC.disable_s3=1"]);
        }
        if let Some(rom_bytes) = side.rom_bytes {
            let rom = folder.join("net.rom");
            let bytes = vec![0u8; usize::try_from(rom_bytes).unwrap_or_default()];
            fs::write(&rom, bytes).map_err(|source| Error::file("write", &rom, source))?;
            machine = machine.with(&["-device", &format!("virtio-net-pci,romfile={}", rom.display())]);
        }
        Ok(machine)
    }

    fn copy(&self, image: &Image, to: &Path) -> Result<PathBuf> {
        let from = self.firmware.join(&image.name);
        let bytes = fs::read(&from).map_err(|source| Error::file("read", &from, source))?;
        let is_qcow2 = bytes.starts_with(b"QFI\xfb");
        let change = image.change;
        if is_qcow2 || change == Some(Change::Qcow2) {
            let format = match change {
                Some(Change::Qcow2) => "qcow2",
                _ => "raw",
            };
            let status = Command::new("qemu-img")
                .args(["convert", "-O", format])
                .args([&from, to])
                .status()
                .map_err(|source| Error::file("start", Path::new("qemu-img"), source))?;
            if !status.success() {
                let source = std::io::Error::other(format!("qemu-img ended with {status}"));
                return Err(Error::file("convert", &from, source));
            }
        } else {
            fs::write(to, bytes).map_err(|source| Error::file("write", to, source))?;
        }
        if let Some(change) = change.filter(|change| *change != Change::Qcow2) {
            let mut bytes = fs::read(to).map_err(|source| Error::file("read", to, source))?;
            apply(change, &mut bytes);
            fs::write(to, bytes).map_err(|source| Error::file("write", to, source))?;
        }
        Ok(to.to_owned())
    }
}

/// Changes a copy's bytes; offsets as in edk2 `OvmfPkg/Include/Fdf/VarStore.fdf.inc` and
/// `ArmVirtPkg/VarStore.fdf.inc`.
pub(crate) fn apply(change: Change, bytes: &mut Vec<u8>) {
    let ftw_offset = match bytes.len() {
        0x2_0000 => 0xf000,
        0x8_4000 => 0x4_1000,
        _ => 0x4_0000,
    };
    match change {
        Change::Erased => bytes.fill(0xff),
        Change::Zeros => bytes.fill(0),
        Change::VolumeDamaged => flip(bytes, 0x28),
        Change::StoreDamaged => flip(bytes, 0x48),
        Change::WithoutFtw => {
            if let Some(header) = bytes.get_mut(ftw_offset..ftw_offset + 32) {
                header.fill(0);
            }
        }
        Change::Plain => {
            // gEfiVariableGuid, ddcf3616-3275-4164-98b6-fe85707ffe7d.
            let guid = [
                0x16, 0x36, 0xcf, 0xdd, 0x75, 0x32, 0x64, 0x41, 0x98, 0xb6, 0xfe, 0x85, 0x70, 0x7f, 0xfe,
                0x7d,
            ];
            if let Some(place) = bytes.get_mut(0x48..0x58) {
                place.copy_from_slice(&guid);
            }
        }
        Change::Cut => bytes.truncate(bytes.len().saturating_sub(1000)),
        Change::Halved => bytes.truncate(bytes.len() / 2),
        _ => {
            stores::build(change, bytes);
        }
    }
}

fn flip(bytes: &mut [u8], offset: usize) {
    if let Some(byte) = bytes.get_mut(offset) {
        *byte ^= 0xff;
    }
}

/// Follows the serial line from `from` until it is clear how far the firmware comes.
pub(super) fn reached(guest: &mut Guest, from: usize) -> Reached {
    let begin = (Instant::now(), cpu_s(guest.pid()));
    loop {
        let transcript = guest.serial.transcript();
        let fresh = transcript.get(from..).unwrap_or_default();
        // Of a processor exception, on x86 and on ARM.
        if fresh.contains("!!!! ") || fresh.contains("Exception at 0x") {
            return Reached::Exception;
        }
        if fresh.contains("Shell> ") || fresh.contains("Press ESC in") {
            return Reached::Shell;
        }
        // Without a shell the boot manager ends here, when nothing it tried could be started.
        if fresh.contains("No bootable option") || fresh.contains("BdsDxe: No boot") {
            return Reached::BootManager;
        }
        if !guest.is_alive() {
            return Reached::Reset;
        }
        let used = cpu_s(guest.pid()).saturating_sub(begin.1);
        if used >= SILENCE_CPU_S || begin.0.elapsed() > SILENCE_WALL {
            return if fresh.contains("BdsDxe: ") {
                Reached::BootManager
            } else {
                Reached::Silence
            };
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// CPU seconds that a process has used, from `/proc/PID/stat` (proc(5), fields 14 and 15).
fn cpu_s(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks / rustix::param::clock_ticks_per_second().max(1)
}

/// A failure of the lab, as an error of this crate.
pub(super) fn lab(error: crate::GuestError) -> Error {
    Error::Guest(error)
}
