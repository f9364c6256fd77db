//! mapped-ram: every page has its place in the file, and a bitmap says which are there.

use alloc::vec::Vec;

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::parser::{Parser, Span, unexpected};
use crate::{Reader, Result};

/// `MappedRamHeader`, 28 bytes, packed, big-endian; follows a block's length in the table.
/// Source: QEMU `migration/ram.c` (9.0).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    version: U32,
    page_size: U64,
    bitmap_offset: U64,
    pages_offset: U64,
}
const _: () = assert!(size_of::<RawHeader>() == 28);

/// Where a block's bitmap and pages lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement {
    bitmap_offset: u64,
    pub(super) pages_offset: u64,
}

/// A block's page bitmap on its way in: unwanted blocks' are only counted.
#[derive(Debug)]
pub(super) struct Bitmap {
    block: usize,
    left_bytes: u64,
    set: u64,
    kept: Option<Vec<u8>>,
}

impl Bitmap {
    pub(super) fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.left_bytes = self.left_bytes.saturating_sub(bytes.len() as u64);
        let ones: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        self.set = self.set.saturating_add(ones);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
        }
    }
}

impl Parser {
    /// A block's placement, checked to lie ahead of us and in order.
    pub(super) fn placement(&self, reader: &mut Reader<'_>, size_bytes: u64) -> Result<Placement> {
        let at = reader.offset();
        let raw = reader.raw::<RawHeader>("mapped-ram header")?;
        if raw.version.get() != 1 {
            return Err(unexpected("mapped-ram version", at, raw.version.get(), "1"));
        }
        let page = raw.page_size.get();
        if page != self.facts.page_size_bytes {
            let expected = alloc::format!("{}", self.facts.page_size_bytes);
            return Err(unexpected("mapped-ram page size", at, page, expected));
        }
        let placement = Placement {
            bitmap_offset: raw.bitmap_offset.get(),
            pages_offset: raw.pages_offset.get(),
        };
        let bitmap_end = placement
            .bitmap_offset
            .checked_add(bitmap_bytes(size_bytes, page));
        let in_order = placement.bitmap_offset >= reader.offset()
            && bitmap_end.is_some_and(|end| end <= placement.pages_offset)
            && placement.pages_offset.checked_add(size_bytes).is_some();
        if !in_order {
            return Err(unexpected(
                "mapped-ram offsets",
                at,
                format_args!("{:#x} and {:#x}", placement.bitmap_offset, placement.pages_offset),
                "a bitmap behind the header and pages behind the bitmap",
            ));
        }
        Ok(placement)
    }

    /// Plans the bytes from `offset` to the end of a block's pages; the pages of a wanted block are
    /// planned when its bitmap is there.
    pub(super) fn plan_mapped(&mut self, block: usize, size_bytes: u64, placement: Placement, offset: u64) {
        let page = self.facts.page_size_bytes;
        let len = bitmap_bytes(size_bytes, page);
        let wanted = self.facts.blocks.get(block).is_some_and(|block| block.wanted);
        self.plan_skip(placement.bitmap_offset.saturating_sub(offset));
        if len > 0 {
            self.spans.push_back(Span::Bitmap(Bitmap {
                block,
                left_bytes: len,
                set: 0,
                kept: wanted.then(Vec::new),
            }));
        }
        let bitmap_end = placement.bitmap_offset.saturating_add(len);
        self.plan_skip(placement.pages_offset.saturating_sub(bitmap_end));
        self.plan_skip(size_bytes);
    }

    fn plan_skip(&mut self, bytes: u64) {
        if bytes > 0 {
            self.spans.push_back(Span::Skip(bytes));
        }
    }

    /// Counts a block's pages and, if it is wanted, plans to read those that are there.
    pub(super) fn bitmap_complete(&mut self, bitmap: Bitmap) {
        let page = self.facts.page_size_bytes;
        let Some(block) = self.facts.blocks.get_mut(bitmap.block) else {
            return;
        };
        let pages = block.size_bytes.div_ceil(page);
        block.pages.data = bitmap.set.min(pages);
        block.pages.zero = pages.saturating_sub(bitmap.set);
        block.pages.stream_bytes = block.pages.data.saturating_mul(page);
        let Some(bits) = bitmap.kept else {
            return;
        };
        // The skip over all pages was planned last; it becomes runs of pages and gaps. The bitmap is
        // made of the source host's longs; on little-endian hosts that is plain byte order.
        let size_bytes = block.size_bytes;
        if self.spans.pop_back().is_none() {
            return;
        }
        let mut at = 0u64;
        while at < size_bytes {
            let is_set = bit(&bits, at.checked_div(page).unwrap_or(0));
            let start = at;
            while at < size_bytes && bit(&bits, at.checked_div(page).unwrap_or(0)) == is_set {
                at = at.saturating_add(page);
            }
            let left_bytes = at.min(size_bytes).saturating_sub(start);
            self.spans.push_back(match is_set {
                true => Span::Data {
                    block: bitmap.block,
                    offset: start,
                    left_bytes,
                },
                false => Span::Skip(left_bytes),
            });
        }
    }
}

fn bitmap_bytes(size_bytes: u64, page: u64) -> u64 {
    size_bytes.div_ceil(page).div_ceil(64).saturating_mul(8)
}

fn bit(bits: &[u8], index: u64) -> bool {
    let byte = usize::try_from(index >> 3).ok().and_then(|at| bits.get(at));
    byte.is_some_and(|byte| byte >> (index & 7) & 1 == 1)
}
