//! RAM sections: the block table and the page records.

use alloc::format;

use zerocopy::big_endian::{U16, U32, U64};

use super::config::IGNORE_SHARED;
use super::event::Event;
use super::facts::{Block, Pages};
use super::field::{text, unexpected};
use super::mapped::Placement;
use super::progress::{MAX_BLOCK_COUNT, Progress, Span, State};
use super::{BlockKind, Facts, xbzrle};
use fm_formats::{Error, Reader, Result};

// Flags in the low bits of a record. Source: QEMU `migration/ram.c:RAM_SAVE_FLAG_*`.
pub(super) const ZERO: u64 = 0x02;
const MEM_SIZE: u64 = 0x04;
pub(super) const PAGE: u64 = 0x08;
const EOS: u64 = 0x10;
pub(super) const CONTINUE: u64 = 0x20;
const XBZRLE: u64 = 0x40;
const HOOK: u64 = 0x80;
const COMPRESSED: u64 = 0x100;
const MULTIFD_FLUSH: u64 = 0x200;
/// The records that carry a page, and so a block.
const PAGES: u64 = ZERO | PAGE | XBZRLE | COMPRESSED;

/// Source: QEMU `migration/xbzrle.h:ENCODING_FLAG_XBZRLE`.
const ENCODING_XBZRLE: u8 = 1;

impl Progress {
    /// One entry of the block table.
    pub(super) fn table_entry(&mut self, reader: &mut Reader<'_>, left_bytes: u64) -> Result<()> {
        let mut ahead = reader.clone();
        let offset = ahead.offset();
        let len_bytes = *ahead.raw::<u8>("RAM block name length")?;
        let name = text(ahead.bytes(len_bytes.into(), "RAM block name")?);
        let at = ahead.offset();
        let size_bytes = ahead.raw::<U64>("RAM block length")?.get();
        let Some(left_bytes) = left_bytes.checked_sub(size_bytes) else {
            return Err(unexpected(
                "RAM block length",
                at,
                format_args!("{size_bytes:#x}"),
                format!("at most {left_bytes:#x}, what is left of all RAM"),
            ));
        };
        if self.facts.blocks.len() >= MAX_BLOCK_COUNT {
            return Err(Error::Limit {
                what: "number of RAM blocks",
                offset,
                limit: MAX_BLOCK_COUNT as u64,
            });
        }
        if len_bytes == 0 || self.index.contains_key(&name) {
            return Err(unexpected(
                "RAM block name",
                offset,
                format_args!("{name:?}"),
                "a name that no other block has",
            ));
        }
        let page_size_bytes = match self.facts.postcopy {
            true => huge_page(&mut ahead)?,
            false => None,
        };
        let guest_address = match self.has_capability(IGNORE_SHARED) {
            true => Some(ahead.raw::<U64>("RAM block address")?.get()),
            false => None,
        };
        let placement = match self.has_capability("mapped-ram") {
            true => Some(Placement::read(
                &mut ahead,
                size_bytes,
                self.facts.page_size_bytes,
            )?),
            false => None,
        };
        let wanted = (self.wanted)(&name);
        let block = self.facts.blocks.len();
        self.index.insert(name.clone(), block);
        self.facts.blocks.push(Block {
            offset,
            kind: BlockKind::of(&name),
            name,
            size_bytes,
            page_size_bytes,
            guest_address,
            pages_offset: placement.map(|placement| placement.pages_offset),
            wanted,
            pages: Pages::default(),
        });
        if let Some(placement) = placement {
            self.plan_mapped(block, size_bytes, placement, ahead.offset());
        }
        self.state = match left_bytes {
            0 => State::Records,
            _ => State::Table { left_bytes },
        };
        *reader = ahead;
        Ok(())
    }

    /// Page records, as many as the piece holds whole: this loop is where the time goes.
    pub(super) fn records(
        &mut self,
        reader: &mut Reader<'_>,
        out: &mut impl FnMut(&Facts, Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let page_bytes = self.facts.page_size_bytes;
        let flag_mask = page_bytes.saturating_sub(1);
        loop {
            self.plain_run(reader, flag_mask)?;
            let mut ahead = reader.clone();
            let offset = ahead.offset();
            let header = ahead.raw::<U64>("page record")?.get();
            let address = header & !flag_mask;
            let flags = header & flag_mask;
            let kind = flags & !CONTINUE;
            if kind & PAGES == 0 {
                self.mark(offset, header, kind)?;
                *reader = ahead;
                if self.state == State::Records {
                    continue;
                }
                return Ok(());
            }
            let index = match flags & CONTINUE {
                0 => self.named_block(&mut ahead)?,
                _ => self.current.ok_or_else(|| {
                    unexpected(
                        "page record",
                        offset,
                        "a page of the block before",
                        "a block's name first",
                    )
                })?,
            };
            let Some(block) = self.facts.blocks.get_mut(index) else {
                return Err(unexpected("page record", offset, index, "a block of the table"));
            };
            if address
                .checked_add(page_bytes)
                .is_none_or(|end| end > block.size_bytes.next_multiple_of(page_bytes))
            {
                return Err(unexpected(
                    "page address",
                    offset,
                    format_args!("{address:#x} in {:?}", block.name),
                    format!("an address below {:#x}", block.size_bytes),
                ));
            }
            // A page of a block whose length is no multiple of the page size is cut at the block's end.
            let len_bytes = page_bytes.min(block.size_bytes.saturating_sub(address));
            let wanted = block.wanted;
            match kind {
                ZERO => {
                    let byte = *ahead.raw::<u8>("fill byte")?;
                    block.pages.zero = block.pages.zero.saturating_add(1);
                    if wanted {
                        let event = Event::Fill {
                            block: index,
                            offset: address,
                            len_bytes,
                            byte,
                            at: Some(offset),
                        };
                        out(&self.facts, event)?;
                    }
                }
                PAGE => {
                    block.pages.data = block.pages.data.saturating_add(1);
                    let taken = ahead.offset().saturating_sub(offset).saturating_add(page_bytes);
                    block.pages.stream_bytes = block.pages.stream_bytes.saturating_add(taken);
                    self.current = Some(index);
                    *reader = ahead;
                    if wanted {
                        self.spans.push_back(Span::Data {
                            block: index,
                            offset: address,
                            left_bytes: len_bytes,
                        });
                        let rest = page_bytes.saturating_sub(len_bytes);
                        if rest > 0 {
                            self.spans.push_back(Span::Skip(rest));
                        }
                        return Ok(());
                    }
                    let here = usize::try_from(page_bytes)
                        .unwrap_or(usize::MAX)
                        .min(reader.remaining());
                    reader.bytes(here, "page data")?;
                    let left = page_bytes.saturating_sub(here as u64);
                    if left > 0 {
                        self.spans.push_back(Span::Skip(left));
                        return Ok(());
                    }
                    continue;
                }
                XBZRLE => {
                    let at = ahead.offset();
                    let encoding = *ahead.raw::<u8>("XBZRLE encoding")?;
                    let size = u64::from(ahead.raw::<U16>("XBZRLE length")?.get());
                    if encoding != ENCODING_XBZRLE || size > page_bytes {
                        return Err(unexpected(
                            "XBZRLE header",
                            at,
                            format_args!("encoding {encoding}, {size} bytes"),
                            format!("encoding 1, at most {page_bytes} bytes"),
                        ));
                    }
                    let at = ahead.offset();
                    let encoded = ahead.bytes(usize::try_from(size).unwrap_or(usize::MAX), "XBZRLE runs")?;
                    block.pages.xbzrle = block.pages.xbzrle.saturating_add(1);
                    if wanted {
                        let facts = &self.facts;
                        let patch = |from: u64, bytes: &[u8]| {
                            let offset = address.saturating_add(from);
                            out(
                                facts,
                                Event::Data {
                                    block: index,
                                    offset,
                                    bytes,
                                    at: None,
                                },
                            )
                        };
                        xbzrle::decode(encoded, at, len_bytes, patch).map_err(as_decode_error)?;
                    }
                }
                COMPRESSED => {
                    let at = ahead.offset();
                    let size = u64::from(ahead.raw::<U32>("compressed page length")?.get());
                    // zlib's own bound for incompressible input, rounded up.
                    let limit = page_bytes.saturating_mul(2);
                    if size > limit {
                        return Err(Error::Limit {
                            what: "compressed page length in bytes",
                            offset: at,
                            limit,
                        });
                    }
                    let deflated =
                        ahead.bytes(usize::try_from(size).unwrap_or(usize::MAX), "compressed page")?;
                    block.pages.compressed = block.pages.compressed.saturating_add(1);
                    if wanted {
                        let page = inflate(deflated, page_bytes, at.saturating_add(4))?;
                        let bytes = page
                            .get(..usize::try_from(len_bytes).unwrap_or(usize::MAX))
                            .unwrap_or(&page);
                        out(
                            &self.facts,
                            Event::Data {
                                block: index,
                                offset: address,
                                bytes,
                                at: None,
                            },
                        )?;
                    }
                }
                _ => {
                    return Err(unexpected(
                        "page record flags",
                        offset,
                        format_args!("{flags:#x}"),
                        "one of zero 0x2, page 0x8, xbzrle 0x40 or compressed 0x100",
                    ));
                }
            }
            let taken = ahead.offset().saturating_sub(offset);
            if let Some(block) = self.facts.blocks.get_mut(index) {
                block.pages.stream_bytes = block.pages.stream_bytes.saturating_add(taken);
            }
            self.current = Some(index);
            *reader = ahead;
        }
    }

    /// Steps over whole zero or data pages of a block that nobody wants, which nearly all of a stream is.
    /// Whatever is not plainly such a record is left to the general way.
    fn plain_run(&mut self, reader: &mut Reader<'_>, flag_mask: u64) -> Result<()> {
        let Some(block) = self.current.and_then(|index| self.facts.blocks.get_mut(index)) else {
            return Ok(());
        };
        let header_of = |record: &[u8]| record.first_chunk().map(|header| u64::from_be_bytes(*header));
        let Some(first) = header_of(reader.rest()).filter(|_| !block.wanted) else {
            return Ok(());
        };
        let flags = first & flag_mask;
        let payload_bytes = match flags.checked_sub(CONTINUE) {
            Some(ZERO) => 1,
            Some(PAGE) => flag_mask.saturating_add(1),
            _ => return Ok(()),
        };
        let record_bytes = usize::try_from(payload_bytes.saturating_add(8)).unwrap_or(usize::MAX);
        let is_plain = |record: &&[u8]| {
            header_of(record)
                .is_some_and(|header| header & flag_mask == flags && header & !flag_mask < block.size_bytes)
        };
        let records = reader.rest().chunks_exact(record_bytes);
        let run = records.take_while(is_plain).count();
        let run_bytes = run.saturating_mul(record_bytes);
        reader.bytes(run_bytes, "page records")?;
        let pages = match payload_bytes {
            1 => &mut block.pages.zero,
            _ => &mut block.pages.data,
        };
        *pages = pages.saturating_add(run as u64);
        block.pages.stream_bytes = block.pages.stream_bytes.saturating_add(run_bytes as u64);
        Ok(())
    }

    /// A record that carries no page.
    fn mark(&mut self, offset: u64, header: u64, kind: u64) -> Result<()> {
        match kind {
            MEM_SIZE => {
                if !self.facts.blocks.is_empty() {
                    return Err(unexpected(
                        "page record flags",
                        offset,
                        "a second block table",
                        "one",
                    ));
                }
                let left_bytes = header & !self.facts.page_size_bytes.saturating_sub(1);
                if left_bytes > 0 {
                    self.state = State::Table { left_bytes };
                }
            }
            EOS => {
                self.facts.section_ends = self.facts.section_ends.saturating_add(1);
                self.state = State::Footer;
            }
            MULTIFD_FLUSH => {
                self.facts.multifd_flushes = self.facts.multifd_flushes.saturating_add(1);
            }
            HOOK => self.note(
                offset,
                "RDMA hook record: pages sent by RDMA are not in the stream".into(),
            ),
            _ => {
                return Err(unexpected(
                    "page record flags",
                    offset,
                    format_args!("{kind:#x}"),
                    "flags that QEMU 2.4 to 11.1 use: 0x2 to 0x200",
                ));
            }
        }
        Ok(())
    }

    fn named_block(&self, reader: &mut Reader<'_>) -> Result<usize> {
        let offset = reader.offset();
        let len_bytes = *reader.raw::<u8>("RAM block name length")?;
        let bytes = reader.bytes(len_bytes.into(), "RAM block name")?;
        let known = match core::str::from_utf8(bytes) {
            Ok(name) => self.index.get(name),
            Err(_) => self.index.get(&text(bytes)),
        };
        known.copied().ok_or_else(|| {
            unexpected(
                "RAM block name",
                offset,
                format_args!("{:?}", text(bytes)),
                "a block of the table",
            )
        })
    }
}

/// A block's own page size, which only blocks of huge pages have, and only in postcopy. It starts with
/// a zero byte and no name does; behind the last block comes a record, which always has a flag set.
fn huge_page(reader: &mut Reader<'_>) -> Result<Option<u64>> {
    let value = reader.clone().raw::<U64>("RAM block page size")?.get();
    if (1 << 12..1 << 56).contains(&value) && value.is_power_of_two() {
        reader.raw::<U64>("RAM block page size")?;
        return Ok(Some(value));
    }
    Ok(None)
}

/// Runs that leave their encoding are wrong, not cut short by the end of a piece.
fn as_decode_error(error: Error) -> Error {
    match error {
        Error::Truncated { offset, .. } => Error::Decode {
            algorithm: "XBZRLE",
            offset,
            why: format!("{error}"),
        },
        other => other,
    }
}

/// One page of the capability `compress`: a zlib stream of its own.
fn inflate(deflated: &[u8], page_bytes: u64, offset: u64) -> Result<alloc::vec::Vec<u8>> {
    let limit = usize::try_from(page_bytes).unwrap_or(usize::MAX);
    let page = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(deflated, limit).map_err(|error| {
        Error::Decode {
            algorithm: "zlib",
            offset,
            why: format!("{:?}", error.status),
        }
    })?;
    if page.len() != limit {
        return Err(Error::Decode {
            algorithm: "zlib",
            offset,
            why: format!("{} bytes instead of a page of {page_bytes}", page.len()),
        });
    }
    Ok(page)
}
