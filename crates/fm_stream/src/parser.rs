//! The push parser: keeps what is cut short for the next piece, steps over what nobody wants.

use alloc::format;
use alloc::vec::Vec;

use super::devices::Tail;
use super::event::Event;
use super::facts::Facts;
use super::field::unexpected;
use super::progress::{Progress, Span, State};
use fm_formats::{Error, Reader, Result};

/// Reads one migration stream, front to back, in pieces of any size.
pub struct Parser {
    progress: Progress,
    tail: Tail,
    carry: Vec<u8>,
    offset: u64,
}

impl core::fmt::Debug for Parser {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Parser")
            .field("offset", &self.offset)
            .field("state", &self.progress.state)
            .finish_non_exhaustive()
    }
}

impl Parser {
    /// A parser for a stream that starts `offset` bytes into its file; `wanted` chooses by name the
    /// blocks whose pages are handed on.
    pub fn new(offset: u64, wanted: impl Fn(&str) -> bool + Send + 'static) -> Self {
        Self {
            progress: Progress::new(wanted),
            tail: Tail::default(),
            carry: Vec::new(),
            offset,
        }
    }

    /// What the stream told so far.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.progress.facts
    }

    /// Where the next byte to be pushed lies.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset.saturating_add(self.carry.len() as u64)
    }

    /// How far it has understood what was pushed: what lies behind waits for more bytes.
    #[must_use]
    pub fn understood_offset(&self) -> u64 {
        self.offset
    }

    /// How many of the next bytes the parser will not look at. A source that can seek calls
    /// [`Parser::skip`] instead of reading them.
    #[must_use]
    pub fn skippable_bytes(&self) -> u64 {
        match self.progress.spans.front() {
            _ if !self.carry.is_empty() => 0,
            Some(Span::Skip(bytes)) => *bytes,
            Some(Span::Pages(pages)) => pages.gap_bytes(),
            _ => 0,
        }
    }

    /// Steps over `bytes` bytes, no more than [`Parser::skippable_bytes`].
    pub fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.skippable_bytes());
        let done = match self.progress.spans.front_mut() {
            Some(Span::Skip(left)) => {
                *left = left.saturating_sub(bytes);
                *left == 0
            }
            Some(Span::Pages(pages)) => pages.advance(bytes),
            _ => false,
        };
        if done {
            self.progress.spans.pop_front();
        }
        self.offset = self.offset.saturating_add(bytes);
    }

    /// Takes the next bytes of the stream and hands on what is wanted of them.
    ///
    /// # Errors
    /// If the bytes are not what a stream holds, with the offset; the parser is of no further use then,
    /// apart from [`Parser::facts`]. An error that `out` returns is passed on.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        out: &mut impl FnMut(&Facts, Event<'_>) -> Result<()>,
    ) -> Result<()> {
        while !self.carry.is_empty() && !bytes.is_empty() {
            let had = self.carry.len();
            let (more, rest) = bytes.split_at(had.max(64).min(bytes.len()));
            let mut unit = core::mem::take(&mut self.carry);
            unit.extend_from_slice(more);
            let used = self.advance(&unit, out)?;
            match used.checked_sub(had) {
                Some(of_more) if used > 0 => {
                    bytes = bytes.get(of_more..).unwrap_or(&[]);
                    unit.clear();
                    if of_more < more.len() {
                        // A later unit is cut: it starts in `bytes`, which has it whole or as the rest.
                        continue;
                    }
                }
                // What is stepped over up to some mark may end within what was carried.
                _ => {
                    bytes = rest;
                    self.carry = unit.get(used..).unwrap_or(&[]).to_vec();
                }
            }
        }
        let used = self.advance(bytes, out)?;
        if let Some(rest) = bytes.get(used..) {
            self.carry.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`Error::Truncated`] with what was being read, if the stream is not whole; other errors if what
    /// follows RAM is not what its description says.
    pub fn finish(&mut self) -> Result<()> {
        let short = |field, needed_bytes| {
            Err(Error::Truncated {
                field,
                offset: self.offset(),
                needed_bytes,
                available_bytes: 0,
            })
        };
        match self.progress.spans.front() {
            Some(Span::Skip(left) | Span::Data { left_bytes: left, .. }) => return short("page data", *left),
            Some(Span::Bitmap(bitmap)) => return short("page bitmap", bitmap.left_bytes()),
            Some(Span::Pages(pages)) => return short("page data", pages.left_bytes()),
            None => {}
        }
        if matches!(self.progress.state, State::Devices | State::Ended) {
            return self.finish_devices();
        }
        let unit = core::mem::take(&mut self.carry);
        let mut reader = Reader::at(&unit, self.offset);
        self.step(&mut reader, &mut |_, _| Ok(()))
    }

    fn finish_devices(&mut self) -> Result<()> {
        let offset = self.progress.facts.devices_offset.unwrap_or(0);
        if !self.progress.facts.ram_complete {
            return Err(Error::Truncated {
                field: "last section of RAM",
                offset,
                needed_bytes: 1,
                available_bytes: 0,
            });
        }
        if self.progress.state == State::Devices {
            let end = self.tail.finish(offset);
            self.progress.facts.devices = core::mem::take(&mut self.tail.devices);
            end?;
            let offset = self.offset();
            self.progress.note(
                offset,
                "no description follows: that nothing is missing is told by the last bytes alone".into(),
            );
        }
        match self.tail.page_size_bytes {
            Some(stated) if stated != self.progress.facts.page_size_bytes => Err(unexpected(
                "page size of the description",
                offset,
                stated,
                format!("{}", self.progress.facts.page_size_bytes),
            )),
            _ => Ok(()),
        }
    }

    /// Parses as much of `bytes` as is whole and tells how much that is.
    fn advance(
        &mut self,
        bytes: &[u8],
        out: &mut impl FnMut(&Facts, Event<'_>) -> Result<()>,
    ) -> Result<usize> {
        let base = self.offset;
        let mut reader = Reader::at(bytes, base);
        while !reader.is_empty() {
            let step = match self.progress.spans.is_empty() {
                true => self.step(&mut reader, out),
                false => self.span(&mut reader, out),
            };
            match step {
                Ok(()) => {}
                // Units read straight from the piece, so a short read only means that more is to come;
                // the reader stands where the unit that is cut starts.
                Err(Error::Truncated { .. }) => break,
                Err(error) => return Err(error),
            }
            self.offset = reader.offset();
        }
        self.offset = reader.offset();
        Ok(reader.position())
    }

    /// One unit of what [`State`] says; moves `reader` and changes `self` only if the unit is whole.
    fn step(
        &mut self,
        reader: &mut Reader<'_>,
        out: &mut impl FnMut(&Facts, Event<'_>) -> Result<()>,
    ) -> Result<()> {
        match self.progress.state {
            State::Header => self.progress.header(reader),
            State::Section => self.progress.section(reader),
            State::Configuration => self.progress.subsection(reader),
            State::Table { left_bytes } => self.progress.table_entry(reader, left_bytes),
            State::Records => self.progress.records(reader, out),
            State::Footer => self.progress.footer(reader),
            State::Foreign { id } => self.progress.foreign(reader, id),
            State::Devices => {
                let start = self.progress.facts.devices_offset.unwrap_or(0);
                let bytes = reader.bytes(reader.remaining(), "device sections")?;
                if let Some(len_bytes) = self.tail.push(bytes, start) {
                    self.progress.facts.devices = core::mem::take(&mut self.tail.devices);
                    self.progress.facts.end_offset = Some(start.saturating_add(len_bytes as u64));
                    self.progress.state = State::Ended;
                }
                Ok(())
            }
            State::Ended => reader.bytes(reader.remaining(), "what follows").map(drop),
        }
    }

    /// As much of the front span as there are bytes.
    fn span(
        &mut self,
        reader: &mut Reader<'_>,
        out: &mut impl FnMut(&Facts, Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let available = reader.remaining() as u64;
        let done = match self.progress.spans.front_mut() {
            Some(Span::Skip(left)) => {
                take(reader, left)?;
                *left == 0
            }
            Some(Span::Data {
                block,
                offset,
                left_bytes,
            }) => {
                let at = Some(reader.offset());
                let bytes = take(reader, left_bytes)?;
                let event = Event::Data {
                    block: *block,
                    offset: *offset,
                    bytes,
                    at,
                };
                *offset = offset.saturating_add(bytes.len() as u64);
                let done = *left_bytes == 0;
                out(&self.progress.facts, event)?;
                done
            }
            Some(Span::Bitmap(bitmap)) => {
                bitmap.push(reader.bytes(
                    usize::try_from(available.min(bitmap.left_bytes())).unwrap_or(usize::MAX),
                    "page bitmap",
                )?);
                bitmap.left_bytes() == 0
            }
            Some(Span::Pages(pages)) => {
                let (block, offset, is_set, run_bytes) = pages.run();
                let len = usize::try_from(run_bytes.min(available)).unwrap_or(usize::MAX);
                let at = Some(reader.offset());
                let bytes = reader.bytes(len, "page data")?;
                let done = pages.advance(bytes.len() as u64);
                if is_set {
                    let event = Event::Data {
                        block,
                        offset,
                        bytes,
                        at,
                    };
                    out(&self.progress.facts, event)?;
                }
                done
            }
            None => true,
        };
        if done && let Some(Span::Bitmap(bitmap)) = self.progress.spans.pop_front() {
            self.progress.bitmap_complete(bitmap);
        }
        Ok(())
    }
}

/// The next bytes, no more than `left`, which shrinks by as many.
fn take<'a>(reader: &mut Reader<'a>, left: &mut u64) -> Result<&'a [u8]> {
    let len = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(reader.remaining());
    *left = left.saturating_sub(len as u64);
    reader.bytes(len, "page data")
}
