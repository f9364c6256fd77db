//! Keeps the pages of wanted blocks, sparsely: what is zero takes no memory.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::{Event, Facts};
use crate::{Error, Result};

const CHUNK: usize = 4096;

/// Bytes of a fixed length of which only the chunks that are not zero are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse {
    len_bytes: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

impl Sparse {
    /// `len_bytes` zeros.
    #[must_use]
    pub fn new(len_bytes: u64) -> Self {
        Self {
            len_bytes,
            chunks: BTreeMap::new(),
        }
    }

    /// How long the bytes are, zeros included.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many bytes of memory they take.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        (self.chunks.len() as u64).saturating_mul(CHUNK as u64)
    }

    /// Lays `bytes` at `offset`; what would lie behind the end is dropped.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.each_chunk(offset, bytes.len() as u64, |old, from| {
            if let Some(new) = bytes.get(from..from.saturating_add(old.len())) {
                old.copy_from_slice(new);
            }
        });
    }

    /// Fills `len_bytes` bytes from `offset` with `byte`.
    pub fn fill(&mut self, offset: u64, len_bytes: u64, byte: u8) {
        if byte != 0 {
            self.each_chunk(offset, len_bytes, |old, _| old.fill(byte));
            return;
        }
        let end = offset.saturating_add(len_bytes);
        let first = offset.checked_div(CHUNK as u64).unwrap_or(0);
        let last = end.div_ceil(CHUNK as u64);
        let touched: Vec<u64> = self.chunks.range(first..last).map(|(index, _)| *index).collect();
        for index in touched {
            let start = index.saturating_mul(CHUNK as u64);
            if start >= offset && start.saturating_add(CHUNK as u64) <= end {
                self.chunks.remove(&index);
            } else {
                let from = start.max(offset);
                let len = end.min(start.saturating_add(CHUNK as u64)).saturating_sub(from);
                self.each_chunk(from, len, |old, _| old.fill(0));
            }
        }
    }

    /// Calls `edit` with each piece of a chunk in the range and the piece's distance from `offset`.
    fn each_chunk(&mut self, offset: u64, len_bytes: u64, mut edit: impl FnMut(&mut [u8], usize)) {
        let end = offset.saturating_add(len_bytes).min(self.len_bytes);
        let mut at = offset;
        while at < end {
            let index = at.checked_div(CHUNK as u64).unwrap_or(0);
            let start = index.saturating_mul(CHUNK as u64);
            let next = start.saturating_add(CHUNK as u64).min(end);
            let chunk = self
                .chunks
                .entry(index)
                .or_insert_with(|| vec![0; CHUNK].into_boxed_slice());
            let within = |value: u64| usize::try_from(value.saturating_sub(start)).unwrap_or(CHUNK);
            if let Some(piece) = chunk.get_mut(within(at)..within(next)) {
                edit(
                    piece,
                    usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX),
                );
            }
            at = next;
        }
    }

    /// The bytes in order, in pieces of at most 4096: what is kept, and zeros in between.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        static ZEROS: [u8; CHUNK] = [0; CHUNK];
        (0..self.len_bytes.div_ceil(CHUNK as u64)).map(|index| {
            let start = index.saturating_mul(CHUNK as u64);
            let len = self.len_bytes.saturating_sub(start).min(CHUNK as u64);
            let chunk = self.chunks.get(&index).map_or(&ZEROS[..], |chunk| chunk);
            usize::try_from(len)
                .ok()
                .and_then(|len| chunk.get(..len))
                .unwrap_or(&[])
        })
    }

    /// All bytes in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(self.len_bytes).unwrap_or(0)];
        for (index, chunk) in &self.chunks {
            let start = usize::try_from(index.saturating_mul(CHUNK as u64)).unwrap_or(usize::MAX);
            let len = all.len().saturating_sub(start).min(CHUNK);
            if let (Some(to), Some(from)) = (all.get_mut(start..start.saturating_add(len)), chunk.get(..len))
            {
                to.copy_from_slice(from);
            }
        }
        all
    }
}

/// When a page was sent: multifd round, packet number. Later wins.
type Stamp = (u64, u64);

/// The contents of wanted blocks, put together from a stream and its multifd channels.
#[derive(Debug, Default)]
pub struct Collector {
    blocks: BTreeMap<usize, Sparse>,
    stamps: BTreeMap<(usize, u64), Stamp>,
    limit_bytes: u64,
    kept_bytes: u64,
}

impl Collector {
    /// A collector that keeps no more than `limit_bytes` of page data in memory.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            ..Self::default()
        }
    }

    /// Takes what [`Parser::push`](super::Parser::push) hands on.
    ///
    /// # Errors
    /// [`Error::Limit`] if the blocks hold more data than the limit allows.
    pub fn take(&mut self, facts: &Facts, event: &Event<'_>, offset: u64) -> Result<()> {
        self.take_stamped(facts, event, (facts.round(), 0), offset)
    }

    /// The same, for a page that a channel brought in the packet of that number.
    ///
    /// # Errors
    /// As [`Collector::take`].
    pub fn take_stamped(
        &mut self,
        facts: &Facts,
        event: &Event<'_>,
        stamp: (u64, u64),
        offset: u64,
    ) -> Result<()> {
        let (block, at, len_bytes) = match event {
            Event::Data { block, offset, bytes } => (*block, *offset, bytes.len() as u64),
            Event::Fill {
                block,
                offset,
                len_bytes,
                ..
            } => (*block, *offset, *len_bytes),
            Event::Devices(_) => return Ok(()),
        };
        let Some(known) = facts.blocks.get(block) else {
            return Ok(());
        };
        let page = at.checked_div(facts.page_size_bytes).unwrap_or(0);
        let newest = self.stamps.entry((block, page)).or_insert(stamp);
        if *newest > stamp {
            return Ok(());
        }
        *newest = stamp;
        let sparse = self
            .blocks
            .entry(block)
            .or_insert_with(|| Sparse::new(known.size_bytes));
        let before = sparse.kept_bytes();
        match event {
            Event::Data { bytes, .. } => sparse.write(at, bytes),
            Event::Fill { byte, .. } => sparse.fill(at, len_bytes, *byte),
            Event::Devices(_) => {}
        }
        self.kept_bytes = self
            .kept_bytes
            .saturating_add(sparse.kept_bytes())
            .saturating_sub(before);
        if self.kept_bytes > self.limit_bytes {
            return Err(Error::Limit {
                what: "flash and ROM contents in bytes",
                offset,
                limit: self.limit_bytes,
            });
        }
        Ok(())
    }

    /// How many different pages of the block came, in a stream that sends page by page.
    #[must_use]
    pub fn pages_seen(&self, index: usize) -> u64 {
        self.stamps.range((index, 0)..=(index, u64::MAX)).count() as u64
    }

    /// What the block at that index of [`Facts::blocks`] holds, if any page of it came.
    #[must_use]
    pub fn block(&self, index: usize) -> Option<&Sparse> {
        self.blocks.get(&index)
    }
}
