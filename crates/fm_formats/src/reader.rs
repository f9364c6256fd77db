//! The one place that cuts bytes: a bounds-checked cursor that knows its offset.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::{Error, Result};

/// A cursor over borrowed bytes. Offsets in its errors count from the start of the outermost input,
/// also in readers made by [`Reader::sub`].
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    base: u64,
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// A reader over `bytes` that lie `base` bytes into the outermost input.
    #[must_use]
    pub const fn at(bytes: &'a [u8], base: u64) -> Self {
        Self {
            bytes,
            base,
            position: 0,
        }
    }

    /// Offset of the next byte in the outermost input.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base.saturating_add(self.position as u64)
    }

    /// Bytes read so far from the start of this reader.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// What is left, without moving.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    /// All bytes of this reader, wherever it stands.
    #[must_use]
    pub const fn all(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next `len_bytes` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if fewer are left; the reader does not move.
    pub fn bytes(&mut self, len_bytes: usize, field: &'static str) -> Result<&'a [u8]> {
        let taken = self.rest().get(..len_bytes).ok_or_else(|| Error::Truncated {
            field,
            offset: self.offset(),
            needed_bytes: len_bytes as u64,
            available_bytes: self.remaining() as u64,
        })?;
        self.position = self.position.saturating_add(len_bytes);
        Ok(taken)
    }

    /// The next bytes as a wire structure.
    ///
    /// # Errors
    /// [`Error::Truncated`] if it does not fit; the reader does not move.
    pub fn raw<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &mut self,
        field: &'static str,
    ) -> Result<&'a T> {
        let (value, _) = T::ref_from_prefix(self.rest()).map_err(|_| Error::Truncated {
            field,
            offset: self.offset(),
            needed_bytes: size_of::<T>() as u64,
            available_bytes: self.remaining() as u64,
        })?;
        self.position = self.position.saturating_add(size_of::<T>());
        Ok(value)
    }

    /// A reader over the next `len_bytes` bytes; this one moves past them.
    ///
    /// # Errors
    /// [`Error::Truncated`] if fewer are left; the reader does not move.
    pub fn sub(&mut self, len_bytes: usize, field: &'static str) -> Result<Reader<'a>> {
        let base = self.offset();
        Ok(Reader::at(self.bytes(len_bytes, field)?, base))
    }

    /// Moves to `position` bytes from the start of this reader.
    ///
    /// # Errors
    /// [`Error::Truncated`] if that lies behind the end; the reader does not move.
    pub fn seek(&mut self, position: usize, field: &'static str) -> Result<()> {
        if position > self.bytes.len() {
            return Err(Error::Truncated {
                field,
                offset: self.base,
                needed_bytes: position as u64,
                available_bytes: self.bytes.len() as u64,
            });
        }
        self.position = position;
        Ok(())
    }

    /// Moves forward to the next multiple of `alignment` from the start of this reader, or to its end.
    pub fn align(&mut self, alignment: usize) {
        let aligned = self
            .position
            .checked_next_multiple_of(alignment)
            .unwrap_or(usize::MAX);
        self.position = aligned.min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::little_endian::U32;

    #[test]
    fn a_short_field_is_refused_with_its_offset_and_the_reader_stays() {
        let mut reader = Reader::at(&[1, 0, 0, 0, 2, 0], 0x100);
        assert_eq!(reader.raw::<U32>("first").unwrap().get(), 1);
        let error = reader.raw::<U32>("second").unwrap_err();
        assert_eq!(
            error,
            Error::Truncated {
                field: "second",
                offset: 0x104,
                needed_bytes: 4,
                available_bytes: 2
            }
        );
        assert_eq!(reader.remaining(), 2);
        assert_eq!(
            reader.bytes(3, "third").unwrap_err().clone(),
            Error::Truncated {
                field: "third",
                offset: 0x104,
                needed_bytes: 3,
                available_bytes: 2
            }
        );
    }

    #[test]
    fn a_sub_reader_keeps_counting_from_the_outermost_start() {
        let bytes = [0u8; 32];
        let mut outer = Reader::new(&bytes);
        outer.seek(8, "skip").unwrap();
        let mut inner = outer.sub(16, "inner").unwrap();
        inner.bytes(3, "three").unwrap();
        inner.align(8);
        assert_eq!((inner.offset(), inner.remaining()), (16, 8));
        assert_eq!(outer.offset(), 24);
        assert!(inner.seek(17, "past").is_err());
    }

    #[test]
    fn aligning_never_leaves_the_bytes() {
        let mut reader = Reader::new(&[0; 5]);
        reader.bytes(5, "all").unwrap();
        reader.align(4096);
        assert!(reader.is_empty());
        reader.align(0);
        assert!(reader.is_empty());
    }
}
