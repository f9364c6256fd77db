//! One multifd channel: packets of pages beside the main stream, plain or compressed.
//!
//! A compressed channel is one zlib or zstd stream over all its packets, so every packet is decoded,
//! whether its pages are wanted or not. Source: QEMU `migration/multifd.h`, `multifd-zlib.c`, `multifd-zstd.c`.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::field::{text, unexpected};
use super::{Event, Facts, Pages};
use fm_formats::{Error, Reader, Result};

/// The first four bytes of a channel and of each packet.
pub const MAGIC: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
const VERSION: u32 = 1;

const SYNC: u32 = 1;
const COMPRESSION: u32 = 0x1f << 1;
const PLAIN: u32 = 0;
const ZLIB: u32 = 1 << 1;
const ZSTD: u32 = 2 << 1;
const DEVICE_STATE: u32 = 32 << 1;

/// Source: QEMU `migration/multifd.h:MULTIFD_PACKET_SIZE`.
const PACKET_DATA_BYTES: u64 = 512 << 10;
/// QEMU sends levels up to 19 with 8 MiB; level 22 would take 128 MiB.
const MAX_ZSTD_WINDOW: u64 = 32 << 20;

/// `MultiFDInit_t`, 64 bytes.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawInit {
    magic: [u8; 4],
    version: U32,
    uuid: [u8; 16],
    id: u8,
    unused: [u8; 39],
}
const _: () = assert!(size_of::<RawInit>() == 64);

/// `MultiFDPacket_t`, 320 bytes; the offsets of the pages follow. `zero_pages` was unused before 9.0.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPacket {
    magic: [u8; 4],
    version: U32,
    flags: U32,
    pages_alloc: U32,
    normal_pages: U32,
    next_packet_size: U32,
    packet_num: U64,
    zero_pages: U32,
    unused: [u8; 28],
    ramblock: [u8; 256],
}
const _: () = assert!(size_of::<RawPacket>() == 320);

enum Decoder {
    None,
    Zlib(Box<InflateState>),
    Zstd(Box<FrameDecoder>),
}

/// A page that a packet announced and whose bytes have not come yet.
#[derive(Debug, Clone, Copy)]
struct Announced {
    block: usize,
    offset: u64,
    done_bytes: u64,
    stamp: (u64, u64),
    wanted: bool,
}

/// How the pages of a channel are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCompression {
    /// They are not.
    None,
    /// By zlib.
    Zlib,
    /// By zstd.
    Zstd,
}

/// Reads one channel of a capture, after the main stream told the blocks.
pub struct Channel<'f> {
    facts: &'f Facts,
    pages: Vec<Pages>,
    id: Option<u8>,
    rounds: u64,
    packets: u64,
    highest_packet: u64,
    merged: u64,
    /// The init message or packet header that is being gathered.
    unit: Vec<u8>,
    unit_offset: u64,
    offset: u64,
    payload_bytes: u64,
    compression: u32,
    packet: Vec<u8>,
    announced: alloc::collections::VecDeque<Announced>,
    decoder: Decoder,
}

impl core::fmt::Debug for Channel<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<'f> Channel<'f> {
    /// A channel of the capture whose main stream told `facts`.
    #[must_use]
    pub fn new(facts: &'f Facts) -> Self {
        Self {
            facts,
            pages: vec![Pages::default(); facts.blocks.len()],
            id: None,
            rounds: 0,
            packets: 0,
            highest_packet: 0,
            merged: 0,
            unit: Vec::new(),
            unit_offset: 0,
            offset: 0,
            payload_bytes: 0,
            compression: PLAIN,
            packet: Vec::new(),
            announced: alloc::collections::VecDeque::new(),
            decoder: Decoder::None,
        }
    }

    /// The channel's number, once it was seen.
    #[must_use]
    pub fn id(&self) -> Option<u8> {
        self.id
    }

    /// Where the next byte to be pushed lies.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many packets ended a synchronisation; the same in every channel of a capture.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// How many packets there were, and the highest number among them. All channels share one sequence
    /// from 0 on, so together they have one packet more than the highest number; QEMU before 8.0 may number
    /// two packets alike, but then skips a number, and see [`Channel::merged`].
    /// Source: QEMU `migration/multifd.c:multifd_send_sync_main`.
    #[must_use]
    pub fn packets(&self) -> (u64, u64) {
        (self.packets, self.highest_packet)
    }

    /// How many packets held pages and ended a synchronisation as well. QEMU before 8.0 makes such a packet of
    /// two when the synchronisation overtakes pages that are due: the number of those is then given to none, and
    /// at times no second packet follows. Source: QEMU `migration/multifd.c:multifd_send_thread`, v7.2.
    #[must_use]
    pub fn merged(&self) -> u64 {
        self.merged
    }

    /// The compression that its packets use.
    #[must_use]
    pub fn compression(&self) -> PageCompression {
        match self.compression {
            ZLIB => PageCompression::Zlib,
            ZSTD => PageCompression::Zstd,
            _ => PageCompression::None,
        }
    }

    /// Pages of each block that came through this channel, in the order of [`Facts::blocks`].
    #[must_use]
    pub fn pages(&self) -> &[Pages] {
        &self.pages
    }

    /// Takes the next bytes of the channel and hands on pages of wanted blocks, each with its stamp:
    /// how many synchronisations were before it, and the packet's number.
    ///
    /// # Errors
    /// If the bytes are not what a channel holds, with the offset.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        out: &mut impl FnMut(Event<'_>, (u64, u64)) -> Result<()>,
    ) -> Result<()> {
        while !bytes.is_empty() {
            let need = match self.payload_bytes {
                0 => (self.header_bytes()).saturating_sub(self.unit.len() as u64),
                left => left,
            };
            let len = usize::try_from(need).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at(len);
            bytes = rest;
            let start = self.offset;
            self.offset = start.saturating_add(len as u64);
            if self.payload_bytes > 0 {
                self.payload_bytes = self.payload_bytes.saturating_sub(len as u64);
                self.payload(piece, start, out)?;
                continue;
            }
            if self.unit.is_empty() {
                self.unit_offset = start;
            }
            self.unit.extend_from_slice(piece);
            if self.unit.len() as u64 == self.header_bytes() {
                let unit = core::mem::take(&mut self.unit);
                match self.id {
                    None => self.init(&unit)?,
                    Some(_) => self.header(&unit, out)?,
                }
            }
        }
        Ok(())
    }

    /// Says that no more bytes come. QEMU never ends a compressed stream, so this does.
    ///
    /// # Errors
    /// [`Error::Truncated`] if a packet is cut short.
    pub fn finish(&mut self, out: &mut impl FnMut(Event<'_>, (u64, u64)) -> Result<()>) -> Result<()> {
        if matches!(self.decoder, Decoder::Zstd(_)) && self.payload_bytes == 0 {
            // ruzstd holds back as much as later blocks may refer to; an empty last block frees it.
            self.compression = ZSTD;
            self.unzstd(&[1, 0, 0], self.offset, out)?;
        }
        let missing: u64 = self
            .announced
            .iter()
            .map(|page| self.facts.page_size_bytes.saturating_sub(page.done_bytes))
            .fold(0, u64::saturating_add);
        let (field, needed_bytes) = match (self.payload_bytes, self.unit.len() as u64) {
            (0, 0) if missing == 0 && self.id.is_some() => return Ok(()),
            (0, 0) if missing > 0 => ("multifd pages", missing),
            (0, have) => ("multifd packet", self.header_bytes().saturating_sub(have)),
            (left, _) => ("multifd pages", left),
        };
        Err(Error::Truncated {
            field,
            offset: self.offset,
            needed_bytes,
            available_bytes: 0,
        })
    }

    fn header_bytes(&self) -> u64 {
        let pages = PACKET_DATA_BYTES
            .checked_div(self.facts.page_size_bytes)
            .unwrap_or(1);
        match self.id {
            None => size_of::<RawInit>() as u64,
            Some(_) => pages
                .saturating_mul(8)
                .saturating_add(size_of::<RawPacket>() as u64),
        }
    }

    fn init(&mut self, unit: &[u8]) -> Result<()> {
        let mut reader = Reader::at(unit, self.unit_offset);
        let raw = reader.raw::<RawInit>("multifd init")?;
        check(raw.magic, raw.version.get(), self.unit_offset)?;
        self.id = Some(raw.id);
        Ok(())
    }

    fn header(
        &mut self,
        unit: &[u8],
        out: &mut impl FnMut(Event<'_>, (u64, u64)) -> Result<()>,
    ) -> Result<()> {
        let at = self.unit_offset;
        let mut reader = Reader::at(unit, at);
        let raw = reader.raw::<RawPacket>("multifd packet")?;
        check(raw.magic, raw.version.get(), at)?;
        let flags = raw.flags.get();
        let compression = flags & COMPRESSION;
        if flags & !(SYNC | COMPRESSION) != 0 || !matches!(compression, PLAIN | ZLIB | ZSTD) {
            return Err(unexpected(
                "multifd packet flags",
                at.saturating_add(8),
                format_args!("{flags:#x}{}", name_flags(flags)),
                "pages sent plain, by zlib or by zstd",
            ));
        }
        let normal = u64::from(raw.normal_pages.get());
        let zero = u64::from(raw.zero_pages.get());
        let room = reader.remaining() as u64 >> 3;
        if normal.saturating_add(zero) > room {
            return Err(unexpected(
                "multifd page count",
                at.saturating_add(16),
                format_args!("{normal} and {zero} zero pages"),
                format!("at most {room}"),
            ));
        }
        let page_bytes = self.facts.page_size_bytes;
        // A packet without pages repeats the size of the one before (QEMU 7.2): nothing follows it.
        let size = match normal {
            0 => 0,
            _ => u64::from(raw.next_packet_size.get()),
        };
        let whole = normal.saturating_mul(page_bytes);
        let fits = match (compression, normal) {
            (_, 0) => true,
            (PLAIN, _) => size == whole,
            _ => size > 0 && size <= PACKET_DATA_BYTES.saturating_mul(2),
        };
        if !fits {
            return Err(unexpected(
                "multifd payload size",
                at.saturating_add(20),
                size,
                format!("the size of {normal} pages of {page_bytes} bytes"),
            ));
        }
        let stamp = (self.rounds, raw.packet_num.get());
        self.packets = self.packets.saturating_add(1);
        self.highest_packet = self.highest_packet.max(stamp.1);
        if normal.saturating_add(zero) > 0 {
            let (block, wanted) = self.block(&raw.ramblock, at.saturating_add(64))?;
            for index in 0..normal.saturating_add(zero) {
                let offset_at = reader.offset();
                let offset = reader.raw::<U64>("multifd page offset")?.get();
                let size_bytes = self.facts.blocks.get(block).map_or(0, |block| block.size_bytes);
                if offset.checked_add(page_bytes).is_none_or(|end| end > size_bytes) {
                    return Err(unexpected(
                        "multifd page offset",
                        offset_at,
                        format_args!("{offset:#x}"),
                        format!("an offset below {size_bytes:#x}"),
                    ));
                }
                let Some(pages) = self.pages.get_mut(block) else {
                    continue;
                };
                if index < normal {
                    pages.data = pages.data.saturating_add(1);
                    self.announced.push_back(Announced {
                        block,
                        offset,
                        done_bytes: 0,
                        stamp,
                        wanted,
                    });
                } else {
                    pages.zero = pages.zero.saturating_add(1);
                    if wanted {
                        let fill = Event::Fill {
                            block,
                            offset,
                            len_bytes: page_bytes,
                            byte: 0,
                            at: None,
                        };
                        out(fill, stamp)?;
                    }
                }
            }
            if let Some(pages) = self.pages.get_mut(block) {
                let taken = size.saturating_add(unit.len() as u64);
                pages.stream_bytes = pages.stream_bytes.saturating_add(taken);
            }
        }
        if normal > 0 {
            self.compression = compression;
        }
        self.payload_bytes = size;
        if flags & SYNC != 0 {
            self.rounds = self.rounds.saturating_add(1);
            self.merged = self
                .merged
                .saturating_add(u64::from(normal.saturating_add(zero) > 0));
        }
        Ok(())
    }

    fn block(&self, name: &[u8; 256], offset: u64) -> Result<(usize, bool)> {
        let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        self.facts
            .blocks
            .iter()
            .enumerate()
            .find(|(_, block)| block.name.as_bytes() == name)
            .map(|(index, block)| (index, block.wanted))
            .ok_or_else(|| {
                unexpected(
                    "RAM block name",
                    offset,
                    format_args!("{:?}", text(name)),
                    "a block of the main stream's table",
                )
            })
    }

    /// A piece of a packet's pages.
    fn payload(
        &mut self,
        piece: &[u8],
        start: u64,
        out: &mut impl FnMut(Event<'_>, (u64, u64)) -> Result<()>,
    ) -> Result<()> {
        match self.compression {
            ZLIB => self.unzlib(piece, start, out),
            ZSTD => {
                // A packet ends with whole zstd blocks, so it is decoded once it is here.
                self.packet.extend_from_slice(piece);
                if self.payload_bytes > 0 {
                    return Ok(());
                }
                let packet = core::mem::take(&mut self.packet);
                let begin = self.offset.saturating_sub(packet.len() as u64);
                self.unzstd(&packet, begin, out)
            }
            _ => self.plain(piece, start, out),
        }
    }

    fn unzlib(
        &mut self,
        mut piece: &[u8],
        start: u64,
        out: &mut impl FnMut(Event<'_>, (u64, u64)) -> Result<()>,
    ) -> Result<()> {
        if !matches!(self.decoder, Decoder::Zlib(_)) {
            self.decoder = Decoder::Zlib(InflateState::new_boxed(DataFormat::Zlib));
        }
        let mut page = vec![0u8; 32 << 10];
        loop {
            let Decoder::Zlib(state) = &mut self.decoder else {
                return Ok(());
            };
            let result = inflate(state, piece, &mut page, MZFlush::None);
            piece = piece.get(result.bytes_consumed..).unwrap_or(&[]);
            let more = match result.status {
                Ok(MZStatus::Ok) => result.bytes_written == page.len() || !piece.is_empty(),
                Err(MZError::Buf) => false,
                other => {
                    return Err(Error::Decode {
                        algorithm: "zlib",
                        offset: start,
                        why: format!("{other:?}"),
                    });
                }
            };
            let progress = result.bytes_written > 0 || result.bytes_consumed > 0;
            self.plain(page.get(..result.bytes_written).unwrap_or(&[]), start, out)?;
            if !more || !progress {
                return Ok(());
            }
        }
    }

    fn unzstd(
        &mut self,
        packet: &[u8],
        start: u64,
        out: &mut impl FnMut(Event<'_>, (u64, u64)) -> Result<()>,
    ) -> Result<()> {
        let failed = |why: alloc::string::String| Error::Decode {
            algorithm: "zstd",
            offset: start,
            why,
        };
        let mut source = packet;
        if !matches!(self.decoder, Decoder::Zstd(_)) {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(MAX_ZSTD_WINDOW);
            decoder
                .init(&mut source)
                .map_err(|error| failed(format!("{error}")))?;
            self.decoder = Decoder::Zstd(Box::new(decoder));
        }
        while !source.is_empty() {
            let Decoder::Zstd(decoder) = &mut self.decoder else {
                return Ok(());
            };
            if decoder.is_finished() {
                return Err(failed("data behind the end of the frame".into()));
            }
            decoder
                .decode_blocks(&mut source, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|error| failed(format!("{error}")))?;
            let ready = decoder.collect().unwrap_or_default();
            self.plain(&ready, start, out)?;
        }
        Ok(())
    }

    /// Decoded bytes: they belong to the pages that were announced, in that order.
    fn plain(
        &mut self,
        mut bytes: &[u8],
        start: u64,
        out: &mut impl FnMut(Event<'_>, (u64, u64)) -> Result<()>,
    ) -> Result<()> {
        while !bytes.is_empty() {
            let Some(page) = self.announced.front_mut() else {
                return Err(unexpected(
                    "multifd pages",
                    start,
                    format_args!("{} bytes too many", bytes.len()),
                    "as many as the packets announced",
                ));
            };
            let left = self.facts.page_size_bytes.saturating_sub(page.done_bytes);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at(len);
            bytes = rest;
            let event = Event::Data {
                block: page.block,
                offset: page.offset.saturating_add(page.done_bytes),
                bytes: piece,
                at: None,
            };
            page.done_bytes = page.done_bytes.saturating_add(len as u64);
            let Announced {
                stamp,
                wanted,
                done_bytes,
                ..
            } = *page;
            if done_bytes >= self.facts.page_size_bytes {
                self.announced.pop_front();
            }
            if wanted {
                out(event, stamp)?;
            }
        }
        Ok(())
    }
}

fn check(magic: [u8; 4], version: u32, offset: u64) -> Result<()> {
    if magic != MAGIC {
        return Err(unexpected(
            "multifd magic",
            offset,
            format_args!("{magic:02x?}"),
            "11 22 33 44",
        ));
    }
    if version != VERSION {
        return Err(unexpected(
            "multifd version",
            offset.saturating_add(4),
            version,
            "1",
        ));
    }
    Ok(())
}

fn name_flags(flags: u32) -> &'static str {
    match flags & (COMPRESSION | DEVICE_STATE) {
        0x8 => " (qpl)",
        0x10 => " (uadk)",
        0x20 => " (qatzip)",
        DEVICE_STATE => " (device state)",
        _ => "",
    }
}
