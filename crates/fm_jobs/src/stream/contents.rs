//! Where the pages of wanted blocks go: into memory, or straight into a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use fm_formats::stream::{Collector, Event, Facts, Sparse};

/// Flash and ROM contents that are kept: two chips of 64 MiB are mostly one byte, which takes nothing.
const MAX_KEPT_BYTES: u64 = 24 << 20;

/// The pages that were asked for.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) collector: Collector,
    /// Blocks by name that go to files of their own.
    sinks: BTreeMap<String, File>,
    failed: Option<io::Error>,
}

impl Contents {
    /// Contents of which the blocks named in `sinks` go to those files, which are empty yet.
    pub(super) fn new(sinks: BTreeMap<String, File>, has_channels: bool) -> Self {
        Self {
            collector: match has_channels {
                true => Collector::with_channels(MAX_KEPT_BYTES),
                false => Collector::new(MAX_KEPT_BYTES),
            },
            sinks,
            failed: None,
        }
    }

    /// Whether the block of that name goes to a file.
    pub(super) fn has_sink(&self, name: &str) -> bool {
        self.sinks.contains_key(name)
    }

    pub(super) fn take(&mut self, facts: &Facts, event: &Event<'_>, stamp: (u64, u64)) {
        let name = facts.blocks.get(event.block()).map(|block| block.name.as_str());
        let Some(sink) = name.and_then(|name| self.sinks.get(name)) else {
            self.collector.take_stamped(facts, event, stamp);
            return;
        };
        if self.collector.accept(facts, event, stamp) && self.failed.is_none() {
            self.failed = write(sink, event).err();
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

/// Zeros over what was never written stay a hole.
fn write(sink: &File, event: &Event<'_>) -> io::Result<()> {
    match event {
        Event::Data { offset, bytes, .. } => sink.write_all_at(bytes, *offset),
        Event::Fill {
            offset,
            len_bytes,
            byte,
            ..
        } => {
            let written = sink.metadata()?.len();
            if *byte == 0 && *offset >= written {
                return Ok(());
            }
            let piece = [*byte; 4096];
            let mut at = 0;
            while at < *len_bytes {
                let len = usize::try_from(*len_bytes - at).map_or(piece.len(), |left| left.min(piece.len()));
                sink.write_all_at(&piece[..len], offset + at)?;
                at += len as u64;
            }
            Ok(())
        }
    }
}
