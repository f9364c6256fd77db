//! What a parser hands on.

/// A piece of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes of a wanted block; a page may come in several pieces.
    Data {
        /// Index into [`Facts::blocks`](crate::Facts::blocks).
        block: usize,
        /// Where in the block they belong.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
        /// Where in the stream they stand; nothing for what was decoded.
        at: Option<u64>,
    },
    /// A range of a wanted block that holds one repeated byte.
    Fill {
        /// Index into [`Facts::blocks`](crate::Facts::blocks).
        block: usize,
        /// Where in the block it starts.
        offset: u64,
        /// How long it is.
        len_bytes: u64,
        /// The byte, nearly always 0.
        byte: u8,
        /// Where in the stream its record stands, if it has one of its own.
        at: Option<u64>,
    },
}

impl Event<'_> {
    /// Index into [`Facts::blocks`](crate::Facts::blocks).
    #[must_use]
    pub fn block(&self) -> usize {
        match self {
            Self::Data { block, .. } | Self::Fill { block, .. } => *block,
        }
    }

    /// Where in the block it starts.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::Data { offset, .. } | Self::Fill { offset, .. } => *offset,
        }
    }
}
