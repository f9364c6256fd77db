//! Reads one input to its end and keeps what jobs need of it.

use std::fs::File;
use std::path::PathBuf;

use fm_formats::Sha256;
use fm_formats::stream::multifd::Channel;
use fm_formats::stream::{BlockKind, Collector, Event, Facts, Pages, Parser};
use sha2::Digest as _;

use super::devices::{self, Device, Devices};
use super::feed::{self, Feed, Stop};
use super::input::{self, Container, Opened, Request};
use crate::{Error, Result};

/// Flash and ROM contents that are kept: two chips of 64 MiB are mostly zeros, which take nothing.
const MAX_KEPT_BYTES: u64 = 48 << 20;

/// What a stream and its channels hold.
#[derive(Debug)]
pub struct Gathered {
    /// The file it came from.
    pub path: PathBuf,
    /// What the stream lies in.
    pub container: Container,
    /// What the stream told of itself, page counts of the channels included.
    pub facts: Facts,
    /// How far it was read: its length, if it is whole.
    pub read_bytes: u64,
    /// Why reading stopped before the end; `None` for a whole stream.
    pub stopped: Option<fm_formats::Error>,
    pub(super) devices: Vec<Device>,
    pub(crate) channels: Vec<ReadChannel>,
    collector: Collector,
}

/// A channel that was read.
#[derive(Debug)]
pub(crate) struct ReadChannel {
    pub(super) id: Option<u8>,
    pub(super) compression: &'static str,
    pub(super) pages: Pages,
}

/// Reads the stream that `request` names. A stream that is cut short or damaged is a result as well:
/// [`Gathered::stopped`] says where and why.
///
/// # Errors
/// [`Error`] if the input cannot be read or does not start as anything that holds a stream.
pub fn gather(request: &Request) -> Result<Gathered> {
    let Opened {
        container,
        first,
        mut feed,
        offset,
    } = input::open(request)?;
    let extra = request.blocks.clone();
    let mut parser = Parser::new(offset, move |name| {
        BlockKind::of(name).is_firmware() || extra.iter().any(|wanted| wanted == name)
    });
    let mut collector = Collector::new(MAX_KEPT_BYTES);
    let mut tail = Vec::new();
    let mut tail_bytes = 0u64;
    let fed = feed::run(&mut parser, &mut feed, &first, &mut |facts, event| {
        if let Event::Devices(bytes) = event {
            tail_bytes += bytes.len() as u64;
            if tail.len() + bytes.len() <= devices::MAX_BYTES {
                tail.extend_from_slice(bytes);
            }
            return Ok(());
        }
        collector.take(facts, &event, offset)
    });
    let mut stopped = match fed {
        Ok(()) => None,
        Err(Stop::Parse(error)) => Some(error),
        Err(Stop::Read(source)) => {
            return Err(Error::File {
                action: "read",
                path: request.path.clone(),
                source,
            });
        }
    };
    let read_bytes = parser.offset();
    let mut facts = parser.facts().clone();
    let mut devices = Devices::default();
    if let Some(at) = facts.devices_offset {
        if tail_bytes > tail.len() as u64 {
            stopped = Some(fm_formats::Error::Limit {
                what: "device sections in bytes",
                offset: at,
                limit: devices::MAX_BYTES as u64,
            });
        } else {
            devices = devices::read(&tail, at);
        }
    }
    drop(tail);
    let channels = read_channels(request, &mut facts, &mut collector)?;
    if stopped.is_none() && !facts.ram_complete {
        stopped = facts.devices_offset.map(|offset| fm_formats::Error::Truncated {
            field: "last section of RAM",
            offset,
            needed_bytes: 1,
            available_bytes: 0,
        });
    }
    if stopped.is_none() {
        stopped = devices.whole.and_then(std::result::Result::err);
    }
    if stopped.is_none()
        && let Some(stated) = devices.page_size_bytes
        && stated != facts.page_size_bytes
    {
        stopped = Some(fm_formats::Error::Unexpected {
            field: "page size of the description",
            offset: facts.devices_offset.unwrap_or(0),
            found: stated.to_string(),
            expected: facts.page_size_bytes.to_string(),
        });
    }
    Ok(Gathered {
        path: request.path.clone(),
        container,
        facts,
        read_bytes,
        stopped,
        devices: devices.devices,
        channels,
        collector,
    })
}

fn read_channels(
    request: &Request,
    facts: &mut Facts,
    collector: &mut Collector,
) -> Result<Vec<ReadChannel>> {
    let known = facts.clone();
    let mut channels = Vec::new();
    for path in &request.channels {
        let unreadable = |source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        };
        let refused = |source| Error::Stream {
            path: path.clone(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let mut feed = Feed::File {
            len_bytes: file.metadata().map_err(unreadable)?.len(),
            file,
            position: 0,
        };
        let mut channel = Channel::new(&known);
        let mut take = |event: Event<'_>, stamp| collector.take_stamped(&known, &event, stamp, 0);
        feed.drain(|bytes| channel.push(bytes, &mut take).map_err(Stop::Parse))
            .map_err(|stop| match stop {
                Stop::Read(source) => unreadable(source),
                Stop::Parse(source) => refused(source),
            })?;
        channel.finish(&mut take).map_err(refused)?;
        let mut total = Pages::default();
        for (block, pages) in facts.blocks.iter_mut().zip(channel.pages()) {
            for sum in [&mut block.pages, &mut total] {
                sum.data += pages.data;
                sum.zero += pages.zero;
                sum.stream_bytes += pages.stream_bytes;
            }
        }
        channels.push(ReadChannel {
            id: channel.id(),
            compression: channel.compression(),
            pages: total,
        });
    }
    Ok(channels)
}

impl Gathered {
    /// The index of the block with that name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.facts.blocks.iter().position(|block| block.name == name)
    }

    /// The index of the first block of that kind.
    #[must_use]
    pub fn first_of(&self, kind: BlockKind) -> Option<usize> {
        self.facts.blocks.iter().position(|block| block.kind == kind)
    }

    /// Whether the block's content is known to its last byte. Of a stream that is cut short that can be
    /// said of what the guest cannot write; anything else might have been sent once more.
    fn is_whole(&self, index: usize) -> bool {
        let facts = &self.facts;
        facts.blocks.get(index).is_some_and(|block| {
            let read_only = matches!(
                block.kind,
                BlockKind::Code | BlockKind::Bios | BlockKind::OptionRom
            );
            let pages = block.size_bytes.div_ceil(facts.page_size_bytes);
            let covered = match block.pages_offset {
                Some(_) => facts.ram_complete,
                None => self.collector.pages_seen(index) >= pages,
            };
            block.wanted && covered && (facts.ram_complete || read_only)
        })
    }

    /// The bytes of a block that was collected whole, in pieces.
    pub fn pieces(&self, index: usize) -> Option<impl Iterator<Item = &[u8]>> {
        if !self.is_whole(index) {
            return None;
        }
        self.collector
            .block(index)
            .map(fm_formats::stream::Sparse::pieces)
    }

    /// The bytes of a block that was collected whole.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<Vec<u8>> {
        if !self.is_whole(index) {
            return None;
        }
        self.collector
            .block(index)
            .map(fm_formats::stream::Sparse::to_vec)
    }

    /// The digest of a block that was collected whole.
    #[must_use]
    pub fn sha256(&self, index: usize) -> Option<Sha256> {
        let mut hasher = sha2::Sha256::new();
        self.pieces(index)?.for_each(|piece| hasher.update(piece));
        Some(Sha256::from_bytes(hasher.finalize().into()))
    }
}
