//! Multifd channels built packet by packet.

use alloc::vec;
use alloc::vec::Vec;

use super::super::multifd::Channel;
use super::*;

fn flash_facts() -> Facts {
    let stream = Build::new()
        .ram(&[("pc.ram", 0x8000), ("system.flash0", 0x3000)])
        .0;
    let mut parser = Parser::new(0, |name| BlockKind::of(name).is_firmware());
    parser.push(&stream, &mut |_, _| Ok(())).unwrap();
    parser.facts().clone()
}

fn channel_init(id: u8) -> Build {
    Build(vec![0x11, 0x22, 0x33, 0x44])
        .be32(1)
        .bytes(&[0; 16])
        .bytes(&[id])
        .bytes(&[0; 39])
}

fn packet(
    build: Build,
    flags: u32,
    number: u64,
    block: &str,
    normal: &[u64],
    zero: &[u64],
    payload: &[u8],
) -> Build {
    let mut name = block.as_bytes().to_vec();
    name.resize(256, 0);
    let offsets: Vec<u64> = normal
        .iter()
        .chain(zero)
        .copied()
        .chain(core::iter::repeat(0))
        .take(128)
        .collect();
    let head = build
        .bytes(&[0x11, 0x22, 0x33, 0x44])
        .be32(1)
        .be32(flags)
        .be32(128)
        .be32(normal.len() as u32)
        .be32(payload.len() as u32)
        .be64(number)
        .be32(zero.len() as u32)
        .bytes(&[0; 28])
        .bytes(&name);
    offsets
        .iter()
        .fold(head, |build, offset| build.be64(*offset))
        .bytes(payload)
}

fn read_channels(facts: &Facts, channels: &[Vec<u8>], size: usize) -> fm_formats::Result<Vec<u8>> {
    let mut collector = Collector::with_channels(1 << 20);
    for bytes in channels {
        let mut channel = Channel::new(facts);
        let mut take = |event: Event<'_>, stamp| {
            collector.take_stamped(facts, &event, stamp);
            Ok(())
        };
        for piece in bytes.chunks(size) {
            channel.push(piece, &mut take)?;
        }
        channel.finish(&mut take)?;
    }
    Ok(collector.block(1).map(Sparse::to_vec).unwrap_or_default())
}

#[test]
fn of_a_page_in_several_packets_the_last_one_wins_whatever_channel_it_took() {
    let facts = flash_facts();
    // The page at 0x1000 goes out three times; in the order of the packets, the last is the zero page.
    let first = packet(
        channel_init(0),
        0,
        1,
        "system.flash0",
        &[0x1000, 0],
        &[],
        &[[1; PAGE], [9; PAGE]].concat(),
    );
    let first = packet(first, 1, 3, "", &[], &[], &[]);
    let first = packet(first, 0, 4, "system.flash0", &[], &[0x1000], &[]);
    let second = packet(
        channel_init(1),
        0,
        2,
        "system.flash0",
        &[0x1000, 0x2000],
        &[],
        &[[2; PAGE], [7; PAGE]].concat(),
    );
    let expected: Vec<u8> = [9u8, 0, 7].iter().flat_map(|byte| [*byte; PAGE]).collect();
    let (first, second) = (first.0, second.0);
    for channels in [[first.clone(), second.clone()], [second, first]] {
        for size in [1 << 20, 4096, 13] {
            assert_eq!(read_channels(&facts, &channels, size).unwrap(), expected);
        }
    }
}

#[test]
fn a_zlib_channel_is_one_stream_over_its_packets_wanted_or_not() {
    let facts = flash_facts();
    let mut compressor = miniz_oxide::deflate::core::CompressorOxide::default();
    compressor.set_format_and_level(miniz_oxide::DataFormat::Zlib, 6);
    let mut deflate = |bytes: &[u8]| {
        let mut out = vec![0u8; 2 * bytes.len() + 64];
        let result = miniz_oxide::deflate::stream::deflate(
            &mut compressor,
            bytes,
            &mut out,
            miniz_oxide::MZFlush::Sync,
        );
        assert_eq!(result.bytes_consumed, bytes.len());
        out.truncate(result.bytes_written);
        out
    };
    let unwanted = deflate(&[6; PAGE]);
    let wanted = deflate(&[[6; PAGE], [8; PAGE]].concat());
    let channel = packet(channel_init(0), 2, 1, "pc.ram", &[0x3000], &[], &unwanted);
    let channel = packet(channel, 2, 2, "system.flash0", &[0, 0x2000], &[0x1000], &wanted).0;
    let expected: Vec<u8> = [6u8, 0, 8].iter().flat_map(|byte| [*byte; PAGE]).collect();
    for size in [1 << 20, 100, 1] {
        assert_eq!(
            read_channels(&facts, core::slice::from_ref(&channel), size).unwrap(),
            expected
        );
    }
    for cut in [10, 70, channel.len() - wanted.len(), channel.len() - 1] {
        let error = read_channels(&facts, &[channel[..cut].to_vec()], 1 << 20).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { .. }) || cut == 64,
            "cut at {cut}: {error}"
        );
    }
}

#[test]
fn packets_that_promise_what_they_cannot_hold_are_refused() {
    let facts = flash_facts();
    let bend = |at: usize, bytes: &[u8]| {
        let mut channel = packet(channel_init(0), 0, 1, "system.flash0", &[0], &[], &[1; PAGE]).0;
        channel[64 + at..64 + at + bytes.len()].copy_from_slice(bytes);
        read_channels(&facts, &[channel], 1 << 20)
    };
    bend(0, &[0x11]).unwrap();
    for (case, at, bytes) in [
        ("magic", 0, &[0x12][..]),
        ("version", 7, &[2]),
        ("qpl", 11, &[8]),
        ("unknown flag", 8, &[0x80]),
        ("page count", 16, &[0xff, 0xff, 0xff, 0xff]),
        ("payload size", 20, &[0xff, 0xff, 0xff, 0xff]),
        ("zero pages", 32, &[0xff, 0xff, 0xff, 0xff]),
        ("block", 64, b"pc.rom"),
        ("offset", 320, &[0xff]),
    ] {
        let error = bend(at, bytes).expect_err(case);
        assert!((64..64 + 400).contains(&offset(&error)), "{case}: {error}");
    }
}

#[test]
fn a_packet_that_holds_pages_and_ends_a_synchronisation_counts_as_two_in_one() {
    let facts = flash_facts();
    let bytes = packet(channel_init(0), 1, 0, "", &[], &[], &[]);
    let bytes = packet(bytes, 1, 2, "system.flash0", &[0x1000], &[], &[1; PAGE]);
    let bytes = packet(bytes, 0, 3, "system.flash0", &[], &[0x2000], &[]);
    let bytes = packet(bytes, 1, 5, "system.flash0", &[], &[0], &[]).0;
    let mut channel = Channel::new(&facts);
    channel.push(&bytes, &mut |_, _| Ok(())).unwrap();
    assert_eq!(
        (channel.merged(), channel.rounds(), channel.packets()),
        (2, 3, (4, 5))
    );
}
