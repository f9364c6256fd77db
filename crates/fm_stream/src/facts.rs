//! What a stream told of itself so far.

use alloc::string::String;
use alloc::vec::Vec;

use super::{BlockKind, Device};

/// Everything that a stream told of itself, apart from page contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Version of the stream format, 3 in every QEMU since 0.12.
    pub version: u32,
    /// Machine type, such as `pc-q35-7.2`.
    pub machine: Option<String>,
    /// Size of a target page in bytes.
    pub page_size_bytes: u64,
    /// Capabilities that the source declared, in its order.
    pub capabilities: Vec<String>,
    /// The guest's UUID, where `x-validate-uuid` put it.
    pub uuid: Option<[u8; 16]>,
    /// The RAM blocks in the order of the stream's table.
    pub blocks: Vec<Block>,
    /// Commands seen before the device sections, by name, each once.
    pub commands: Vec<&'static str>,
    /// Whether `postcopy advise` was among the commands.
    pub postcopy: bool,
    /// How many section ends were seen among the page records.
    pub section_ends: u64,
    /// How many `multifd flush` records were seen.
    pub multifd_flushes: u64,
    /// Whether the final section of RAM was seen to its end.
    pub ram_complete: bool,
    /// Whether it is a background snapshot: devices are saved first and written last, and RAM has no final section.
    pub background: bool,
    /// Where the device sections start, once they did.
    pub devices_offset: Option<u64>,
    /// The device sections, in the order of the stream; empty without a description.
    pub devices: Vec<Device>,
    /// Where the stream ends, once its description was seen to account for all of it.
    pub end_offset: Option<u64>,
    /// What the parser did not know, and where.
    pub notes: Vec<Note>,
}

/// A RAM block and what the stream holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where its entry in the block table stands.
    pub offset: u64,
    /// QEMU's name of it.
    pub name: String,
    /// What the name says it is.
    pub kind: BlockKind,
    /// Its length in use, in bytes.
    pub size_bytes: u64,
    /// Its own page size in bytes, where the source sent one (postcopy of huge pages).
    pub page_size_bytes: Option<u64>,
    /// Its guest physical address, where the source sent one (`x-ignore-shared`).
    pub guest_address: Option<u64>,
    /// Where its pages lie, in a mapped-ram stream: an absolute offset.
    pub pages_offset: Option<u64>,
    /// Whether its pages are handed on.
    pub wanted: bool,
    /// Pages by kind.
    pub pages: Pages,
}

/// How many page records of each kind a block has. A page that the guest changed during the
/// migration counts once per time it was sent, as in QEMU's `query-migrate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pages {
    /// Sent whole.
    pub data: u64,
    /// Sent as one repeated byte.
    pub zero: u64,
    /// Sent as the difference to what was sent before.
    pub xbzrle: u64,
    /// Sent deflated (capability `compress`, removed in QEMU 9.1).
    pub compressed: u64,
    /// Bytes that all of them take in the stream, record headers included.
    pub stream_bytes: u64,
}

/// Something unknown or unreadable that did not stop the parser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it was met.
    pub offset: u64,
    /// What it is.
    pub text: String,
}

impl Facts {
    /// The counter that ties page records to multifd synchronisations: QEMU since 8.0 says when it
    /// flushes the channels, before that it did so at every section end.
    #[must_use]
    pub fn round(&self) -> u64 {
        match self.multifd_flushes {
            0 => self.section_ends,
            flushes => flushes,
        }
    }
}
