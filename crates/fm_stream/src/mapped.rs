//! mapped-ram: every page has its place in the file, and a bitmap says which are there.

use alloc::vec::Vec;

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::field::unexpected;
use fm_formats::{Reader, Result};

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
    pub(super) bitmap_offset: u64,
    pub(super) pages_offset: u64,
}

impl Placement {
    /// A block's placement, checked to lie ahead of us and in order.
    pub(super) fn read(reader: &mut Reader<'_>, size_bytes: u64, page_size_bytes: u64) -> Result<Self> {
        let at = reader.offset();
        let raw = reader.raw::<RawHeader>("mapped-ram header")?;
        if raw.version.get() != 1 {
            return Err(unexpected("mapped-ram version", at, raw.version.get(), "1"));
        }
        let page = raw.page_size.get();
        if page != page_size_bytes {
            let expected = alloc::format!("{}", page_size_bytes);
            return Err(unexpected("mapped-ram page size", at, page, expected));
        }
        let placement = Self {
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
}

/// A block's page bitmap on its way in: unwanted blocks' are only counted.
#[derive(Debug)]
pub(super) struct Bitmap {
    pub(super) block: usize,
    pub(super) left_bytes: u64,
    pub(super) set: u64,
    pub(super) kept: Option<Vec<u8>>,
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

/// The pages of a wanted block, of which a bitmap tells which are there.
#[derive(Debug)]
pub(super) struct MappedPages {
    pub(super) block: usize,
    pub(super) at: u64,
    pub(super) size_bytes: u64,
    pub(super) page_bytes: u64,
    pub(super) bits: Vec<u8>,
}

/// How many pages are looked at to find the end of a run; a longer one is taken in several parts.
const RUN_PAGES: u64 = 256;

impl MappedPages {
    /// The block, where we are in it, whether pages from here on are there, and for how many bytes.
    pub(super) fn run(&self) -> (usize, u64, bool, u64) {
        let page = self.at.checked_div(self.page_bytes).unwrap_or(0);
        let is_set = bit(&self.bits, page);
        let pages = (1..RUN_PAGES)
            .take_while(|ahead| bit(&self.bits, page.saturating_add(*ahead)) == is_set)
            .count() as u64;
        let end = page
            .saturating_add(pages)
            .saturating_add(1)
            .saturating_mul(self.page_bytes);
        let left_bytes = end.min(self.size_bytes).saturating_sub(self.at);
        (self.block, self.at, is_set, left_bytes)
    }

    /// For how many bytes from here on no page is there.
    pub(super) fn gap_bytes(&self) -> u64 {
        match self.run() {
            (_, _, false, left_bytes) => left_bytes,
            _ => 0,
        }
    }

    pub(super) fn left_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.at)
    }

    /// Moves on, and tells whether that was all.
    pub(super) fn advance(&mut self, bytes: u64) -> bool {
        self.at = self.at.saturating_add(bytes);
        self.left_bytes() == 0
    }
}

/// How long the bitmap of a block is.
pub(super) fn bitmap_bytes(size_bytes: u64, page: u64) -> u64 {
    size_bytes.div_ceil(page).div_ceil(64).saturating_mul(8)
}

fn bit(bits: &[u8], index: u64) -> bool {
    let byte = usize::try_from(index >> 3).ok().and_then(|at| bits.get(at));
    byte.is_some_and(|byte| byte >> (index & 7) & 1 == 1)
}
