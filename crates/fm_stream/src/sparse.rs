//! Bytes of a fixed length of which only what is not one repeated byte takes memory.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

const CHUNK: usize = 4096;

/// What a chunk holds; one that is missing is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chunk {
    /// This byte throughout, never 0: erased flash is 0xff.
    Fill(u8),
    /// Different bytes.
    Bytes(Box<[u8]>),
}

/// Bytes of a fixed length of which only the chunks that are not one repeated byte are kept, however they
/// were written.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    len_bytes: u64,
    chunks: BTreeMap<u64, Chunk>,
    kept_bytes: u64,
    /// A chunk of each byte that fills one, for [`Sparse::pieces`] to lend.
    fills: BTreeMap<u8, Box<[u8]>>,
}

impl PartialEq for Sparse {
    fn eq(&self, other: &Self) -> bool {
        self.len_bytes == other.len_bytes && self.chunks == other.chunks
    }
}

impl Eq for Sparse {}

impl Sparse {
    /// `len_bytes` zeros.
    #[must_use]
    pub fn new(len_bytes: u64) -> Self {
        Self {
            len_bytes,
            ..Self::default()
        }
    }

    /// How long the bytes are, zeros included.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many bytes of content are kept in memory.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// Lays `bytes` at `offset`; what would lie behind the end is dropped.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.each_piece(offset, bytes.len() as u64, |old, from| {
            if let Some(new) = bytes.get(from..from.saturating_add(old.len())) {
                old.copy_from_slice(new);
            }
        });
    }

    /// Fills `len_bytes` bytes from `offset` with `byte`.
    pub fn fill(&mut self, offset: u64, len_bytes: u64, byte: u8) {
        self.each_piece(offset, len_bytes, |old, _| old.fill(byte));
    }

    /// Calls `edit` with each piece of a chunk in the range and the piece's distance from `offset`.
    fn each_piece(&mut self, offset: u64, len_bytes: u64, mut edit: impl FnMut(&mut [u8], usize)) {
        let end = offset.saturating_add(len_bytes).min(self.len_bytes);
        let mut at = offset;
        while at < end {
            let index = at.checked_div(CHUNK as u64).unwrap_or(0);
            let start = index.saturating_mul(CHUNK as u64);
            let next = start.saturating_add(CHUNK as u64).min(end);
            let mut chunk = self.take(index);
            let within = |value: u64| usize::try_from(value.saturating_sub(start)).unwrap_or(CHUNK);
            if let Some(piece) = chunk.get_mut(within(at)..within(next)) {
                edit(
                    piece,
                    usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX),
                );
            }
            self.put(index, chunk);
            at = next;
        }
    }

    fn take(&mut self, index: u64) -> Box<[u8]> {
        let len = self.chunk_bytes(index);
        match self.chunks.remove(&index) {
            Some(Chunk::Bytes(bytes)) => {
                self.kept_bytes = self.kept_bytes.saturating_sub(CHUNK as u64);
                bytes
            }
            Some(Chunk::Fill(byte)) => vec![byte; len].into_boxed_slice(),
            None => vec![0; len].into_boxed_slice(),
        }
    }

    fn put(&mut self, index: u64, bytes: Box<[u8]>) {
        let first = bytes.first().copied().unwrap_or(0);
        if bytes.iter().any(|byte| *byte != first) {
            self.kept_bytes = self.kept_bytes.saturating_add(CHUNK as u64);
            self.chunks.insert(index, Chunk::Bytes(bytes));
        } else if first != 0 {
            self.fills
                .entry(first)
                .or_insert_with(|| vec![first; CHUNK].into_boxed_slice());
            self.chunks.insert(index, Chunk::Fill(first));
        }
    }

    /// How long the chunk is: all are the same, but perhaps the last.
    fn chunk_bytes(&self, index: u64) -> usize {
        let start = index.saturating_mul(CHUNK as u64);
        let len = self.len_bytes.saturating_sub(start).min(CHUNK as u64);
        usize::try_from(len).unwrap_or(0)
    }

    /// The bytes in order, in pieces of at most 4096: what is kept, and fills in between.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len_bytes.div_ceil(CHUNK as u64)).map(|index| self.piece(index))
    }

    fn piece(&self, index: u64) -> &[u8] {
        static ZEROS: [u8; CHUNK] = [0; CHUNK];
        let chunk = match self.chunks.get(&index) {
            Some(Chunk::Bytes(bytes)) => bytes,
            Some(Chunk::Fill(byte)) => self.fills.get(byte).map_or(&ZEROS[..], |fill| fill),
            None => &ZEROS[..],
        };
        chunk.get(..self.chunk_bytes(index)).unwrap_or(&[])
    }

    /// All bytes in one piece. What is zero is not touched, so that it need not take memory here either.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(self.len_bytes).unwrap_or(0)];
        for index in self.chunks.keys() {
            let piece = self.piece(*index);
            let start = usize::try_from(index.saturating_mul(CHUNK as u64)).unwrap_or(usize::MAX);
            if let Some(to) = all.get_mut(start..start.saturating_add(piece.len())) {
                to.copy_from_slice(piece);
            }
        }
        all
    }
}
