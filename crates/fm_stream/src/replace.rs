//! One RAM block's content exchanged in a stream that passes by, the rest of it untouched.
//!
//! QEMU sends each page of a block at least once, as data or as a fill byte (`migration/ram.c:ram_save_page`,
//! `save_zero_page`). Data is overwritten where it stands. A fill record becomes a data record where the new content
//! is not that fill; the destination takes either for any page (`ram_load_precopy`). The stream is handed on as soon as
//! it is understood, so that nothing but a record that is cut short is ever held back.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::event::Event;
use super::field::unexpected;
use super::parser::Parser;
use super::record::{CONTINUE, PAGE, ZERO};
use super::{BlockKind, Facts};
use fm_formats::{Error, Result};

/// Capabilities under which pages are not where a relay could exchange them, or are sent in another form.
const UNFIT_CAPABILITIES: [&str; 3] = ["mapped-ram", "x-ignore-shared", "multifd"];

/// A stream's CODE flash, exchanged on the way.
#[derive(Debug)]
pub struct Replacer {
    parser: Parser,
    code: Vec<u8>,
    /// Whether each page came by.
    seen: Vec<bool>,
    /// Whether each was given other content.
    replaced: Vec<bool>,
    checked: bool,
    /// Whether all of RAM has passed: what follows is handed on as it is.
    done: bool,
    found: Vec<Found>,
}

/// What may be handed on of a buffer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// How much of the buffer; the rest belongs to a record that is cut short, and comes first in the next buffer.
    pub len: usize,
    /// What stands in the place of parts of it, ascending.
    pub inserts: Vec<Insert>,
}

/// What stands in the place of a part of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Insert {
    /// The part.
    pub range: Range<usize>,
    /// What is sent instead.
    pub with: Vec<u8>,
}

/// A part of CODE that came by.
#[derive(Debug, Clone, Copy)]
struct Found {
    at: u64,
    offset: u64,
    len_bytes: u64,
    fill: Option<u8>,
}

impl Replacer {
    /// A stream from its first byte on, whose CODE flash becomes `code`.
    #[must_use]
    pub fn new(code: Vec<u8>) -> Self {
        Self {
            parser: Parser::new(0, |name| BlockKind::of(name) == BlockKind::Code),
            code,
            seen: Vec::new(),
            replaced: Vec::new(),
            checked: false,
            done: false,
            found: Vec::new(),
        }
    }

    /// Whether all of RAM has passed.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// How many pages were given other content.
    #[must_use]
    pub fn pages_replaced(&self) -> u64 {
        self.replaced.iter().filter(|replaced| **replaced).count() as u64
    }

    /// Exchanges what is in `buffer`, whose first `held` bytes are what [`Ready::len`] left of the one before.
    ///
    /// # Errors
    /// If the stream is not understood, has no CODE of this size, or does not carry its pages plainly; nothing of the
    /// buffer may be handed on then.
    pub fn push(&mut self, buffer: &mut [u8], held: usize) -> Result<Ready> {
        if self.done {
            return Ok(Ready {
                len: buffer.len(),
                inserts: Vec::new(),
            });
        }
        let base = self.parser.understood_offset();
        self.found.clear();
        let found = &mut self.found;
        let fresh = buffer.get(held..).unwrap_or_default();
        self.parser.push(fresh, &mut |_, event| {
            found.push(Found::of(&event)?);
            Ok(())
        })?;
        let facts = self.parser.facts();
        if !self.checked && facts.blocks.iter().any(|block| block.pages != Default::default()) {
            self.seen = vec![false; check(facts, self.code.len() as u64)?];
            self.replaced = vec![false; self.seen.len()];
            self.checked = true;
        }
        let page_bytes = facts.page_size_bytes.max(1);
        let is_complete = facts.ram_complete;
        let mut inserts = Vec::new();
        for found in core::mem::take(&mut self.found) {
            let page = found.offset.checked_div(page_bytes).unwrap_or(0);
            let page = usize::try_from(page).unwrap_or(usize::MAX);
            let is_other = |replaced: &mut Vec<bool>| {
                if let Some(replaced) = replaced.get_mut(page) {
                    *replaced = true;
                }
            };
            if let Some(seen) = self.seen.get_mut(page) {
                *seen = true;
            }
            let new = part(&self.code, found.offset, found.len_bytes);
            let Some(start) = usize::try_from(found.at.saturating_sub(base)).ok().zip(new) else {
                return Err(unexpected(
                    "page address",
                    found.at,
                    "a page outside CODE",
                    "one in it",
                ));
            };
            let (start, new) = start;
            match found.fill {
                None => {
                    let end = start.saturating_add(new.len());
                    let Some(old) = buffer.get_mut(start..end) else {
                        return Err(unexpected("page data", found.at, "bytes of before", "fresh ones"));
                    };
                    if old != new {
                        old.copy_from_slice(new);
                        is_other(&mut self.replaced);
                    }
                }
                Some(byte) if new.iter().all(|new| *new == byte) => {}
                Some(_) => {
                    let insert = data_record(buffer, start, new, page_bytes)
                        .ok_or_else(|| unexpected("page record", found.at, "a part", "a whole record"))?;
                    inserts.push(insert);
                    is_other(&mut self.replaced);
                }
            }
        }
        if is_complete {
            let missing = self.seen.iter().filter(|seen| !**seen).count();
            if missing > 0 || !self.checked {
                return Err(unexpected(
                    "end of RAM",
                    base,
                    format_args!("{missing} pages of CODE that never came by"),
                    "all of them",
                ));
            }
            self.done = true;
            return Ok(Ready {
                len: buffer.len(),
                inserts,
            });
        }
        let understood = self.parser.understood_offset().saturating_sub(base);
        Ok(Ready {
            len: usize::try_from(understood).unwrap_or(0).min(buffer.len()),
            inserts,
        })
    }
}

impl Found {
    fn of(event: &Event<'_>) -> Result<Self> {
        let (at, offset, len_bytes, fill) = match event {
            Event::Data {
                offset, bytes, at, ..
            } => (at, offset, bytes.len() as u64, None),
            Event::Fill {
                offset,
                len_bytes,
                byte,
                at,
                ..
            } => (at, offset, *len_bytes, Some(*byte)),
        };
        let Some(at) = *at else {
            return Err(unexpected(
                "page record of CODE",
                *offset,
                "a compressed page or a difference",
                "a plain one",
            ));
        };
        Ok(Self {
            at,
            offset: *offset,
            len_bytes,
            fill,
        })
    }
}

/// Whether CODE can be exchanged in a stream of which this is known; how many pages it has.
fn check(facts: &Facts, code_bytes: u64) -> Result<usize> {
    let unfit = |found: alloc::string::String| unexpected("RAM blocks", 0, found, "pages sent plainly");
    if let Some(name) = UNFIT_CAPABILITIES
        .iter()
        .find(|name| facts.capabilities.iter().any(|on| on == *name))
    {
        return Err(unfit(format!("the capability {name}")));
    }
    if facts.postcopy {
        return Err(unfit("postcopy".into()));
    }
    let mut codes = facts.blocks.iter().filter(|block| block.kind == BlockKind::Code);
    let (Some(block), None) = (codes.next(), codes.next()) else {
        return Err(unfit("no CODE flash, or several".into()));
    };
    if block.size_bytes != code_bytes {
        return Err(unexpected(
            "length of CODE",
            block.offset,
            block.size_bytes,
            format!("{code_bytes}"),
        ));
    }
    let pages = code_bytes.div_ceil(facts.page_size_bytes.max(1));
    usize::try_from(pages).map_err(|_| Error::Limit {
        what: "pages of CODE",
        offset: block.offset,
        limit: usize::MAX as u64,
    })
}

fn part(code: &[u8], offset: u64, len_bytes: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    code.get(start..start.checked_add(usize::try_from(len_bytes).ok()?)?)
}

/// The fill record that starts at `start` as a data record with `page`.
fn data_record(buffer: &[u8], start: usize, page: &[u8], page_bytes: u64) -> Option<Insert> {
    let header = u64::from_be_bytes(*buffer.get(start..)?.first_chunk()?);
    let name_at = start.checked_add(8)?;
    let name_end = match header & CONTINUE {
        0 => {
            let len = usize::from(*buffer.get(name_at)?);
            name_at.checked_add(len)?.checked_add(1)?
        }
        _ => name_at,
    };
    let end = name_end.checked_add(1).filter(|end| *end <= buffer.len())?;
    let mut with = ((header & !ZERO) | PAGE).to_be_bytes().to_vec();
    with.extend_from_slice(buffer.get(name_at..name_end)?);
    with.extend_from_slice(page);
    // A page that CODE's end cuts is sent whole.
    let rest = usize::try_from(page_bytes).ok()?.saturating_sub(page.len());
    with.resize(with.len().checked_add(rest)?, 0);
    Some(Insert {
        range: start..end,
        with,
    })
}
