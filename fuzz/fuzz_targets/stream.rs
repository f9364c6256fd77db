//! Any bytes as a migration stream, a multifd channel, a save image or a qcow2 image, in any pieces.

#![no_main]

use fm_formats::Error;
use fm_stream::multifd::Channel;
use fm_stream::qcow2::Image;
use fm_stream::save_image::SaveImage;
use fm_stream::{BlockKind, Collector, Event, Facts, Parser, Sparse, uefi_variables};
use libfuzzer_sys::fuzz_target;

const KEPT_BYTES: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => stream(data, usize::from(*choice)),
        1 => channel(data, usize::from(*choice)),
        2 => {
            let Ok(header) = SaveImage::parse(data) else {
                return;
            };
            let rest = data.get(92..).unwrap_or_default();
            let (xml, cookie) = header.split(rest);
            assert!(xml.len() + cookie.map_or(0, <[u8]>::len) <= rest.len());
            if let Some(again) = header.rewrite(data, xml, cookie, true) {
                let read = SaveImage::parse(&again).expect("what we write, we read");
                assert_eq!(read.split(&again[92..]), (xml, cookie));
            }
        }
        _ => {
            let Ok(image) = Image::parse(data) else { return };
            let at = usize::try_from(image.snapshots_offset).unwrap_or(usize::MAX);
            for snapshot in image
                .snapshots(data.get(at..).unwrap_or_default())
                .unwrap_or_default()
            {
                let _ = image.l1_entry_offset(&snapshot, snapshot.vm_state_bytes);
                let _ = image.l2_entry_offset(snapshot.l1_offset, snapshot.vm_state_bytes);
                let _ = image.place(snapshot.l1_offset, 0);
            }
        }
    }
});

/// Whole and in pieces, pushed and skipped: always the same facts, contents and error.
fn stream(data: &[u8], size: usize) {
    let whole = read(data, data.len().max(1), false);
    let parts = read(data, size / 4 * 13 + 1, true);
    assert_eq!(whole, parts);
    for device in &whole.0.devices {
        let _ = device
            .state
            .as_ref()
            .map(|state| uefi_variables(state, device.offset));
    }
}

type Read = (Facts, Vec<Option<Sparse>>, Result<(), Error>);

fn read(data: &[u8], size: usize, skip: bool) -> Read {
    let mut parser = Parser::new(0, |name| BlockKind::of(name).is_firmware());
    let mut collector = Collector::new(KEPT_BYTES);
    let mut rest = data;
    let mut result = Ok(());
    while result.is_ok() && !rest.is_empty() {
        let ahead = usize::try_from(parser.skippable_bytes())
            .unwrap_or(usize::MAX)
            .min(rest.len());
        if skip && ahead > 0 {
            parser.skip(ahead as u64);
            rest = &rest[ahead..];
            continue;
        }
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        result = parser.push(piece, &mut |facts, event| {
            collector.take(facts, &event);
            Ok(())
        });
    }
    let result = result.and_then(|()| parser.finish());
    let facts = parser.facts().clone();
    assert!(
        facts.blocks.len() <= data.len() / 9 + 1,
        "more blocks than entries fit"
    );
    // A device takes a section header and a footer, and the description a name for each.
    assert!(facts.devices.len() <= data.len() / 19);
    if let Some(end) = facts.end_offset {
        assert!(end <= data.len() as u64, "a stream that ends behind its bytes");
    }
    let contents = (0..facts.blocks.len())
        .map(|index| collector.block(index).cloned())
        .collect();
    (facts, contents, result)
}

/// A main stream of two blocks, then the input as a channel of it.
fn channel(data: &[u8], size: usize) {
    let mut table = b"QEVM\0\0\0\x03".to_vec();
    table.extend(b"\x07\0\0\0\x01m\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\x40\x04");
    table.extend(b"\x06pc.ram\0\0\0\0\0\0\x20\0\x0dsystem.flash0\0\0\0\0\0\0\x20\0");
    let mut parser = Parser::new(0, |name| BlockKind::of(name).is_firmware());
    parser.push(&table, &mut |_, _| Ok(())).expect("a sound table");
    let facts = parser.facts().clone();
    assert_eq!(facts.blocks.len(), 2);
    let run = |size: usize| {
        let mut channel = Channel::new(&facts);
        let mut collector = Collector::with_channels(KEPT_BYTES);
        let mut take = |event: Event<'_>, stamp| {
            collector.take_stamped(&facts, &event, stamp);
            Ok(())
        };
        let pushed = data
            .chunks(size)
            .try_for_each(|piece| channel.push(piece, &mut take));
        let result = pushed.and_then(|()| channel.finish(&mut take));
        (result.is_ok(), channel.pages().to_vec())
    };
    let whole = run(data.len().max(1));
    let parts = run(size / 4 * 13 + 1);
    assert_eq!(whole.0, parts.0);
    if whole.0 {
        assert_eq!(whole.1, parts.1);
    }
}
