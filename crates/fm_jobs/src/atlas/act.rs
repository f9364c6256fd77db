//! The bench: firmware files, QEMU programs, and the guests that are made of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fm_formats::Sha256;
use fm_lab::{Arch, Emulator, Guest, Machine};

use super::plan::{Act, Step};
use super::{Change, Image, Observation, Reached, Request, Side, boot, convert, migrate, overwrite};
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
    pub(super) programs: Vec<(PathBuf, String)>,
    pub(super) codes: Vec<Image>,
    pub(super) vars: Vec<Image>,
    pub(super) combined: Vec<Image>,
    count: AtomicU32,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

impl Bench {
    pub(super) fn new(request: &Request) -> Result<Self> {
        let mut programs = Vec::new();
        for program in &request.qemu {
            programs.push((program.clone(), version_of(program)?));
        }
        let work = std::env::temp_dir().join(format!("flashmoor-atlas-{}", std::process::id()));
        fs::create_dir_all(&work).map_err(|source| Error::file("create", &work, source))?;
        let mut bench = Self {
            firmware: request.firmware.clone(),
            work,
            programs,
            codes: Vec::new(),
            vars: Vec::new(),
            combined: Vec::new(),
            count: AtomicU32::new(0),
        };
        bench.collect(&request.firmware.clone())?;
        for list in [&mut bench.codes, &mut bench.vars, &mut bench.combined] {
            // Plain before enrolled, small before large; the same bytes under two names count once.
            list.sort_by_key(|image| {
                (
                    image.size_bytes,
                    image.name.contains(".ms.") || image.name.contains("snakeoil"),
                    image.name.clone(),
                )
            });
            let mut digests = Vec::new();
            list.retain(|image| {
                let new = !digests.contains(&image.sha256);
                digests.push(image.sha256.clone());
                new
            });
        }
        Ok(bench)
    }

    /// Finds x86 firmware by the names that packages give it.
    fn collect(&mut self, folder: &Path) -> Result<()> {
        let failed = |source| Error::file("read", folder, source);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if path.is_dir() {
                if !name.starts_with("qemu") {
                    self.collect(&path)?;
                }
                continue;
            }
            let list = match name {
                "OVMF.fd" => &mut self.combined,
                _ if !name.starts_with("OVMF") || !name.ends_with(".fd") => continue,
                _ if name.contains("CODE") => &mut self.codes,
                _ if name.contains("VARS") => &mut self.vars,
                _ => continue,
            };
            let bytes = fs::read(&path).map_err(|source| Error::file("read", &path, source))?;
            let name = path.strip_prefix(&self.firmware).unwrap_or(&path);
            list.push(Image {
                name: name.to_string_lossy().into_owned(),
                change: None,
                sha256: Sha256::of(&bytes).to_string(),
                size_bytes: bytes.len() as u64,
            });
        }
        Ok(())
    }

    pub(super) fn code(&self, name: &str) -> Option<&Image> {
        self.codes.iter().find(|image| image.name == name)
    }

    pub(super) fn version(&self, qemu: usize) -> String {
        self.programs
            .get(qemu)
            .map(|(_, version)| version.clone())
            .unwrap_or_default()
    }

    pub(super) fn observe(&self, step: &Step) -> Result<Observation> {
        let folder = self
            .work
            .join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir_all(&folder).map_err(|source| Error::file("create", &folder, source))?;
        let seen = match (&step.destination, step.act) {
            (None, _) => boot::observe(self, step, &folder),
            (Some(destination), Act::Plain) => migrate::observe(self, step, destination, &folder),
            (Some(destination), Act::Convert) => convert::observe(self, step, destination, &folder),
            (Some(destination), Act::Overwrite { from_start }) => {
                overwrite::observe(self, step, destination, from_start, &folder)
            }
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
        let mut machine = Machine::bare(Arch::X86_64);
        machine.machine.clone_from(&side.machine);
        if let Some((program, _)) = self.programs.get(qemu) {
            machine.emulator = Emulator {
                program: program.clone(),
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
        let mut bytes = fs::read(&from).map_err(|source| Error::file("read", &from, source))?;
        match image.change {
            Some(Change::Qcow2) => {
                let status = Command::new("qemu-img")
                    .args(["convert", "-O", "qcow2"])
                    .args([&from, to])
                    .status()
                    .map_err(|source| Error::file("start", Path::new("qemu-img"), source))?;
                if !status.success() {
                    let source = std::io::Error::other(format!("qemu-img ended with {status}"));
                    return Err(Error::file("convert", &from, source));
                }
                return Ok(to.to_owned());
            }
            Some(change) => apply(change, &mut bytes),
            None => {}
        }
        fs::write(to, bytes).map_err(|source| Error::file("write", to, source))?;
        Ok(to.to_owned())
    }
}

/// Changes a copy's bytes; offsets as in edk2 `OvmfPkg/Include/Fdf/VarStore.fdf.inc`.
pub(crate) fn apply(change: Change, bytes: &mut Vec<u8>) {
    let ftw_offset = if bytes.len() == 0x2_0000 { 0xf000 } else { 0x4_1000 };
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
        Change::Qcow2 => {}
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
        if fresh.contains("!!!! ") {
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

/// What a QEMU program says that its version is.
fn version_of(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("-version")
        .output()
        .map_err(|source| Error::file("start", program, source))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1)
        .map(str::to_owned);
    version.ok_or_else(|| {
        Error::file(
            "use",
            program,
            std::io::Error::other("it does not answer -version as QEMU does"),
        )
    })
}

/// A failure of the lab, as an error of this crate.
pub(super) fn lab(error: fm_lab::Error) -> Error {
    Error::Lab(error)
}
