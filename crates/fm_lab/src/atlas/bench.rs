//! The bench: firmware files, QEMU programs, and the guests that are made of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::files::Files;
use super::programs::{self, Program};
use super::{Change, Image, Request, Side, VarsAccess, changes};
use crate::{Arch, Emulator, Error, Machine, Result};

/// What observations are made with.
#[derive(Debug)]
pub(super) struct Bench {
    firmware: PathBuf,
    work: PathBuf,
    pub(super) programs: Vec<Program>,
    pub(super) files: Files,
    /// Whether guests run under KVM.
    pub(super) kvm: bool,
    count: AtomicU32,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

impl Bench {
    pub(super) fn new(request: &Request) -> Result<Self> {
        let mut bench = Self::with(programs::named(&request.qemu)?, &request.firmware)?;
        bench.kvm = request.kvm;
        Ok(bench)
    }

    /// A bench with programs that have been asked already.
    pub(super) fn with(programs: Vec<Program>, firmware: &Path) -> Result<Self> {
        Ok(Self {
            firmware: firmware.to_owned(),
            work: std::env::temp_dir().join(format!("flashmoor-atlas-{}", std::process::id())),
            programs,
            files: Files::of(firmware)?,
            kvm: false,
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

    /// A folder of its own for what comes next.
    pub(super) fn new_folder(&self) -> Result<PathBuf> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let folder = self.work.join(count.to_string());
        fs::create_dir_all(&folder).map_err(|source| Error::file("create", &folder, source))?;
        Ok(folder)
    }

    /// The guest that `side` describes, its files copied into `folder`.
    pub(super) fn machine(&self, side: &Side, qemu: usize, folder: &Path) -> Result<Machine> {
        fs::create_dir_all(folder).map_err(|source| Error::file("create", folder, source))?;
        let program = self.programs.get(qemu);
        let mut machine = Machine::bare(self.arch(qemu));
        machine.machine.clone_from(&side.machine);
        machine.kvm = side.kvm;
        if side.kvm {
            // The one processor that KVM makes everywhere; the last word counts.
            machine = machine.with(&["-cpu", "host"]);
        }
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
            changes::apply(change, &mut bytes);
            fs::write(to, bytes).map_err(|source| Error::file("write", to, source))?;
        }
        Ok(to.to_owned())
    }
}
