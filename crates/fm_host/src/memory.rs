//! A running guest's memory: its RAM blocks, its flash, its ROMs, read without pausing or asking it.

mod ramlist;
mod reading;
mod settle;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use fm_formats::image::MAX_FLASH_BYTES;
use fm_formats::{Guid, Reader, Sha256};
use sha2::Digest as _;

use crate::Error;
use crate::process::{Mapping, Process};
use reading::Memory;

/// Small enough to stay in a core's cache while it is compared.
const CHUNK_BYTES: usize = 64 << 10;
/// Option ROMs are at most 16 MiB by the PCI specification's expansion ROM register.
const MAX_ROM_BYTES: u64 = 16 << 20;
/// `gEfiSystemNvDataFvGuid` (edk2 `MdeModulePkg/Include/Guid/SystemNvDataGuid.h`): the volume of VARS.
const NV_DATA_VOLUME: Guid = Guid::literal("fff12b8d-7696-4c8b-a985-2747075b4f50");

/// A block of guest memory, by the name that the migration stream knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamBlock {
    /// QEMU's name: `system.flash0`, `0000:00:02.0/virtio-net-pci.rom`.
    pub name: String,
    /// Where it lies in the process.
    pub address: u64,
    /// Its length in use: what a migration stream declares.
    pub used_bytes: u64,
    /// The length it may grow to.
    pub max_bytes: u64,
}

impl RamBlock {
    /// The flash unit that it holds.
    #[must_use]
    pub fn flash_unit(&self) -> Option<u32> {
        self.name.rsplit_once(".flash")?.1.parse().ok()
    }

    /// Whether it holds a ROM that came from a file: an option ROM, or firmware outside flash.
    /// `pc.rom` is none (shadow memory), nor are the tables that QEMU makes up (`/rom@…`).
    #[must_use]
    pub fn is_rom(&self) -> bool {
        let option_rom =
            self.name.contains('/') && !self.name.starts_with('/') && self.name.ends_with(".rom");
        option_rom || matches!(self.name.as_str(), "pc.bios" | "isa-bios")
    }
}

/// An open view of a guest's memory.
#[derive(Debug)]
pub struct GuestMemory {
    pid: u32,
    memory: Memory,
    mappings: Vec<Mapping>,
    blocks: Vec<RamBlock>,
    machine: Option<String>,
}

/// A stretch of a guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where it lies in the process.
    pub address: u64,
    /// Its length.
    pub len_bytes: u64,
}

impl From<&RamBlock> for Region {
    fn from(block: &RamBlock) -> Self {
        Self {
            address: block.address,
            len_bytes: block.used_bytes,
        }
    }
}

impl GuestMemory {
    /// Opens the memory of `process` and finds QEMU's list of blocks in it.
    ///
    /// # Errors
    /// The kernel's answer, such as a missing permission.
    pub fn open(process: &Process) -> Result<Self, Error> {
        let mappings = process.mappings()?;
        let memory = Memory::open(process)?;
        let (blocks, machine) = ramlist::read(&memory, &mappings);
        Ok(Self {
            pid: process.pid(),
            memory,
            mappings,
            blocks,
            machine,
        })
    }

    /// The RAM blocks in QEMU's order; empty if its list was not found.
    #[must_use]
    pub fn blocks(&self) -> &[RamBlock] {
        &self.blocks
    }

    /// The machine type's full name, as the running QEMU has it.
    #[must_use]
    pub fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    /// Where flash `unit` lies: by its block's name, otherwise the mapping of exactly `len_bytes` that
    /// holds the right volume. `file` is what the unit was made from, for telling blank stores apart.
    ///
    /// # Errors
    /// In words, why it was not found; the caller knows the guest's name.
    pub fn flash(&self, unit: u32, len_bytes: Option<u64>, file: Option<&File>) -> Result<Region, String> {
        let named = self.blocks.iter().find(|block| block.flash_unit() == Some(unit));
        if let Some(block) = named.filter(|block| block.used_bytes <= MAX_FLASH_BYTES) {
            return Ok(block.into());
        }
        let Some(len_bytes) = len_bytes.filter(|len_bytes| (1..=MAX_FLASH_BYTES).contains(len_bytes)) else {
            return Err("its size is not known".to_owned());
        };
        let candidates = self.candidates(len_bytes);
        let mut fitting: Vec<Region> = candidates
            .iter()
            .copied()
            .filter(|region| self.volume_is_nv(*region) == Some(unit == 1))
            .collect();
        if let (true, Some(file)) = (fitting.is_empty(), file) {
            // a blank store holds no volume, but is what its file is
            fitting = candidates.clone();
            fitting.retain(|region| self.equals(*region, file).unwrap_or(false));
        }
        match fitting.as_slice() {
            [] => Err(format!(
                "{} mappings have its size of {len_bytes} bytes, none holds its content",
                candidates.len()
            )),
            [region] => Ok(*region),
            [first, others @ ..] => {
                let digest = self.digest(*first).ok();
                let all_same = others.iter().all(|region| self.digest(*region).ok() == digest);
                if all_same {
                    Ok(*first)
                } else {
                    Err(format!("{} mappings look like it and differ", fitting.len()))
                }
            }
        }
    }

    /// The mappings that could be a block of `len_bytes`: exactly that long, or ending at QEMU's guard
    /// page and merged by the kernel with what lies below.
    fn candidates(&self, len_bytes: u64) -> Vec<Region> {
        let mut candidates = Vec::new();
        for (index, mapping) in self.mappings.iter().enumerate() {
            if !mapping.may_hold_ram() || mapping.len_bytes() < len_bytes {
                continue;
            }
            let next = self.mappings.get(index.saturating_add(1));
            let guarded = next.is_some_and(|next| next.guard && next.start == mapping.end);
            if mapping.len_bytes() == len_bytes || guarded {
                candidates.push(Region {
                    address: mapping.end.saturating_sub(len_bytes),
                    len_bytes,
                });
            }
        }
        candidates
    }

    /// As the function of that name, for the start of `region`.
    fn volume_is_nv(&self, region: Region) -> Option<bool> {
        let mut header = [0; 48];
        self.memory.read_exact_at(&mut header, region.address).ok()?;
        volume_is_nv(&header)
    }

    /// The first `len_bytes` of `region` (all of it if it is shorter) as they were at one instant, or
    /// nothing if the guest wrote all the time.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn read(&self, region: Region, len_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let len_bytes = region.len_bytes.min(len_bytes).min(MAX_FLASH_BYTES);
        settle::read(
            &self.memory,
            region.address,
            usize::try_from(len_bytes).unwrap_or(0),
        )
        .map_err(|source| self.error(source))
    }

    /// The digest of `region`, read in pieces: for memory that the guest cannot write.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn digest(&self, region: Region) -> Result<Sha256, Error> {
        let mut hasher = sha2::Sha256::new();
        self.walk(region, |_, bytes| {
            hasher.update(bytes);
            true
        })?;
        Ok(Sha256::from_bytes(hasher.finalize().into()))
    }

    /// The same for memory that the guest may write, or nothing if it wrote all the time. Two readings in a
    /// row that agree mean that every byte was so when the first had ended.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn settled_digest(&self, region: Region) -> Result<Option<Sha256>, Error> {
        let mut before = self.digest(region)?;
        for _ in 1..MAX_DIGEST_COUNT {
            let now = self.digest(region)?;
            if now == before {
                return Ok(Some(now));
            }
            before = now;
        }
        Ok(None)
    }

    /// As if QEMU's list of blocks had not been found, for tests of what is then done instead.
    #[doc(hidden)]
    #[must_use]
    pub fn without_blocks(mut self) -> Self {
        self.blocks.clear();
        self.machine = None;
        self
    }

    /// Whether `region` and the whole of `file` are the same bytes.
    ///
    /// # Errors
    /// The kernel's answer about the memory; a file that cannot be read is not the same.
    pub fn equals(&self, region: Region, file: &File) -> Result<bool, Error> {
        if file.metadata().map(|status| status.len()).ok() != Some(region.len_bytes) {
            return Ok(false);
        }
        let mut theirs = vec![0; CHUNK_BYTES];
        let mut same = true;
        self.walk(region, |offset, bytes| {
            let theirs = theirs.get_mut(..bytes.len()).unwrap_or_default();
            same = file.read_exact_at(theirs, offset).is_ok() && theirs == bytes;
            same
        })?;
        Ok(same)
    }

    /// Whether `region` holds exactly `bytes`.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn equals_bytes(&self, region: Region, bytes: &[u8]) -> Result<bool, Error> {
        if bytes.len() as u64 != region.len_bytes {
            return Ok(false);
        }
        let mut same = true;
        self.walk(region, |offset, theirs| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let ours = bytes.get(offset..offset.saturating_add(theirs.len()));
            same = ours == Some(theirs);
            same
        })?;
        Ok(same)
    }

    /// Option ROMs and other ROMs from files. Without QEMU's list there are no names to give.
    pub fn roms(&self) -> impl Iterator<Item = &RamBlock> {
        self.blocks
            .iter()
            .filter(|block| block.is_rom() && block.used_bytes <= MAX_ROM_BYTES)
    }

    fn walk(&self, region: Region, mut each: impl FnMut(u64, &[u8]) -> bool) -> Result<(), Error> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < region.len_bytes {
            let wanted = region.len_bytes.saturating_sub(offset).min(CHUNK_BYTES as u64) as usize;
            let bytes = chunk.get_mut(..wanted).unwrap_or_default();
            self.memory
                .read_exact_at(bytes, region.address.saturating_add(offset))
                .map_err(|source| self.error(source))?;
            if !each(offset, bytes) {
                break;
            }
            offset = offset.saturating_add(wanted as u64);
        }
        Ok(())
    }

    /// Memory of a process that is ending reads as nothing at all.
    fn error(&self, source: io::Error) -> Error {
        let pid = self.pid;
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::Gone { pid },
            io::ErrorKind::WouldBlock => Error::Arriving { pid },
            _ => Error::proc(pid, "the memory", source),
        }
    }
}

/// Whether the volume that starts so is a variable store's; nothing if it is no volume.
pub(crate) fn volume_is_nv(header: &[u8; 48]) -> Option<bool> {
    let mut reader = Reader::new(header);
    reader.seek(16, "file system").ok()?;
    let kind = Guid::from_bytes(*reader.raw::<[u8; 16]>("file system").ok()?);
    reader.seek(40, "signature").ok()?;
    let signature = reader.bytes(4, "signature").ok()?;
    (signature == b"_FVH").then_some(kind == NV_DATA_VOLUME)
}

/// How often flash is hashed until it holds still: firmware writes to it at boot and for variables, not on end.
pub(crate) const MAX_DIGEST_COUNT: u32 = 16;
/// How often a settled reading is tried, for the error that says so.
pub(crate) const MAX_READING_COUNT: u32 = settle::MAX_READING_COUNT;

#[cfg(test)]
mod tests {
    use super::*;

    const LEN_BYTES: u64 = 0x4000;

    /// A process without a list of blocks: these stretches of memory, a guard page behind each.
    fn process(stretches: &[(u64, Vec<u8>)]) -> GuestMemory {
        let file = tempfile::tempfile().unwrap();
        let mut mappings = Vec::new();
        for (start, bytes) in stretches {
            file.write_all_at(bytes, *start).unwrap();
            let end = start + bytes.len() as u64;
            let mapping = |start, end, guard: bool| Mapping {
                start,
                end,
                read_write: !guard,
                guard,
                name: String::new(),
            };
            mappings.push(mapping(*start, end, false));
            mappings.push(mapping(end, end + 0x1000, true));
        }
        GuestMemory {
            pid: 1,
            memory: Memory::from(file),
            mappings,
            blocks: Vec::new(),
            machine: None,
        }
    }

    fn volume(kind: Guid, fill: u8) -> Vec<u8> {
        let mut bytes = vec![fill; LEN_BYTES as usize];
        bytes[..16].fill(0);
        bytes[16..32].copy_from_slice(&kind.to_bytes());
        bytes[40..44].copy_from_slice(b"_FVH");
        bytes
    }

    fn code(fill: u8) -> Vec<u8> {
        volume(Guid::literal("8c8ce578-8a3d-4f1c-9935-896185c32dd3"), fill)
    }

    fn found(memory: &GuestMemory, unit: u32, file: Option<&File>) -> Result<u64, String> {
        memory
            .flash(unit, Some(LEN_BYTES), file)
            .map(|region| region.address)
    }

    #[test]
    fn units_of_one_size_are_told_apart_by_their_volumes() {
        let memory = process(&[
            (0x10_0000, vec![0x5a; LEN_BYTES as usize]),
            (0x20_0000, volume(NV_DATA_VOLUME, 0xff)),
            (0x30_0000, code(1)),
        ]);
        assert_eq!(found(&memory, 0, None), Ok(0x30_0000));
        assert_eq!(found(&memory, 1, None), Ok(0x20_0000));
    }

    #[test]
    fn what_the_kernel_merged_with_the_memory_below_is_found_at_its_end() {
        let mut merged = vec![7; 0x9000];
        merged.extend(code(1));
        let memory = process(&[(0x10_0000, merged)]);
        assert_eq!(found(&memory, 0, None), Ok(0x10_9000));
    }

    #[test]
    fn a_blank_store_is_the_one_that_is_as_its_file() {
        let memory = process(&[
            (0x10_0000, vec![0xff; LEN_BYTES as usize]),
            (0x20_0000, vec![0; LEN_BYTES as usize]),
            (0x30_0000, code(1)),
        ]);
        let file = tempfile::tempfile().unwrap();
        file.set_len(LEN_BYTES).unwrap();
        assert_eq!(found(&memory, 1, Some(&file)), Ok(0x20_0000));
        let why = found(&memory, 1, None).unwrap_err();
        assert_eq!(
            why,
            "3 mappings have its size of 16384 bytes, none holds its content"
        );
    }

    #[test]
    fn two_that_fit_are_one_build_or_not_known() {
        let same = process(&[(0x10_0000, code(1)), (0x20_0000, code(1))]);
        assert_eq!(found(&same, 0, None), Ok(0x10_0000));
        let differing = process(&[(0x10_0000, code(1)), (0x20_0000, code(2))]);
        let why = found(&differing, 0, None).unwrap_err();
        assert_eq!(why, "2 mappings look like it and differ");
    }

    #[test]
    fn a_size_that_no_flash_has_is_not_looked_for() {
        let memory = process(&[(0x10_0000, code(1))]);
        for len_bytes in [None, Some(0), Some(MAX_FLASH_BYTES + 1)] {
            assert_eq!(
                memory.flash(0, len_bytes, None),
                Err("its size is not known".to_owned())
            );
        }
    }

    #[test]
    fn a_digest_settles_on_memory_that_holds_still() {
        let memory = process(&[(0x10_0000, code(1))]);
        let region = memory.flash(0, Some(LEN_BYTES), None).unwrap();
        assert_eq!(memory.settled_digest(region).unwrap(), Some(Sha256::of(&code(1))));
    }
}
