//! QEMU's own list of RAM blocks, read from its heap: the names and lengths that a migration stream carries.
//!
//! A `RAMBlock` (QEMU `include/exec/ramblock.h`) holds the address of its memory, its lengths and its
//! name, and is linked with its neighbours. What is found must agree with the process's mappings, so
//! bytes that only look like a block are passed over; and whoever finds no list here (another layout,
//! another allocator) falls back to the mappings alone.

use fm_formats::Reader;
use zerocopy::little_endian::U64;

use super::RamBlock;
use super::reading::Memory;
use crate::process::Mapping;

/// Offsets in `RAMBlock` on 64-bit hosts.
const HOST: u64 = 24;
const NAME_BYTES: usize = 256;
const NEXT: u64 = 336;
const BLOCK_BYTES: usize = 352;
/// Offset of `parent` in `Object` (QEMU `include/qom/object.h`); `class`, and in it `type`, and in it
/// `name`, come first in their structures.
const OBJECT_PARENT: u64 = 32;
/// A machine lies at most this many parents above its memory regions.
const MAX_PARENT_COUNT: usize = 8;

/// Guests have some twenty blocks; one with hundreds of devices has some hundreds.
const MAX_BLOCK_COUNT: usize = 4096;
/// How much memory is searched for the first block.
const MAX_SEARCH_BYTES: u64 = 256 << 20;
/// Small enough to stay in a core's cache, and to stop soon after the first block.
const CHUNK_BYTES: usize = 256 << 10;
/// Words that are looked at together before any of them is looked at closely.
const GROUP: usize = 8;

/// The blocks in QEMU's own order, and the machine's type if it was found above one of them.
pub(super) fn read(memory: &Memory, mappings: &[Mapping]) -> (Vec<RamBlock>, Option<String>) {
    let Some(first) = search(memory, mappings) else {
        return (Vec::new(), None);
    };
    let mut after = Vec::new();
    let mut next = first.next;
    let mut before = Vec::new();
    // the head's back link leads into the program, where no block lies
    let mut link = first.link_before;
    while before.len() < MAX_BLOCK_COUNT
        && let Some(block) = link.checked_sub(NEXT).and_then(|at| RawBlock::read(memory, at))
    {
        link = block.link_before;
        before.push(block);
    }
    while after.len() < MAX_BLOCK_COUNT
        && let Some(block) = RawBlock::read(memory, next)
    {
        next = block.next;
        after.push(block);
    }
    before.reverse();
    before.push(first);
    before.append(&mut after);
    let machine = before
        .iter()
        .find_map(|block| machine_above(memory, block.region));
    let blocks = before
        .into_iter()
        .filter(|block| !block.name.is_empty())
        .map(|block| RamBlock {
            name: block.name,
            address: block.host,
            used_bytes: block.used_bytes,
            max_bytes: block.max_bytes,
        })
        .collect();
    (blocks, machine)
}

#[derive(Debug)]
struct RawBlock {
    region: u64,
    host: u64,
    used_bytes: u64,
    max_bytes: u64,
    name: String,
    next: u64,
    link_before: u64,
}

impl RawBlock {
    fn read(memory: &Memory, address: u64) -> Option<Self> {
        if address == 0 || !address.is_multiple_of(8) {
            return None;
        }
        let mut bytes = [0; BLOCK_BYTES];
        memory.read_exact_at(&mut bytes, address).ok()?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8; BLOCK_BYTES]) -> Option<Self> {
        fn word(reader: &mut Reader<'_>) -> Option<u64> {
            Some(reader.raw::<U64>("RAMBlock").ok()?.get())
        }
        let mut reader = Reader::new(bytes);
        reader.seek(16, "mr").ok()?;
        let region = word(&mut reader)?;
        let host = word(&mut reader)?;
        let _colo_cache = word(&mut reader)?;
        let _offset = word(&mut reader)?;
        let used_bytes = word(&mut reader)?;
        let max_bytes = word(&mut reader)?;
        let _resized = word(&mut reader)?;
        let _flags = reader.bytes(4, "flags").ok()?;
        let name = reader.bytes(NAME_BYTES, "idstr").ok()?;
        reader.align(8);
        let next = word(&mut reader)?;
        let link_before = word(&mut reader)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        let name = name.get(..end)?;
        let sound = host != 0
            && host.is_multiple_of(4096)
            && region != 0
            && link_before != 0
            && used_bytes <= max_bytes
            && max_bytes != 0
            && name.iter().all(u8::is_ascii_graphic);
        sound.then(|| Self {
            region,
            host,
            used_bytes,
            max_bytes,
            name: String::from_utf8_lossy(name).into_owned(),
            next,
            link_before,
        })
    }
}

/// The first block that the heap holds: a word that is the start of a mapping, in the middle of a
/// structure that names exactly this mapping's length.
fn search(memory: &Memory, mappings: &[Mapping]) -> Option<RawBlock> {
    let starts: Vec<(u64, u64)> = mappings
        .iter()
        .filter(|mapping| mapping.may_hold_ram())
        .map(|mapping| (mapping.start, mapping.len_bytes()))
        .collect();
    let heap = mappings.iter().filter(|mapping| mapping.name == "[heap]");
    // programs with another allocator keep small objects in anonymous memory
    let others = mappings.iter().filter(|mapping| mapping.may_hold_ram());
    let mut budget_bytes = MAX_SEARCH_BYTES;
    let mut chunk = vec![0; CHUNK_BYTES];
    for mapping in heap.chain(others) {
        let mut at = mapping.start;
        while at < mapping.end && budget_bytes > 0 {
            let wanted = mapping.end.saturating_sub(at).min(CHUNK_BYTES as u64) as usize;
            let Ok(read @ 1..) = memory.read_at(chunk.get_mut(..wanted).unwrap_or_default(), at) else {
                break;
            };
            let bytes = chunk.get(..read).unwrap_or_default();
            if let Some(block) = search_chunk(memory, bytes, at, &starts) {
                return Some(block);
            }
            at = at.saturating_add(read as u64);
            budget_bytes = budget_bytes.saturating_sub(read as u64);
        }
    }
    None
}

fn search_chunk(memory: &Memory, bytes: &[u8], at: u64, starts: &[(u64, u64)]) -> Option<RawBlock> {
    let lowest = starts.first()?.0;
    let highest = starts.last()?.0;
    let span = highest.saturating_sub(lowest);
    let may_be_start = |word: u64| (word & 0xfff == 0) & (word.wrapping_sub(lowest) <= span);
    let words = bytes.as_chunks::<8>().0;
    let groups = words.chunks(GROUP).enumerate();
    // hardly any group holds a start, and a group without a branch inside is quickly passed over
    let hit = groups.filter(|(_, group)| {
        let words = group.iter().map(|word| u64::from_le_bytes(*word));
        words.fold(false, |hit, word| hit | may_be_start(word))
    });
    let words = hit.flat_map(|(at, group)| {
        let first = at.saturating_mul(GROUP);
        group
            .iter()
            .enumerate()
            .map(move |(index, word)| (first.saturating_add(index), *word))
    });
    for (index, word) in words {
        let word = u64::from_le_bytes(word);
        if !may_be_start(word) {
            continue;
        }
        let Ok(known) = starts.binary_search_by_key(&word, |(start, _)| *start) else {
            continue;
        };
        let mapped_bytes = starts.get(known).map(|(_, len_bytes)| *len_bytes);
        let address = at.saturating_add(index as u64 * 8).checked_sub(HOST)?;
        if let Some(block) = RawBlock::read(memory, address)
            && mapped_bytes == block.max_bytes.checked_next_multiple_of(4096)
            && !block.name.is_empty()
        {
            return Some(block);
        }
    }
    None
}

/// The machine's type without its `-machine` ending: an owner of the memory region, a few steps up.
fn machine_above(memory: &Memory, region: u64) -> Option<String> {
    let mut object = region;
    for _ in 0..MAX_PARENT_COUNT {
        object = word_at(memory, object.checked_add(OBJECT_PARENT)?)?;
        let class = word_at(memory, object)?;
        let kind = word_at(memory, class)?;
        let name = word_at(memory, kind)?;
        if let Some(machine) = text_at(memory, name)?.strip_suffix("-machine") {
            return Some(machine.to_owned());
        }
    }
    None
}

fn word_at(memory: &Memory, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(u64::from_le_bytes(bytes)).filter(|word| *word != 0)
}

/// Printable text of at most 127 bytes that a zero ends.
fn text_at(memory: &Memory, address: u64) -> Option<String> {
    let mut bytes = [0; 128];
    let read = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes.get(..read)?.iter().position(|byte| *byte == 0)?;
    let text = bytes.get(..end)?;
    let printable = text.iter().all(u8::is_ascii_graphic);
    printable.then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    /// A process whose heap lies at 0x10000 and whose blocks lie above, in a sparse file.
    struct Fake {
        memory: Memory,
        mappings: Vec<Mapping>,
    }

    fn mapping(start: u64, len_bytes: u64, name: &str) -> Mapping {
        Mapping {
            start,
            end: start + len_bytes,
            read_write: true,
            guard: false,
            name: name.to_owned(),
        }
    }

    fn fake() -> Fake {
        Fake {
            memory: Memory::from(tempfile::tempfile().unwrap()),
            mappings: vec![mapping(0x10000, 0x10000, "[heap]")],
        }
    }

    impl Fake {
        fn word(&self, address: u64, word: u64) {
            self.memory
                .file()
                .write_all_at(&word.to_le_bytes(), address)
                .unwrap();
        }

        fn block(&mut self, at: u64, name: &str, host: u64, len: (u64, u64), next: u64, link_before: u64) {
            self.word(at + 16, 0x18000);
            self.word(at + HOST, host);
            self.word(at + 48, len.0);
            self.word(at + 56, len.1);
            self.memory.file().write_all_at(name.as_bytes(), at + 76).unwrap();
            self.word(at + NEXT, next);
            self.word(at + NEXT + 8, link_before);
            self.word(0x1fff8, 0);
            let mapped_bytes = len.1.next_multiple_of(4096);
            self.mappings.push(mapping(host, mapped_bytes, ""));
            self.mappings.sort_by_key(|mapping| mapping.start);
        }
    }

    fn three_blocks() -> Fake {
        let mut fake = fake();
        // the middle one of the list lies lowest and is found first
        fake.block(
            0x12000,
            "pc.ram",
            0x80_0000,
            (0x40000, 0x40000),
            0x11000,
            0x50_0000,
        );
        fake.block(
            0x11000,
            "system.flash0",
            0x90_0000,
            (0x4000, 0x4000),
            0x13000,
            0x12000 + NEXT,
        );
        fake.block(
            0x13000,
            "/rom@etc/acpi/rsdp",
            0xa0_0000,
            (0x1000, 0x1800),
            0,
            0x11000 + NEXT,
        );
        fake
    }

    #[test]
    fn the_list_is_read_in_order_from_wherever_it_is_found() {
        let fake = three_blocks();
        let (blocks, machine) = read(&fake.memory, &fake.mappings);
        let seen: Vec<_> = blocks
            .iter()
            .map(|block| (block.name.as_str(), block.used_bytes))
            .collect();
        assert_eq!(
            seen,
            [
                ("pc.ram", 0x40000),
                ("system.flash0", 0x4000),
                ("/rom@etc/acpi/rsdp", 0x1000)
            ]
        );
        assert_eq!(blocks[1].address, 0x90_0000);
        assert_eq!(machine, None);
    }

    #[test]
    fn the_machine_is_found_above_its_memory() {
        let fake = three_blocks();
        // region -> flash device -> machine; each: class -> type -> name
        for (object, parent) in [(0x18000, 0x18100), (0x18100, 0x18400)] {
            fake.word(object + OBJECT_PARENT, parent);
        }
        for (object, name) in [(0x18100, "cfi.pflash01\0"), (0x18400, "pc-q35-7.2-machine\0")] {
            fake.word(object, object + 0x80);
            fake.word(object + 0x80, object + 0x90);
            fake.word(object + 0x90, object + 0xa0);
            fake.memory
                .file()
                .write_all_at(name.as_bytes(), object + 0xa0)
                .unwrap();
        }
        let (_, machine) = read(&fake.memory, &fake.mappings);
        assert_eq!(machine.as_deref(), Some("pc-q35-7.2"));
    }

    #[test]
    fn bytes_that_only_look_like_a_block_are_passed_over() {
        for (name, used_bytes, max_bytes) in [
            ("system.flash0", 0x5000, 0x4000),
            ("system.flash0", 0x4000, 0x9000),
            ("sys\u{1}tem", 0x4000, 0x4000),
            ("", 0x4000, 0x4000),
        ] {
            let mut fake = fake();
            fake.block(0x11000, name, 0x90_0000, (used_bytes, max_bytes), 0, 0x50_0000);
            fake.mappings.retain(|mapping| mapping.name == "[heap]");
            fake.mappings.push(mapping(0x90_0000, 0x4000, ""));
            assert_eq!(read(&fake.memory, &fake.mappings), (Vec::new(), None), "{name}");
        }
    }

    #[test]
    fn a_list_that_bites_its_tail_ends() {
        let mut fake = fake();
        fake.block(0x11000, "a", 0x90_0000, (0x4000, 0x4000), 0x11000, 0x11000 + NEXT);
        let (blocks, _) = read(&fake.memory, &fake.mappings);
        assert!(blocks.len() <= 2 * MAX_BLOCK_COUNT + 1);
    }

    #[test]
    fn memory_without_blocks_gives_nothing() {
        let fake = fake();
        assert_eq!(read(&fake.memory, &fake.mappings), (Vec::new(), None));
        assert_eq!(read(&fake.memory, &[]), (Vec::new(), None));
    }
}
