//! Where the pages of wanted blocks go: into memory, or straight into a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use fm_stream::{Collector, Event, Facts, Sparse};

/// Flash and ROM contents that are kept: two chips of 64 MiB are mostly one byte, which takes nothing.
const MAX_KEPT_BYTES: u64 = 24 << 20;

/// The pages that were asked for.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) collector: Collector,
    /// Blocks by name that go to files of their own.
    sinks: BTreeMap<String, Sink>,
    failed: Option<io::Error>,
}

/// A file that a block's pages are written to.
#[derive(Debug)]
struct Sink {
    file: File,
    /// Nothing was written from here on.
    end: u64,
}

impl Contents {
    /// Contents of which the blocks named in `sinks` go to those files, which are empty yet.
    pub(super) fn new(sinks: BTreeMap<String, File>, has_channels: bool) -> Self {
        let sinks = sinks.into_iter();
        Self {
            collector: match has_channels {
                true => Collector::with_channels(MAX_KEPT_BYTES),
                false => Collector::new(MAX_KEPT_BYTES),
            },
            sinks: sinks.map(|(name, file)| (name, Sink { file, end: 0 })).collect(),
            failed: None,
        }
    }

    /// Whether the block of that name goes to a file.
    pub(super) fn has_sink(&self, name: &str) -> bool {
        self.sinks.contains_key(name)
    }

    pub(super) fn take(&mut self, facts: &Facts, event: &Event<'_>, stamp: (u64, u64)) {
        let name = facts.blocks.get(event.block()).map(|block| block.name.as_str());
        let Some(sink) = name.and_then(|name| self.sinks.get_mut(name)) else {
            self.collector.take_stamped(facts, event, stamp);
            return;
        };
        if self.collector.accept(facts, event, stamp) && self.failed.is_none() {
            self.failed = sink.write(event).err();
        }
    }

    /// Says that no more pages come: blocks of which none came get their place.
    pub(super) fn finish(&mut self, facts: &Facts) -> io::Result<()> {
        for (index, block) in facts.blocks.iter().enumerate() {
            if block.wanted && !self.has_sink(&block.name) {
                self.collector.open(facts, index);
            }
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    pub(super) fn block(&self, index: usize) -> Option<&Sparse> {
        self.collector.block(index)
    }
}

impl Sink {
    /// Zeros over what was never written stay a hole.
    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        match event {
            Event::Data { offset, bytes, .. } => self.put(*offset, bytes),
            Event::Fill {
                offset,
                len_bytes,
                byte,
                ..
            } => {
                let piece = [*byte; 4096];
                let mut at = 0;
                while at < *len_bytes {
                    let len =
                        usize::try_from(*len_bytes - at).map_or(piece.len(), |left| left.min(piece.len()));
                    self.put(offset + at, &piece[..len])?;
                    at += len as u64;
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset >= self.end && bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        self.end = self.end.max(offset + bytes.len() as u64);
        self.file.write_all_at(bytes, offset)
    }
}
