//! What the headers of a PE/COFF or TE image say of it.

use alloc::format;
use alloc::string::String;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::arch::Arch;
use crate::{Error, Reader, Result};

/// Header facts of an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeFacts {
    /// `PE32`, `PE32+` or `TE`.
    pub format: &'static str,
    /// `IMAGE_FILE_MACHINE_*`.
    pub machine: u16,
    /// `IMAGE_SUBSYSTEM_*`.
    pub subsystem: u16,
    /// Entry point, from the image's base.
    pub entry: u32,
    /// Size once loaded; zero in a TE image, whose header does not say.
    pub image_len_bytes: u32,
    /// The address it was linked for.
    pub image_base: u64,
    /// How many sections.
    pub sections: u16,
    /// Path of the file with debug symbols, as the linker wrote it.
    pub debug_path: Option<String>,
}

/// TE header (PI 1.8, volume 1, 15.1).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTeHeader {
    signature: [u8; 2],
    machine: U16,
    sections: u8,
    subsystem: u8,
    stripped_len_bytes: U16,
    entry: U32,
    code_base: U32,
    image_base: U64,
    directories: [[U32; 2]; 2],
}
const _: () = assert!(size_of::<RawTeHeader>() == 40);

/// COFF file header (PE format, revision 11).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawCoffHeader {
    machine: U16,
    sections: U16,
    timestamp: U32,
    symbols: [U32; 2],
    optional_len_bytes: U16,
    characteristics: U16,
}
const _: () = assert!(size_of::<RawCoffHeader>() == 20);

/// `IMAGE_SECTION_HEADER`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPeSection {
    name: [u8; 8],
    virtual_len_bytes: U32,
    virtual_address: U32,
    raw_len_bytes: U32,
    raw_offset: U32,
    rest: [u8; 16],
}
const _: () = assert!(size_of::<RawPeSection>() == 40);

impl PeFacts {
    /// Reads the headers of the image in `body`, which lies at `offset`.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Unexpected`] if these are no headers of an executable.
    pub fn parse(body: &[u8], offset: u64) -> Result<Self> {
        let mut reader = Reader::at(body, offset);
        match body.get(..2) {
            Some(b"VZ") => Self::te(&mut reader),
            Some(b"MZ") => {
                reader.seek(60, "offset of the PE header")?;
                let at = reader.raw::<U32>("offset of the PE header")?.get();
                reader.seek(usize::try_from(at).unwrap_or(usize::MAX), "PE header")?;
                Self::pe(&mut reader)
            }
            Some(b"PE") => Self::pe(&mut reader),
            _ => Err(unexpected(offset, body.get(..2).unwrap_or(&[]), "MZ, PE or VZ")),
        }
    }

    /// The architecture, if it is one that UEFI runs on.
    #[must_use]
    pub const fn arch(&self) -> Option<Arch> {
        Arch::of_pe_machine(self.machine)
    }

    fn te(reader: &mut Reader<'_>) -> Result<Self> {
        let raw: &RawTeHeader = reader.raw("TE header")?;
        let debug = raw
            .directories
            .get(1)
            .map_or((0, 0), |[at, len]| (at.get(), len.get()));
        // Addresses count from the start of the PE image, of which this many bytes were cut.
        let stripped = u32::from(raw.stripped_len_bytes.get()).saturating_sub(40);
        let all = reader.all();
        Ok(Self {
            format: "TE",
            machine: raw.machine.get(),
            subsystem: u16::from(raw.subsystem),
            entry: raw.entry.get(),
            image_len_bytes: 0,
            image_base: raw.image_base.get(),
            sections: u16::from(raw.sections),
            debug_path: debug_path(all, debug.0.checked_sub(stripped), |at| at.checked_sub(stripped)),
        })
    }

    fn pe(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.offset();
        let signature = reader.bytes(4, "PE signature")?;
        if signature != b"PE\0\0" {
            return Err(unexpected(at, signature, "PE\\0\\0"));
        }
        let coff: &RawCoffHeader = reader.raw("COFF header")?;
        let at = reader.offset();
        let mut optional = reader.sub(usize::from(coff.optional_len_bytes.get()), "PE optional header")?;
        let start = optional.clone();
        let plus = match optional.raw::<U16>("PE optional header magic")?.get() {
            0x10b => false,
            0x20b => true,
            other => return Err(unexpected(at, &other.to_le_bytes(), "0x10b or 0x20b")),
        };
        let u32_at = |position: usize| -> Result<u32> {
            let mut field = start.clone();
            field.seek(position, "PE optional header")?;
            Ok(field.raw::<U32>("PE optional header")?.get())
        };
        let image_base = if plus {
            u64::from(u32_at(28)?) << 32 | u64::from(u32_at(24)?)
        } else {
            u64::from(u32_at(28)?)
        };
        // The seventh of the data directories, which start at 112 or 96.
        let debug = u32_at(if plus { 160 } else { 144 }).unwrap_or(0);
        let mut sections = reader.clone();
        let to_file = move |address: u32| -> Option<u32> {
            for _ in 0..coff.sections.get() {
                let section: &RawPeSection = sections.raw("section header").ok()?;
                let within = address.checked_sub(section.virtual_address.get());
                if let Some(within) = within.filter(|within| *within < section.raw_len_bytes.get()) {
                    return section.raw_offset.get().checked_add(within);
                }
            }
            Some(address)
        };
        let mut for_directory = to_file.clone();
        let all = reader.all();
        let directory = if debug == 0 { None } else { for_directory(debug) };
        Ok(Self {
            format: if plus { "PE32+" } else { "PE32" },
            machine: coff.machine.get(),
            subsystem: u16::try_from(u32_at(68)? & 0xffff).unwrap_or(0),
            entry: u32_at(16)?,
            image_len_bytes: u32_at(56)?,
            image_base,
            sections: coff.sections.get(),
            debug_path: debug_path(all, directory, to_file),
        })
    }
}

/// The path in the CodeView record that the debug directory at `directory` points to.
fn debug_path(
    image: &[u8],
    directory: Option<u32>,
    mut to_file: impl FnMut(u32) -> Option<u32>,
) -> Option<String> {
    let mut reader = Reader::new(image);
    reader
        .seek(usize::try_from(directory?).ok()?, "debug directory")
        .ok()?;
    reader.bytes(12, "debug directory").ok()?;
    if reader.raw::<U32>("debug type").ok()?.get() != 2 {
        return None;
    }
    reader.raw::<U32>("debug size").ok()?;
    let address = reader.raw::<U32>("debug address").ok()?.get();
    let pointer = reader.raw::<U32>("debug pointer").ok()?.get();
    // Genfw fills in the address; the file pointer of a TE image is relative to the original PE.
    let at = if address != 0 { to_file(address)? } else { pointer };
    reader.seek(usize::try_from(at).ok()?, "CodeView record").ok()?;
    let text = match reader.bytes(4, "CodeView signature").ok()? {
        b"NB10" => reader.bytes(12, "NB10 record").ok()?,
        b"RSDS" => reader.bytes(20, "RSDS record").ok()?,
        b"MTOC" => reader.bytes(16, "MTOC record").ok()?,
        _ => return None,
    };
    let _ = text;
    let path = reader.rest().split(|byte| *byte == 0).next()?;
    let path = core::str::from_utf8(path.get(..path.len().min(512))?).ok()?;
    (!path.is_empty() && !path.contains(char::is_control)).then(|| path.into())
}

fn unexpected(offset: u64, found: &[u8], expected: &str) -> Error {
    Error::Unexpected {
        field: "executable's signature",
        offset,
        found: format!("{found:02x?}"),
        expected: expected.into(),
    }
}
