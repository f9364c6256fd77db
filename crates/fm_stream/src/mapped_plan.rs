//! What the parser expects next in a mapped-ram stream: each block's bitmap, then the pages that it tells of.

use alloc::vec::Vec;

use super::mapped::{Bitmap, MappedPages, Placement, bitmap_bytes};
use super::progress::{Progress, Span};

impl Progress {
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
        // The skip over all pages was planned last; it becomes pages and gaps. The bitmap is made of the
        // source host's longs; on little-endian hosts that is plain byte order.
        let pages = MappedPages {
            block: bitmap.block,
            at: 0,
            size_bytes: block.size_bytes,
            page_bytes: page,
            bits,
        };
        if self.spans.pop_back().is_some() {
            self.spans.push_back(Span::Pages(pages));
        }
    }
}
