//! What follows RAM: device sections, cut at the lengths that the stream's own JSON description gives.
//!
//! A device section does not say how long it is, and the description comes last, so the bytes are kept until
//! it is there. It is found by its place: an end mark, its own length, and a text that accounts for every
//! section before it. So the end of the stream is known also where more bytes follow: volumes are larger than
//! what was written to them. Source: QEMU `migration/savevm.c:qemu_savevm_state_complete_precopy`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use zerocopy::big_endian::U32;

use super::description::Description;
use super::field::{text, unexpected};
use fm_formats::{Error, Reader, Result};

/// Device sections and description of real guests take 0.1 to 20 MB.
pub(super) const MAX_BYTES: usize = 24 << 20;

const END_OF_STREAM: u8 = 0;
const FULL: u8 = 4;
const DESCRIPTION: u8 = 6;
const FOOTER: u8 = 0x7e;
/// End mark, type and length of the description.
const HEADER_BYTES: usize = 6;

/// One device section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// QEMU's name of it.
    pub name: String,
    /// Which of several.
    pub instance: u32,
    /// Version of its state.
    pub version: u32,
    /// How long its state is.
    pub size_bytes: u64,
    /// Where its section starts.
    pub offset: u64,
    /// Its state, of a device that is looked into: [`uefi_variables`](super::uefi_variables) reads those of `uefi-vars`.
    pub state: Option<Vec<u8>>,
}

/// The bytes from the first device section on.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    /// How many bytes there were in all: what exceeds the limit is not kept.
    total_bytes: u64,
    /// Where the search for a description goes on.
    searched: usize,
    /// What looks like one: where its end mark and its own end lie.
    pending: Option<(usize, usize)>,
    /// How much of that is known to hold no zero byte.
    clean: usize,
    /// Why the last text that was a description did not account for the sections; else why it was none.
    misfit: Option<Error>,
    no_json: Option<Error>,
    pub(super) devices: Vec<Device>,
    pub(super) page_size_bytes: Option<u64>,
}

impl Tail {
    /// Takes the next bytes and tells how long the tail is, once its end was seen.
    pub(super) fn push(&mut self, bytes: &[u8], offset: u64) -> Option<usize> {
        self.total_bytes = self.total_bytes.saturating_add(bytes.len() as u64);
        let room = MAX_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        loop {
            let Some((at, end)) = self.pending else {
                let rest = self.bytes.get(self.searched..).unwrap_or(&[]);
                let Some(found) = find_header(rest) else {
                    // A header may be cut by the end of the piece.
                    let cut = self.bytes.len().saturating_sub(HEADER_BYTES);
                    self.searched = self.searched.max(cut);
                    return None;
                };
                let at = self.searched.saturating_add(found);
                let text = at.saturating_add(HEADER_BYTES);
                let len = Reader::new(self.bytes.get(at.saturating_add(2)..).unwrap_or(&[]))
                    .raw::<U32>("description length")
                    .map_or(0, |len| len.get() as usize);
                self.pending = Some((at, text.saturating_add(len)));
                self.clean = text;
                self.searched = at.saturating_add(1);
                continue;
            };
            let here = self.bytes.len().min(end);
            let new = self.bytes.get(self.clean..here).unwrap_or(&[]);
            // There is no zero byte in JSON, but there is one at the start of every description.
            if new.contains(&0) {
                self.pending = None;
            } else if here < end {
                self.clean = self.clean.max(here);
                return None;
            } else {
                self.pending = None;
                if self.settle(at, end, offset) {
                    self.bytes = Vec::new();
                    return Some(end);
                }
            }
        }
    }

    /// Whether the text that ends at `end` is the description of what is before its end mark at `at`.
    fn settle(&mut self, at: usize, end: usize, offset: u64) -> bool {
        let from = at.saturating_add(HEADER_BYTES);
        let json = self.bytes.get(from..end).unwrap_or(&[]);
        let description = match Description::parse(json, offset.saturating_add(from as u64)) {
            Ok(description) => description,
            Err(error) => {
                self.no_json = Some(error);
                return false;
            }
        };
        self.devices.clear();
        self.page_size_bytes = description.page_size_bytes;
        let sections = self.bytes.get(..at).unwrap_or(&[]);
        match walk(sections, offset, &description, &mut self.devices) {
            Ok(()) => true,
            Err(error) => {
                self.misfit = Some(error);
                false
            }
        }
    }

    /// Says that no more bytes come, and no description was found. A stream without one ends with the last
    /// footer and the end mark; nothing tells whether that is by chance.
    pub(super) fn finish(&mut self, offset: u64) -> Result<()> {
        if self.total_bytes > self.bytes.len() as u64 {
            return Err(Error::Limit {
                what: "device sections in bytes",
                offset,
                limit: MAX_BYTES as u64,
            });
        }
        if let Some(error) = self.misfit.take() {
            return Err(error);
        }
        if ends_with_a_footer(&self.bytes) {
            return Ok(());
        }
        if let Some((at, end)) = self.pending {
            let from = at.saturating_add(HEADER_BYTES);
            return Err(Error::Truncated {
                field: "JSON description",
                offset: offset.saturating_add(from as u64),
                needed_bytes: end.saturating_sub(from) as u64,
                available_bytes: self.bytes.len().saturating_sub(from) as u64,
            });
        }
        Err(self.no_json.take().unwrap_or(Error::Truncated {
            field: "device sections",
            offset: offset.saturating_add(self.total_bytes),
            needed_bytes: 1,
            available_bytes: 0,
        }))
    }
}

/// Where something that looks like the start of a description lies.
fn find_header(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(HEADER_BYTES.saturating_add(1))
        .position(|window| matches!(window, [END_OF_STREAM, DESCRIPTION, _, _, _, _, b'{']))
}

/// Whether the bytes end as the sections of a stream without description do: with a footer and an end mark.
/// Behind it there may be zeros: a volume is larger than what was written to it.
fn ends_with_a_footer(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let used = bytes.len().saturating_sub(zeros);
    if used == 0 {
        return zeros > 0;
    }
    // The last bytes of the section id may be zero as well, or all four of them.
    (1..=5usize).any(|back| {
        used.checked_sub(back)
            .is_some_and(|at| bytes.get(at) == Some(&FOOTER) && at.saturating_add(5) < bytes.len())
    })
}

/// Walks the sections before the end mark by the lengths described.
fn walk(bytes: &[u8], offset: u64, description: &Description, devices: &mut Vec<Device>) -> Result<()> {
    let mut reader = Reader::at(bytes, offset);
    let mut described = description.devices.iter();
    while !reader.is_empty() {
        let at = reader.offset();
        let wrong = |found: String, expected: &str| Err(unexpected("device section", at, found, expected));
        let kind = *reader.raw::<u8>("section type")?;
        if kind != FULL {
            return wrong(format!("type {kind:#04x}"), "a full device section (0x04)");
        }
        let id = reader.raw::<U32>("section id")?.get();
        let len = *reader.raw::<u8>("section name length")?;
        let name = text(reader.bytes(len.into(), "section name")?);
        let instance = reader.raw::<U32>("section instance")?.get();
        let version = reader.raw::<U32>("section version")?.get();
        // The description lists devices in the order in which they were saved.
        let Some(device) = described.find(|device| device.name == name && device.instance == instance) else {
            return wrong(
                format!("{name:?} instance {instance}"),
                "a device of the description",
            );
        };
        let size_bytes = device.size_bytes;
        let state = reader.bytes(usize::try_from(size_bytes).unwrap_or(usize::MAX), "device state")?;
        let state = name.starts_with(super::uefi_vars::NAME).then(|| state.to_vec());
        let footer_at = reader.offset();
        let footer = *reader.raw::<u8>("section footer")?;
        let footer_id = reader.raw::<U32>("section id in footer")?.get();
        if footer != FOOTER || footer_id != id {
            return Err(unexpected(
                "section footer",
                footer_at,
                format_args!("{footer:#04x}, section {footer_id}"),
                format!("0x7e, section {id}, the end of {name:?}"),
            ));
        }
        devices.push(Device {
            name,
            instance,
            version,
            size_bytes,
            offset: at,
            state,
        });
    }
    Ok(())
}
