//! Reads one input to its end and keeps what jobs need of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use fm_formats::Sha256;
use fm_stream::{Block, BlockKind, Facts, Note, Parser, Sparse};
use sha2::Digest as _;

use super::channels::{self, ReadChannel};
use super::contents::Contents;
use super::feed::{self, Stop};
use super::input::{self, Container, Opened, Request};
use crate::error::Stopped;
use crate::{Error, Result};

/// What a stream and its channels hold.
#[derive(Debug)]
pub struct Gathered {
    /// The file it came from.
    pub path: PathBuf,
    /// What the stream lies in.
    pub container: Container,
    /// Where in the file the stream starts; 0 for what is decompressed or lies in an image.
    pub offset: u64,
    /// What the stream told of itself, page counts of the channels included.
    pub facts: Facts,
    /// How far it was read: its length, if it is whole.
    pub read_bytes: u64,
    /// Why reading stopped before the end, or what is missing; `None` for a whole stream.
    pub stopped: Option<Stopped>,
    pub(crate) channels: Vec<ReadChannel>,
    contents: Contents,
}

/// Reads the stream that `request` names. A stream that is cut short or damaged is a result as well:
/// [`Gathered::stopped`] says where and why.
///
/// # Errors
/// [`Error`] if the input cannot be read or does not start as anything that holds a stream.
pub fn gather(request: &Request) -> Result<Gathered> {
    gather_into(request, BTreeMap::new())
}

/// As [`gather`]; the pages of the blocks named in `sinks` are written to those files, which are new. What
/// they hold is the block if [`Gathered::is_whole`] says so, once the file has the block's length.
///
/// # Errors
/// As [`gather`], or if such a file cannot be written.
pub(crate) fn gather_into(request: &Request, sinks: BTreeMap<String, File>) -> Result<Gathered> {
    let Opened {
        container,
        first,
        mut feed,
        offset,
    } = input::open(request)?;
    let extra: Vec<String> = sinks.keys().cloned().collect();
    let mut parser = Parser::new(offset, move |name| {
        BlockKind::of(name).is_firmware() || extra.iter().any(|wanted| wanted == name)
    });
    let mut contents = Contents::new(sinks, !request.channels.is_empty());
    let fed = feed::run(&mut parser, &mut feed, &first, &mut |facts, event| {
        contents.take(facts, &event, (facts.round(), 0));
        Ok(())
    });
    let mut stopped = match fed {
        Ok(()) => None,
        Err(Stop::Parse(error)) => Some(Stopped::Stream(error)),
        Err(Stop::Read(source)) => Some(Stopped::Source {
            offset: parser.offset(),
            source: Arc::new(source),
        }),
    };
    let mut facts = parser.facts().clone();
    if let Container::Stream = container
        && offset > 0
    {
        facts.notes.push(Note {
            offset,
            text: "the stream starts here, behind what else the file holds".into(),
        });
    }
    let read_bytes = facts.end_offset.unwrap_or(parser.offset());
    if facts.end_offset.is_some()
        && let Some(bytes) = feed.behind(read_bytes)
    {
        facts.notes.push(Note {
            offset: read_bytes,
            text: format!("the stream ends here; {bytes} bytes follow it"),
        });
    }
    drop(parser);
    let channels = channels::read(&request.channels, &mut facts, &mut contents)?;
    contents
        .finish(&facts)
        .map_err(|source| Error::file("write what comes from", &request.path, source))?;
    if let Container::SaveImage { header, .. } = &container
        && !header.is_complete
    {
        stopped = stopped.or(Some(Stopped::Unfinished));
    }
    let mut gathered = Gathered {
        path: request.path.clone(),
        container,
        offset,
        facts,
        read_bytes,
        stopped,
        channels,
        contents,
    };
    gathered.account();
    Ok(gathered)
}

impl Gathered {
    /// The index of the block with that name.
    #[must_use]
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.facts.blocks.iter().position(|block| block.name == name)
    }

    /// The index of the first block of that kind.
    #[must_use]
    pub fn first_of(&self, kind: BlockKind) -> Option<usize> {
        self.facts.blocks.iter().position(|block| block.kind == kind)
    }

    /// Whether it is a background snapshot whose pages nobody can tell from zeros: QEMU 10 and 11 write the bitmaps of
    /// mapped-ram in `ram_save_complete`, which such a snapshot never comes to.
    fn lacks_bitmaps(&self) -> bool {
        let mut mapped = self
            .facts
            .blocks
            .iter()
            .filter(|block| block.pages_offset.is_some())
            .peekable();
        self.facts.background && mapped.peek().is_some() && mapped.all(|block| block.pages.data == 0)
    }

    /// Holds the pages that came against the pages that were announced.
    fn account(&mut self) {
        if self.lacks_bitmaps() {
            self.stopped = self.stopped.take().or(Some(Stopped::NoBitmaps));
            return;
        }
        let (mut missing, mut notes) = (None, Vec::new());
        if self.facts.background {
            notes.push(Note {
                offset: self.facts.devices_offset.unwrap_or(0),
                text: "a background snapshot: the guest ran on while it was saved, and QEMU does not keep it from \
                       its flash; what it wrote to its variables meanwhile may be in them"
                    .into(),
            });
        }
        for (index, block) in self.facts.blocks.iter().enumerate() {
            let mut note = |text| {
                notes.push(Note {
                    offset: block.offset,
                    text,
                });
            };
            if self.contents.collector.refused(index) {
                note(format!(
                    "the contents of {:?} are not kept: no firmware has as much data",
                    block.name
                ));
            }
            let left = self.missing_pages(index, block);
            if left == 0 || !self.facts.ram_complete {
                continue;
            }
            let is_memory = block.kind == BlockKind::Memory;
            if is_memory && block.guest_address.is_some() && count(block) == 0 {
                note(format!(
                    "{:?} is in a file shared with others, not in the stream",
                    block.name
                ));
            } else if is_memory || self.facts.postcopy {
                // Free page hinting and virtio-mem leave out what the guest does not use.
                note(format!("{left} pages of {:?} are not in the stream", block.name));
            } else if missing.is_none() {
                missing = Some(Stopped::Pages {
                    block: block.name.clone(),
                    offset: block.offset,
                    missing: left,
                    has_channels: !self.channels.is_empty(),
                });
            }
        }
        self.facts.notes.extend(notes);
        let of_channels = || channels::missing(&self.channels);
        self.stopped = self.stopped.take().or_else(of_channels).or(missing);
    }

    /// How many of the block's pages never came.
    fn missing_pages(&self, index: usize, block: &Block) -> u64 {
        let pages = block.size_bytes.div_ceil(self.facts.page_size_bytes);
        let came = match (block.pages_offset, block.wanted) {
            (Some(_), _) if self.facts.ram_complete && !self.lacks_bitmaps() => pages,
            (Some(_), _) => 0,
            (None, true) => self.contents.collector.pages_seen(index),
            (None, false) => count(block),
        };
        pages.saturating_sub(came)
    }

    /// Whether the block's content is known to its last byte. Of a stream that is cut short that can be
    /// said of what the guest cannot write; anything else might have been sent once more.
    pub fn is_whole(&self, index: usize) -> bool {
        let facts = &self.facts;
        facts.blocks.get(index).is_some_and(|block| {
            let read_only = matches!(
                block.kind,
                BlockKind::Code | BlockKind::Bios | BlockKind::OptionRom
            );
            let all_came = facts.ram_complete && channels::missing(&self.channels).is_none();
            block.wanted
                && !self.contents.collector.refused(index)
                && self.missing_pages(index, block) == 0
                && (all_came || read_only)
        })
    }

    /// Whether the block's content was given up because no firmware has as much.
    pub fn is_refused(&self, index: usize) -> bool {
        self.contents.collector.refused(index)
    }

    /// What was collected of a block, if that is all of it.
    fn content(&self, index: usize) -> Option<&Sparse> {
        self.contents.block(index).filter(|_| self.is_whole(index))
    }

    /// The bytes of a block that was collected whole, in pieces.
    pub fn pieces(&self, index: usize) -> Option<impl Iterator<Item = &[u8]>> {
        self.content(index).map(Sparse::pieces)
    }

    /// The bytes of a block that was collected whole.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<Vec<u8>> {
        self.content(index).map(Sparse::to_vec)
    }

    /// The digest of a block that was collected whole.
    #[must_use]
    pub fn sha256(&self, index: usize) -> Option<Sha256> {
        let mut hasher = sha2::Sha256::new();
        self.pieces(index)?.for_each(|piece| hasher.update(piece));
        Some(Sha256::from_bytes(hasher.finalize().into()))
    }
}

/// How many records of pages a block has; a page that was sent twice has two.
fn count(block: &Block) -> u64 {
    let pages = &block.pages;
    [pages.data, pages.zero, pages.xbzrle, pages.compressed]
        .into_iter()
        .fold(0, u64::saturating_add)
}
