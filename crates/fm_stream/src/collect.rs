//! Keeps the pages of wanted blocks, and knows which pages of them came.

use alloc::collections::{BTreeMap, BTreeSet};

use super::{Event, Facts, Sparse};

/// Flash and ROM of one guest are two chips of 64 MiB and a few ROMs; blocks beyond this in sum are not kept.
const MAX_BLOCKS_BYTES: u64 = 512 << 20;
const PAGES_A_WORD: u64 = 64;

/// When a page was sent: multifd round, packet number. Later wins.
type Stamp = (u64, u64);

/// The contents of wanted blocks, put together from a stream and its multifd channels.
#[derive(Debug, Default)]
pub struct Collector {
    blocks: BTreeMap<usize, Sparse>,
    refused: BTreeSet<usize>,
    /// The pages that came, 64 a word, by block and word.
    seen: BTreeMap<(usize, u64), u64>,
    /// Only where channels follow: one stream alone sends its pages in order.
    stamps: Option<BTreeMap<(usize, u64), Stamp>>,
    limit_bytes: u64,
    kept_bytes: u64,
    claimed_bytes: u64,
}

impl Collector {
    /// A collector that keeps no more than `limit_bytes` of page data in memory. A block that would need
    /// more is given up as a whole, see [`Collector::refused`]; the others go on.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            ..Self::default()
        }
    }

    /// The same for a main stream whose channels follow: it remembers when each page was sent.
    #[must_use]
    pub fn with_channels(limit_bytes: u64) -> Self {
        Self {
            stamps: Some(BTreeMap::new()),
            ..Self::new(limit_bytes)
        }
    }

    /// Takes what [`Parser::push`](super::Parser::push) hands on.
    pub fn take(&mut self, facts: &Facts, event: &Event<'_>) {
        self.take_stamped(facts, event, (facts.round(), 0));
    }

    /// The same, for a page that a channel brought in the packet of that number.
    pub fn take_stamped(&mut self, facts: &Facts, event: &Event<'_>, stamp: (u64, u64)) {
        if self.accept(facts, event, stamp) {
            self.keep(facts, event);
        }
    }

    /// Notes that the page came, and tells whether it replaces what came before. For contents that are
    /// kept elsewhere.
    pub fn accept(&mut self, facts: &Facts, event: &Event<'_>, stamp: (u64, u64)) -> bool {
        let (block, at) = (event.block(), event.offset());
        let page = at.checked_div(facts.page_size_bytes).unwrap_or(0);
        if let Some(stamps) = &mut self.stamps {
            let newest = stamps.entry((block, page)).or_insert(stamp);
            if *newest > stamp {
                return false;
            }
            *newest = stamp;
        }
        let word = page.checked_div(PAGES_A_WORD).unwrap_or(0);
        let bit = u32::try_from(page % PAGES_A_WORD).unwrap_or(0);
        *self.seen.entry((block, word)).or_insert(0) |= 1u64.wrapping_shl(bit);
        true
    }

    fn keep(&mut self, facts: &Facts, event: &Event<'_>) {
        let index = event.block();
        if self.refused.contains(&index) || !self.open(facts, index) {
            return;
        }
        let Some(sparse) = self.blocks.get_mut(&index) else {
            return;
        };
        let before = sparse.kept_bytes();
        match event {
            Event::Data { offset, bytes, .. } => sparse.write(*offset, bytes),
            Event::Fill {
                offset,
                len_bytes,
                byte,
                ..
            } => sparse.fill(*offset, *len_bytes, *byte),
        }
        let after = sparse.kept_bytes();
        self.kept_bytes = self.kept_bytes.saturating_add(after).saturating_sub(before);
        if self.kept_bytes > self.limit_bytes {
            self.kept_bytes = self.kept_bytes.saturating_sub(after);
            self.blocks.remove(&index);
            self.refused.insert(index);
        }
    }

    /// Makes room for a block, all zero; false if it is too long to be kept.
    pub fn open(&mut self, facts: &Facts, index: usize) -> bool {
        if self.blocks.contains_key(&index) {
            return true;
        }
        let Some(block) = facts.blocks.get(index) else {
            return false;
        };
        let claimed = self.claimed_bytes.saturating_add(block.size_bytes);
        if claimed > MAX_BLOCKS_BYTES {
            self.refused.insert(index);
            return false;
        }
        self.claimed_bytes = claimed;
        self.blocks.insert(index, Sparse::new(block.size_bytes));
        true
    }

    /// Whether the block's contents were given up because they need more memory than is allowed.
    #[must_use]
    pub fn refused(&self, index: usize) -> bool {
        self.refused.contains(&index)
    }

    /// How many different pages of the block came, in a stream that sends page by page.
    #[must_use]
    pub fn pages_seen(&self, index: usize) -> u64 {
        let words = self.seen.range((index, 0)..=(index, u64::MAX));
        words.map(|(_, word)| u64::from(word.count_ones())).sum()
    }

    /// What the block at that index of [`Facts::blocks`] holds, if any page of it came or it was opened.
    #[must_use]
    pub fn block(&self, index: usize) -> Option<&Sparse> {
        self.blocks.get(&index)
    }
}
