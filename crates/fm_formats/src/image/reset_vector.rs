//! The GUIDed table below the reset vector: what the firmware tells a VMM of confidential guests.
//!
//! Sources: edk2 `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.nasm.inc` (the table),
//! `OvmfPkg/ResetVector/X64/{OvmfSevMetadata,IntelTdxMetadata,IgvmMetadata}.nasm.inc` (what it points to).

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::{Error, Guid, Reader, Result};

/// From the end of the image to the end of the table's footer.
const FOOTER_END: usize = 0x20;
const FOOTER: Guid = Guid::literal("96b582de-1fb2-45f7-baea-a366c55a082d");
/// Bytes of length and GUID behind each entry's data.
const TAIL: usize = 18;

/// Metadata sections read; OVMF has about ten, and no VMM takes as many.
const MAX_SECTION_COUNT: u32 = 256;

/// What the table holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResetVector {
    /// Its entries, the last in memory first.
    pub entries: Vec<Entry>,
    /// Memory that a VMM prepares or fills, as the metadata lists it.
    pub ranges: Vec<Range>,
    /// What could not be read.
    pub damages: Vec<Error>,
}

/// One entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub guid: Guid,
    /// Where its data lies in the image.
    pub offset: usize,
    /// Its data.
    pub data: Vec<u8>,
}

/// Which technology a range is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Technology {
    /// AMD SEV and SEV-ES.
    Sev,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
    /// An IGVM file's parameters.
    Igvm,
}

/// A range of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Who reads it.
    pub technology: Technology,
    /// What it is for.
    pub purpose: &'static str,
    /// The purpose's number.
    pub kind: u32,
    /// Guest-physical address; of IGVM parameters, an offset in their area.
    pub base: u64,
    /// Its length.
    pub len_bytes: u64,
    /// Where in the flash (VARS and CODE together) its content comes from: offset and length.
    pub from_flash: Option<(u32, u32)>,
    /// Whether the launch measurement covers its content, whatever options the guest has. SEV-SNP's covers place and
    /// type of each of its ranges and the content of none; of the kernel hashes it does with `kernel-hashes=on`.
    pub measured: bool,
}

impl Entry {
    /// OVMF metadata for SEV-SNP.
    pub const SEV_METADATA: Guid = Guid::literal("dc886566-984a-4798-a75e-5585a7bf67cc");
    /// Metadata for TDX.
    pub const TDX_METADATA: Guid = Guid::literal("e47a6535-984a-4798-865e-4685a7bf8ec2");
    /// Metadata for IGVM parameters.
    pub const IGVM_METADATA: Guid = Guid::literal("784fa70e-3176-4677-8a20-04b68699e374");
    /// Where the VMM puts digests of kernel, initrd and command line.
    pub const SEV_HASH_TABLE: Guid = Guid::literal("7255371f-3a3b-4b04-927b-1da6efa8d454");
    /// Where the VMM injects a launch secret.
    pub const SEV_SECRET: Guid = Guid::literal("4c2eb361-7d9b-4cc3-8081-127c90d3d294");
    /// Where application processors start under SEV-ES.
    pub const SEV_ES_RESET: Guid = Guid::literal("00f771de-1a7e-4fcb-890e-68c77e2fb44e");

    /// A name for people.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self.guid {
            guid if same(guid, Self::SEV_METADATA) => "SEV-SNP metadata",
            guid if same(guid, Self::TDX_METADATA) => "TDX metadata",
            guid if same(guid, Self::IGVM_METADATA) => "IGVM metadata",
            guid if same(guid, Self::SEV_HASH_TABLE) => "SEV hash table",
            guid if same(guid, Self::SEV_SECRET) => "SEV launch secret",
            guid if same(guid, Self::SEV_ES_RESET) => "SEV-ES reset block",
            _ => return None,
        })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let mut reader = Reader::new(&self.data);
        reader.seek(at, "table entry").ok()?;
        Some(reader.raw::<U32>("table entry").ok()?.get())
    }
}

const fn same(a: Guid, b: Guid) -> bool {
    u128::from_ne_bytes(a.to_bytes()) == u128::from_ne_bytes(b.to_bytes())
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDescriptor {
    signature: [u8; 4],
    len_bytes: U32,
    version: U32,
    sections: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRange {
    base: U32,
    len_bytes: U32,
    kind: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTdxSection {
    flash_offset: U32,
    flash_len_bytes: U32,
    base: U64,
    len_bytes: U64,
    kind: U32,
    attributes: U32,
}

impl ResetVector {
    /// Reads the table of an image whose last byte lies just below 4 GiB; nothing if it has none.
    #[must_use]
    pub fn parse(image: &[u8]) -> Option<Self> {
        let footer_end = image.len().checked_sub(FOOTER_END)?;
        let (len, guid) = tail(image, footer_end)?;
        if guid == Entry::SEV_ES_RESET {
            return Self::before_there_was_a_table(image, footer_end, usize::from(len));
        }
        if guid != FOOTER {
            return None;
        }
        let mut table = Self::default();
        if usize::from(len) < TAIL {
            table.damages.push(Error::Unexpected {
                field: "length of the reset vector table",
                offset: footer_end.saturating_sub(TAIL) as u64,
                found: format!("{len:#x}"),
                expected: format!("{TAIL:#x} or more"),
            });
            return Some(table);
        }
        let start = footer_end.saturating_sub(usize::from(len));
        let mut end = footer_end.saturating_sub(TAIL);
        while end > start {
            let entry = tail(image, end).map(|(len, guid)| (usize::from(len), guid));
            let entry = entry.and_then(|(len, guid)| {
                let at = end.checked_sub(len).filter(|at| *at >= start)?;
                let data = image.get(at..end.checked_sub(TAIL)?)?.to_vec();
                (len >= TAIL).then_some(Entry {
                    guid,
                    offset: at,
                    data,
                })
            });
            let Some(entry) = entry else {
                table.damages.push(Error::Unexpected {
                    field: "length of a reset vector table entry",
                    offset: end.saturating_sub(TAIL) as u64,
                    found: tail(image, end).map_or_else(|| "nothing".into(), |(len, _)| format!("{len:#x}")),
                    expected: format!("{TAIL:#x} to {:#x}", end.saturating_sub(start)),
                });
                break;
            };
            end = entry.offset;
            table.entries.push(entry);
        }
        for (at, entry) in table.entries.clone().into_iter().enumerate() {
            // As VMMs do: of two entries with one GUID the first counts.
            let before = table.entries.get(..at).unwrap_or_default();
            if before.iter().any(|earlier| earlier.guid == entry.guid) {
                continue;
            }
            if let Err(error) = table.follow(image, &entry) {
                table.damages.push(error);
            }
        }
        Some(table)
    }

    /// In builds of 2020 the SEV-ES reset block stands by itself where the table ends in later ones; QEMU reads both
    /// (`target/i386/sev.c`, `sev_es_save_reset_vector`).
    fn before_there_was_a_table(image: &[u8], end: usize, len: usize) -> Option<Self> {
        let at = end.checked_sub(len)?;
        let data = image.get(at..end.checked_sub(TAIL)?)?.to_vec();
        (data.len() >= size_of::<U32>()).then(|| Self {
            entries: vec![Entry {
                guid: Entry::SEV_ES_RESET,
                offset: at,
                data,
            }],
            ..Self::default()
        })
    }

    /// The entry with this GUID.
    #[must_use]
    pub fn entry(&self, guid: Guid) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.guid == guid)
    }

    /// Whether any range is for `technology`.
    #[must_use]
    pub fn has(&self, technology: Technology) -> bool {
        self.ranges.iter().any(|range| range.technology == technology)
    }

    fn follow(&mut self, image: &[u8], entry: &Entry) -> Result<()> {
        match entry.guid {
            Entry::SEV_METADATA => self.plain_ranges(image, entry, *b"ASEV", Technology::SevSnp),
            Entry::IGVM_METADATA => self.plain_ranges(image, entry, *b"IGVM", Technology::Igvm),
            Entry::TDX_METADATA => self.tdx_ranges(image, entry),
            Entry::SEV_HASH_TABLE => {
                self.block(entry, "hashes of kernel, initrd and command line");
                Ok(())
            }
            Entry::SEV_SECRET => {
                self.block(entry, "launch secret");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Base and length in the entry itself; both are zero in builds without the block.
    fn block(&mut self, entry: &Entry, purpose: &'static str) {
        if let (Some(base), Some(len @ 1..)) = (entry.u32_at(0), entry.u32_at(4)) {
            self.ranges.push(Range {
                technology: Technology::Sev,
                purpose,
                kind: 0,
                base: u64::from(base),
                len_bytes: u64::from(len),
                from_flash: None,
                measured: false,
            });
        }
    }

    fn plain_ranges(
        &mut self,
        image: &[u8],
        entry: &Entry,
        signature: [u8; 4],
        technology: Technology,
    ) -> Result<()> {
        let (mut reader, sections) = descriptor::<RawRange>(image, entry, signature)?;
        for _ in 0..sections {
            let raw: &RawRange = reader.raw("metadata section")?;
            let kind = raw.kind.get();
            self.ranges.push(Range {
                technology,
                purpose: match (technology, kind) {
                    (Technology::SevSnp, 1) => "memory to validate before launch",
                    (Technology::SevSnp, 2) => "secrets page",
                    (Technology::SevSnp, 3) => "CPUID page",
                    (Technology::SevSnp, 4) => "SVSM calling area",
                    (Technology::SevSnp, 0x10) => "kernel hashes",
                    (Technology::Igvm, 0x100) => "parameter area",
                    (Technology::Igvm, 0x101) => "memory map",
                    (Technology::Igvm, 0x102) => "number of processors",
                    (Technology::Igvm, 0x200) => "HOB area",
                    _ => "unknown",
                },
                kind,
                base: u64::from(raw.base.get()),
                len_bytes: u64::from(raw.len_bytes.get()),
                from_flash: None,
                measured: false,
            });
        }
        Ok(())
    }

    fn tdx_ranges(&mut self, image: &[u8], entry: &Entry) -> Result<()> {
        let (mut reader, sections) = descriptor::<RawTdxSection>(image, entry, *b"TDVF")?;
        for _ in 0..sections {
            let raw: &RawTdxSection = reader.raw("TDX metadata section")?;
            let kind = raw.kind.get();
            let flash = (raw.flash_offset.get(), raw.flash_len_bytes.get());
            self.ranges.push(Range {
                technology: Technology::Tdx,
                purpose: match kind {
                    0 => "code (BFV)",
                    1 => "variables (CFV)",
                    2 => "TD HOB",
                    3 => "temporary memory",
                    _ => "unknown",
                },
                kind,
                base: raw.base.get(),
                len_bytes: raw.len_bytes.get(),
                from_flash: (flash.1 != 0).then_some(flash),
                measured: raw.attributes.get() & 1 != 0,
            });
        }
        Ok(())
    }
}

/// Length and GUID that end at `end`.
fn tail(image: &[u8], end: usize) -> Option<(u16, Guid)> {
    let mut reader = Reader::new(image.get(..end)?);
    reader.seek(end.checked_sub(TAIL)?, "table entry").ok()?;
    let len = reader.raw::<U16>("table entry length").ok()?.get();
    Some((len, *reader.raw("table entry GUID").ok()?))
}

/// The descriptor that lies as far before the image's end as the entry says, and how many sections follow.
fn descriptor<'a, Section>(image: &'a [u8], entry: &Entry, signature: [u8; 4]) -> Result<(Reader<'a>, u32)> {
    let from_end = entry
        .u32_at(0)
        .and_then(|from_end| usize::try_from(from_end).ok())
        .unwrap_or(0);
    let at = image.len().checked_sub(from_end).unwrap_or(image.len());
    let mut reader = Reader::new(image);
    reader.seek(at, "metadata descriptor")?;
    let raw: &RawDescriptor = reader.raw("metadata descriptor")?;
    if raw.signature != signature {
        return Err(Error::Unexpected {
            field: "metadata signature",
            offset: at as u64,
            found: format!("{:02x?}", raw.signature),
            expected: format!("{signature:02x?}"),
        });
    }
    let sections = raw.sections.get();
    if sections > MAX_SECTION_COUNT {
        return Err(Error::Limit {
            what: "number of metadata sections",
            offset: at as u64,
            limit: u64::from(MAX_SECTION_COUNT),
        });
    }
    let wrong = |field, offset: usize, found: u32, expected: u64| Error::Unexpected {
        field,
        offset: at.saturating_add(offset) as u64,
        found: format!("{found:#x}"),
        expected: format!("{expected:#x}"),
    };
    let len = (size_of::<Section>() as u64)
        .saturating_mul(u64::from(sections))
        .saturating_add(size_of::<RawDescriptor>() as u64);
    if u64::from(raw.len_bytes.get()) != len {
        return Err(wrong("length of the metadata", 4, raw.len_bytes.get(), len));
    }
    // There is no other yet.
    if raw.version.get() != 1 {
        return Err(wrong("version of the metadata", 8, raw.version.get(), 1));
    }
    Ok((reader, sections))
}
