//! Streams built field by field: what real guests do not send is in here, cut and bent.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

mod background;
mod channels;
mod devices;
mod images;
mod replace;
mod sparse;

use proptest::prelude::*;

use super::*;
use fm_formats::Error;

const PAGE: usize = 4096;

/// A stream under construction.
#[derive(Clone)]
struct Build(Vec<u8>);

impl Build {
    fn new() -> Self {
        Self(b"QEVM\0\0\0\x03".to_vec()).machine("pc-q35-7.2")
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn be32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    fn be64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    fn name(self, name: &str) -> Self {
        self.bytes(&[u8::try_from(name.len()).unwrap()])
            .bytes(name.as_bytes())
    }

    fn machine(self, name: &str) -> Self {
        self.bytes(&[7]).be32(name.len() as u32).bytes(name.as_bytes())
    }

    fn subsection(self, name: &str) -> Self {
        self.bytes(&[5]).name(name).be32(1)
    }

    fn ram(self, blocks: &[(&str, u64)]) -> Self {
        let total: u64 = blocks.iter().map(|(_, size)| size).sum();
        let start = self
            .bytes(&[1])
            .be32(2)
            .name("ram")
            .be32(0)
            .be32(4)
            .be64(total | 4);
        blocks
            .iter()
            .fold(start, |build, (name, size)| build.name(name).be64(*size))
    }

    fn page(self, block: &str, address: u64, fill: u8) -> Self {
        self.be64(address | 0x08).name(block).bytes(&[fill; PAGE])
    }

    fn zero(self, address: u64) -> Self {
        self.be64(address | 0x22).bytes(&[0])
    }

    fn end_of_section(self) -> Self {
        self.be64(0x10).bytes(&[0x7e]).be32(2)
    }

    fn part(self, kind: u8) -> Self {
        self.bytes(&[kind]).be32(2)
    }

    fn section(self, id: u32, name: &str, state: &[u8]) -> Self {
        let head = self.bytes(&[4]).be32(id).name(name).be32(0).be32(2);
        head.bytes(state).bytes(&[0x7e]).be32(id)
    }

    fn devices(self) -> Self {
        self.section(3, "timer", &[1; 24]).bytes(&[0])
    }

    fn description(self, json: &str) -> Self {
        self.bytes(&[0, 6]).be32(json.len() as u32).bytes(json.as_bytes())
    }

    /// Two devices and what QEMU says of them, laid out as `migration/vmstate.c` does.
    fn described(self) -> Self {
        self.section(3, "timer", &[1; 24])
            .section(4, "0000:00:01.0/vga", &[0x55; 40])
            .description(DESCRIPTION)
    }
}

/// A field, an array, and a subsection: 8 + 2 * 16, and 30 + 6 + 4.
const DESCRIPTION: &str = r#"{"configuration": {"vmsd_name": "configuration", "version": 1,
    "fields": [{"name": "len", "type": "uint32", "size": 4}]}, "page_size": 4096, "devices": [
    {"name": "timer", "instance_id": 0, "vmsd_name": "timer", "version": 2, "fields": [
        {"name": "ticks", "type": "int64", "size": 8},
        {"name": "unused", "array_len": 2, "type": "buffer", "size": 8}]},
    {"name": "0000:00:01.0\/vga", "instance_id": 0, "vmsd_name": "vga", "version": 2, "fields": [
        {"name": "dev", "type": "struct", "struct": {"fields": [{"size": 99}]}, "size": 3}],
     "subsections": [{"vmsd_name": "a/subsection-of-thirty-letters", "version": 1,
        "fields": [{"name": "x", "type": "int8", "size": 1}]}]}]}"#;

struct Read {
    facts: Facts,
    flash: Option<Vec<u8>>,
    result: fm_formats::Result<()>,
}

fn read(pieces: &[&[u8]], skip: bool) -> Read {
    let mut parser = Parser::new(0, |name| BlockKind::of(name).is_firmware());
    let mut collector = Collector::new(1 << 20);
    let mut push = |parser: &mut Parser, bytes: &[u8]| {
        parser.push(bytes, &mut |facts, event| {
            collector.take(facts, &event);
            Ok(())
        })
    };
    let mut result = Ok(());
    for piece in pieces {
        let mut piece = *piece;
        while result.is_ok() && !piece.is_empty() {
            let ahead = usize::try_from(parser.skippable_bytes())
                .unwrap_or(usize::MAX)
                .min(piece.len());
            if skip && ahead > 0 {
                parser.skip(ahead as u64);
                piece = &piece[ahead..];
            } else {
                result = push(&mut parser, piece);
                break;
            }
        }
    }
    let result = result.and_then(|()| parser.finish());
    let facts = parser.facts().clone();
    let flash = facts
        .blocks
        .iter()
        .position(|block| block.name == "system.flash0");
    Read {
        flash: flash.and_then(|index| collector.block(index)).map(Sparse::to_vec),
        facts,
        result,
    }
}

fn offset(error: &Error) -> u64 {
    match error {
        Error::Truncated { offset, .. }
        | Error::Unexpected { offset, .. }
        | Error::Limit { offset, .. }
        | Error::Decode { offset, .. } => *offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_record_reaches_the_block_it_belongs_to() {
    let stream = small();
    let read = read(&[&stream], false);
    read.result.unwrap();
    let mut flash = vec![2u8; PAGE];
    flash[5..7].copy_from_slice(&[7, 8]);
    flash.extend([0xff; PAGE]);
    flash.extend([5; PAGE]);
    assert_eq!(read.flash.unwrap(), flash);
    assert_eq!(read.facts.machine.as_deref(), Some("pc-q35-7.2"));
    assert_eq!(read.facts.capabilities, ["x-future"]);
    assert_eq!(read.facts.commands, ["ping"]);
    assert_eq!((read.facts.section_ends, read.facts.multifd_flushes), (3, 1));
    assert!(read.facts.ram_complete);
    assert!(read.facts.notes.iter().any(|note| note.text.contains("x-future")));
    let counts: Vec<_> = read
        .facts
        .blocks
        .iter()
        .map(|block| {
            (
                block.pages.data,
                block.pages.zero,
                block.pages.xbzrle,
                block.pages.compressed,
            )
        })
        .collect();
    assert_eq!(counts, [(1, 1, 0, 0), (1, 1, 1, 1)]);
}

/// Every kind of record, in a stream of 9 KiB.
fn small() -> Vec<u8> {
    let page = [5u8; PAGE];
    let deflated = miniz_oxide::deflate::compress_to_vec_zlib(&page, 6);
    Build::new()
        .subsection("configuration/capabilities")
        .be32(1)
        .name("x-future")
        .bytes(&[8, 0, 2, 0, 4, 0, 0, 0, 0])
        .ram(&[("pc.ram", 0x2000), ("system.flash0", 0x3000)])
        .end_of_section()
        .part(2)
        .page("pc.ram", 0, 1)
        .zero(0x1000)
        .page("system.flash0", 0, 2)
        .be64(0x1000 | 0x22)
        .bytes(&[0xff])
        .be64(0x200)
        .end_of_section()
        .part(3)
        .be64(0x60)
        .bytes(&[1, 0, 4, 5, 2, 7, 8])
        .be64(0x2000 | 0x120)
        .be32(deflated.len() as u32)
        .bytes(&deflated)
        .end_of_section()
        .devices()
        .0
}

#[test]
fn the_pieces_in_which_a_stream_arrives_do_not_matter() {
    let stream = small();
    let whole = read(&[&stream], false);
    for size in [1, 2, 3, 7, 64, 4095, 4096, 4104] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        for skip in [false, true] {
            let parts = read(&pieces, skip);
            assert_eq!(parts.result, Ok(()), "pieces of {size}");
            assert_eq!(parts.facts, whole.facts, "pieces of {size}");
            assert_eq!(parts.flash, whole.flash, "pieces of {size}");
        }
    }
}

#[test]
fn a_stream_cut_anywhere_before_its_devices_is_refused_with_the_offset_of_what_is_cut() {
    let stream = small();
    let devices = usize::try_from(read(&[&stream], false).facts.devices_offset.unwrap()).unwrap();
    for cut in 0..devices {
        let error = read(&[&stream[..cut]], false).result.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "cut at {cut}: {error}");
        assert!(offset(&error) <= cut as u64, "cut at {cut}: {error}");
        assert!(offset(&error) + 4200 > cut as u64, "cut at {cut}: {error}");
    }
}

#[test]
fn hostile_lengths_are_refused_where_they_stand() {
    let table = Build::new().ram(&[("pc.ram", 0x1000)]);
    let cases: [(&str, Vec<u8>); 12] = [
        (
            "a machine name of 4 GiB",
            Build(b"QEVM\0\0\0\x03\x07".to_vec()).be32(u32::MAX).0,
        ),
        (
            "4 billion capabilities",
            Build::new()
                .subsection("configuration/capabilities")
                .be32(u32::MAX)
                .0,
        ),
        (
            "pages of 2^31 bytes",
            Build::new()
                .subsection("configuration/target-page-bits")
                .be32(31)
                .0,
        ),
        (
            "an unknown subsection",
            Build::new().subsection(&"n".repeat(255)).0,
        ),
        (
            "a block larger than all RAM",
            Build::new()
                .bytes(&[1])
                .be32(2)
                .name("ram")
                .be32(0)
                .be32(4)
                .be64(0x1004)
                .name("a")
                .be64(1 << 63)
                .0,
        ),
        (
            "a block twice",
            Build::new().ram(&[("a", 0x1000), ("a", 0x1000)]).0,
        ),
        (
            "a page behind its block",
            table.clone().be64(0x1000 | 0x08).name("pc.ram").0,
        ),
        (
            "a page at 2^63",
            table.clone().be64(1 << 63 | 0x08).name("pc.ram").0,
        ),
        (
            "a page of no block",
            table.clone().be64(0x08).name(&"n".repeat(255)).0,
        ),
        ("a page of the block before the first", table.clone().be64(0x28).0),
        ("unknown flags", table.clone().be64(0x800).0),
        (
            "an XBZRLE page of 64 KiB",
            table.be64(0x40).name("pc.ram").bytes(&[1, 0xff, 0xff]).0,
        ),
    ];
    for (case, stream) in cases {
        let result = read(&[&stream], false).result;
        let error = result.expect_err(case);
        assert!(!matches!(error, Error::Truncated { .. }), "{case}: {error}");
        assert!(offset(&error) < stream.len() as u64, "{case}: {error}");
    }
}

#[test]
fn a_block_of_2_to_the_63_bytes_takes_no_memory() {
    let stream = Build::new()
        .ram(&[("system.flash0", 1 << 63)])
        .zero_named("system.flash0", 1 << 62)
        .0;
    let read = read(&[&stream], false);
    assert!(matches!(read.result, Err(Error::Truncated { .. })));
    assert_eq!(read.flash, None);
}

#[test]
fn pages_of_64_kib_are_read_as_such() {
    let page = 0x1_0000u64;
    let stream = Build::new()
        .subsection("configuration/target-page-bits")
        .be32(16)
        .ram(&[("virt.flash0", 2 * page)])
        .be64(page | 0x08)
        .name("virt.flash0")
        .bytes(&[3; 0x1_0000])
        .be64(0x22)
        .bytes(&[0])
        .end_of_section()
        .part(3)
        .end_of_section()
        .devices()
        .0;
    let mut parser = Parser::new(0, |_| true);
    let mut collector = Collector::new(1 << 20);
    parser
        .push(&stream, &mut |facts, event| {
            collector.take(facts, &event);
            Ok(())
        })
        .unwrap();
    assert_eq!(parser.facts().page_size_bytes, page);
    let bytes = collector.block(0).unwrap().to_vec();
    assert!(
        bytes[..0x1_0000].iter().all(|byte| *byte == 0) && bytes[0x1_0000..].iter().all(|byte| *byte == 3)
    );
}

#[test]
fn huge_page_sizes_of_postcopy_are_told_from_names_and_records() {
    let stream = Build::new()
        .bytes(&[8, 0, 3, 0, 16])
        .be64(0x20_1000)
        .be64(0x1000)
        .bytes(&[1])
        .be32(2)
        .name("ram")
        .be32(0)
        .be32(4)
        .be64(0x60_0004)
        .name("a")
        .be64(0x20_0000)
        .be64(0x20_0000)
        .name("b")
        .be64(0x20_0000)
        .name("c")
        .be64(0x20_0000)
        .be64(0x20_0000)
        .end_of_section()
        .part(3)
        .end_of_section()
        .devices()
        .0;
    let read = read(&[&stream], false);
    read.result.unwrap();
    let sizes: Vec<_> = read
        .facts
        .blocks
        .iter()
        .map(|block| block.page_size_bytes)
        .collect();
    assert_eq!(sizes, [Some(0x20_0000), None, Some(0x20_0000)]);
    assert!(read.facts.postcopy);
}

#[test]
fn sections_of_others_than_ram_are_stepped_over_and_named() {
    let start = |build: Build, id: u32, name: &str| build.bytes(&[1]).be32(id).name(name).be32(0).be32(1);
    let end = |build: Build, id: u32| build.bytes(&[0x7e]).be32(id);
    // What looks like their end is not: another id, the right one before no section, and before one of none.
    let body = [
        &[9, 0x7e][..],
        &[0x7e, 0, 0, 0, 8, 4],
        &[0x7e, 0, 0, 0, 9, 0xee],
        &[0x7e, 0, 0, 0, 9, 2, 0, 0, 0, 5],
        &[0x7e, 0, 0, 0, 9, 4, 0, 0, 0, 9, 2, 1, 2],
    ]
    .concat();
    let stream = end(start(Build::new(), 9, "dirty-bitmap").bytes(&body), 9)
        .ram(&[("pc.ram", 0x1000), ("system.flash0", 0x1000)])
        .end_of_section();
    let stream = end(start(stream, 7, "0000:00:03.0/vfio").bytes(&body), 7)
        .part(2)
        .zero_named("pc.ram", 0)
        .page("system.flash0", 0, 3)
        .end_of_section();
    let stream = end(stream.bytes(&[2]).be32(9).bytes(&body), 9)
        .part(3)
        .end_of_section();
    let stream = end(stream.bytes(&[3]).be32(7).bytes(&body), 7).described().0;
    for size in [stream.len(), 11, 1] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        let read = read(&pieces, false);
        assert_eq!(read.result, Ok(()), "pieces of {size}");
        assert_eq!(read.flash.unwrap(), [3; PAGE]);
        assert_eq!(read.facts.devices.len(), 2);
        let notes: Vec<_> = read.facts.notes.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("dirty-bitmap") && notes[1].contains("vfio"));
    }
    for cut in 0..stream.len() - DESCRIPTION.len() - 6 {
        let error = read(&[&stream[..cut]], false).result.expect_err("cut");
        assert!(matches!(error, Error::Truncated { .. }), "cut at {cut}: {error}");
    }
}

/// A mapped-ram stream of one flash block of four pages, of which the second and fourth are there.
fn mapped() -> Vec<u8> {
    let mut build = Build::new()
        .subsection("configuration/capabilities")
        .be32(1)
        .name("mapped-ram")
        .bytes(&[1])
        .be32(2)
        .name("ram")
        .be32(0)
        .be32(4)
        .be64(0x4004)
        .name("system.flash0")
        .be64(0x4000);
    let bitmap = build.0.len() as u64 + 28;
    build = build
        .be32(1)
        .be64(PAGE as u64)
        .be64(bitmap)
        .be64(0x1000)
        .bytes(&[0b1010, 0, 0, 0, 0, 0, 0, 0]);
    build.0.resize(0x1000, 0xee);
    build
        .bytes(&[0xaa; PAGE]) // not in the bitmap, so not the guest's
        .bytes(&[2; PAGE])
        .bytes(&[0xaa; PAGE])
        .bytes(&[4; PAGE])
        .end_of_section()
        .part(3)
        .end_of_section()
        .devices()
        .0
}

#[test]
fn mapped_ram_holds_the_pages_of_its_bitmap_and_no_others() {
    let stream = mapped();
    for size in [stream.len(), 1000, 1] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        let read = read(&pieces, size == 1000);
        read.result.unwrap();
        let expected: Vec<u8> = [0u8, 2, 0, 4].iter().flat_map(|byte| [*byte; PAGE]).collect();
        assert_eq!(read.flash.unwrap(), expected);
        let pages = read.facts.blocks[0].pages;
        assert_eq!((pages.data, pages.zero), (2, 2));
        assert!(read.facts.ram_complete);
    }
}

#[test]
fn a_mapped_ram_bitmap_that_lies_elsewhere_is_refused() {
    let stream = mapped();
    let header = stream
        .windows(8)
        .position(|window| window == (PAGE as u64).to_be_bytes())
        .unwrap();
    for (at, value) in [(8, 3u64), (8, u64::MAX), (16, 0), (16, u64::MAX), (0, 8192)] {
        let mut bent = stream.clone();
        bent[header + at..header + at + 8].copy_from_slice(&value.to_be_bytes());
        let error = read(&[&bent], false).result.unwrap_err();
        assert!(
            matches!(error, Error::Unexpected { .. }),
            "{at} {value:#x}: {error}"
        );
        assert!(
            (header as u64 - 4..header as u64 + 24).contains(&offset(&error)),
            "{error}"
        );
    }
}

impl Build {
    fn zero_named(self, name: &str, address: u64) -> Self {
        self.be64(address | 0x02).name(name).bytes(&[0])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bent_streams_end_in_an_error_or_in_facts_and_never_differ_by_piece(
        at in 0usize..8900, value in any::<u8>(), size in 1usize..5000, mapped_ram in any::<bool>(),
    ) {
        let mut stream = if mapped_ram { mapped() } else { small() };
        let at = at % stream.len();
        stream[at] = value;
        let whole = read(&[&stream], false);
        let pieces: Vec<_> = stream.chunks(size).collect();
        let parts = read(&pieces, true);
        prop_assert_eq!(&whole.facts, &parts.facts);
        prop_assert_eq!(whole.result, parts.result);
        prop_assert_eq!(whole.flash, parts.flash);
    }
}

#[test]
fn errors_of_streams_name_field_offset_and_expectation() {
    let text: String = read(&[&Build::new().subsection("configuration/new").0], false)
        .result
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        format!(
            "configuration subsection at {:#x} is \"configuration/new\", expected target-page-bits, capabilities or \
             uuid; the length of others is not in the stream",
            23
        )
    );
}

#[test]
fn long_runs_of_zero_pages_are_counted_one_by_one_and_end_at_the_block() {
    let pages = 1000u64;
    let mut build = Build::new()
        .ram(&[("pc.ram", pages << 12)])
        .zero_named("pc.ram", 0);
    for page in 1..pages {
        build = build.zero(page << 12);
    }
    let whole = build
        .clone()
        .end_of_section()
        .part(3)
        .end_of_section()
        .devices()
        .0;
    for size in [whole.len(), 100, 9, 1] {
        let pieces: Vec<_> = whole.chunks(size).collect();
        let read = read(&pieces, false);
        read.result.unwrap();
        assert_eq!(read.facts.blocks[0].pages.zero, pages);
        assert_eq!(read.facts.blocks[0].pages.stream_bytes, pages * 9 + 7);
    }
    let at = build.0.len() as u64;
    let behind = build.zero(pages << 12).0;
    assert_eq!(offset(&read(&[&behind], false).result.unwrap_err()), at);
}
