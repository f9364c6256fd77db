//! What is known between two units of a stream: the modules that read one kind of unit each go on from here.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use super::facts::{Facts, Note};
use super::mapped::{Bitmap, MappedPages};

/// The first four bytes of every stream. Source: QEMU `migration/savevm.h:QEMU_VM_FILE_MAGIC`.
pub const MAGIC: [u8; 4] = *b"QEVM";

/// More blocks, notes or commands than this are not kept: real guests have tens of blocks.
pub(super) const MAX_BLOCK_COUNT: usize = 4096;
const MAX_NOTE_COUNT: usize = 64;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Magic and version.
    Header,
    /// A section's type byte and its header.
    Section,
    /// Subsections of the configuration, or the next section.
    Configuration,
    /// RAM blocks that still make up this many bytes.
    Table { left_bytes: u64 },
    /// Page records.
    Records,
    /// The footer of a RAM section, or on old machine types the next section.
    Footer,
    /// A section that is not RAM, up to its footer.
    Foreign { id: u32 },
    /// Device sections and their description.
    Devices,
    /// What lies behind the stream.
    Ended,
}

/// Bytes whose meaning is already known; they come before what [`State`] says.
#[derive(Debug)]
pub(super) enum Span {
    Skip(u64),
    Data {
        block: usize,
        offset: u64,
        left_bytes: u64,
    },
    Bitmap(Bitmap),
    /// All pages of a wanted block in a mapped-ram stream, there or not.
    Pages(MappedPages),
}

/// How far a stream is understood.
pub(super) struct Progress {
    /// Chooses by name the blocks whose pages are handed on.
    pub(super) wanted: Box<dyn Fn(&str) -> bool + Send>,
    pub(super) facts: Facts,
    pub(super) state: State,
    pub(super) spans: VecDeque<Span>,
    pub(super) index: BTreeMap<String, usize>,
    /// The block that a record without a name belongs to.
    pub(super) current: Option<usize>,
    pub(super) ram: Option<RamSection>,
    /// Sections that were started and are not RAM.
    pub(super) foreign: Vec<u32>,
}

/// The RAM section that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct RamSection {
    pub(super) id: u32,
    pub(super) is_last: bool,
}

impl Progress {
    pub(super) fn new(wanted: impl Fn(&str) -> bool + Send + 'static) -> Self {
        Self {
            wanted: Box::new(wanted),
            facts: Facts {
                page_size_bytes: 4096,
                ..Facts::default()
            },
            state: State::Header,
            spans: VecDeque::new(),
            index: BTreeMap::new(),
            current: None,
            ram: None,
            foreign: Vec::new(),
        }
    }

    /// Notes something unknown that does not stop us.
    pub(super) fn note(&mut self, offset: u64, text: String) {
        if self.facts.notes.len() < MAX_NOTE_COUNT {
            self.facts.notes.push(Note { offset, text });
        }
    }
}
