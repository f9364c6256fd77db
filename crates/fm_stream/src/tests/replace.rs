//! CODE exchanged in a stream that passes by, in pieces of any size.

use super::*;

const CODE_PAGES: usize = 3;

/// What is sent on when `stream` passes through in pieces of these lengths, again and again.
fn passed(stream: &[u8], code: &[u8], lens: &[usize]) -> fm_formats::Result<Vec<u8>> {
    let mut replacer = Replacer::new(code.to_vec());
    let (mut sent, mut buffer, mut rest) = (Vec::new(), Vec::new(), stream);
    for len in lens.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let held = buffer.len();
        let (piece, behind) = rest.split_at((*len).min(rest.len()));
        rest = behind;
        buffer.extend_from_slice(piece);
        let ready = replacer.push(&mut buffer, held)?;
        let mut from = 0;
        for insert in &ready.inserts {
            sent.extend_from_slice(&buffer[from..insert.range.start]);
            sent.extend_from_slice(&insert.with);
            from = insert.range.end;
        }
        sent.extend_from_slice(&buffer[from..ready.len]);
        buffer.drain(..ready.len);
    }
    sent.extend_from_slice(&buffer);
    assert!(replacer.is_done());
    Ok(sent)
}

/// Every kind of record that plain precopy has, CODE sent twice in part.
fn stream() -> Vec<u8> {
    let size = (CODE_PAGES * PAGE) as u64;
    Build::new()
        .ram(&[("pc.ram", 0x4000), ("system.flash0", size)])
        .end_of_section()
        .part(2)
        .page("pc.ram", 0, 9)
        .zero(0x1000)
        .be64(0x22 & !0x20)
        .name("system.flash0")
        .bytes(&[0])
        .be64(0x1000 | 0x28)
        .bytes(&[1; PAGE])
        .zero(0x2000)
        .end_of_section()
        .part(3)
        .page("pc.ram", 0x2000, 0)
        .page("system.flash0", 0x2000, 7)
        .end_of_section()
        .devices()
        .0
}

fn code() -> Vec<u8> {
    let mut code = vec![0xc0; PAGE];
    code.extend([0; PAGE]);
    code.extend([0xc2; PAGE]);
    code
}

#[test]
fn code_is_exchanged_however_the_stream_is_cut_and_nothing_else_is() {
    let stream = stream();
    let whole = passed(&stream, &code(), &[stream.len()]).unwrap();
    for lens in [&[1][..], &[4095, 1, 17], &[7], &[4096], &[8191, 3]] {
        assert_eq!(passed(&stream, &code(), lens).unwrap(), whole, "{lens:?}");
    }
    let read = read(&[&whole], false);
    read.result.unwrap();
    assert_eq!(read.flash.unwrap(), code());
    let before = super::read(&[&stream], false);
    let memory = |facts: &Facts| facts.blocks[0].pages;
    assert_eq!(memory(&read.facts), memory(&before.facts));
    // Two fills have become data; what follows RAM is as it was.
    assert_eq!(read.facts.blocks[1].pages.zero, 0);
    assert!(whole.ends_with(&Build(Vec::new()).devices().0));
}

#[test]
fn code_that_is_the_same_passes_byte_for_byte() {
    let stream = stream();
    let mut same = vec![0; PAGE];
    same.extend([1; PAGE]);
    same.extend([7; PAGE]);
    let sent = passed(&stream, &same, &[1000]).unwrap();
    let flash = read(&[&sent], false).flash.unwrap();
    assert_eq!(flash, same);
}

#[test]
fn a_stream_whose_code_cannot_be_exchanged_whole_is_refused() {
    let size = (CODE_PAGES * PAGE) as u64;
    let with = |blocks: &[(&str, u64)], record: Build| {
        let head = Build::new().ram(blocks).end_of_section().part(3);
        head.bytes(&record.0).end_of_section().devices().0
    };
    let flash = [("pc.ram", 0x4000), ("system.flash0", size)];
    let page = || Build(Vec::new()).page("system.flash0", 0, 1);
    let other_size = [("pc.ram", 0x4000), ("system.flash0", size + 4096)];
    let xbzrle = page().be64(0x60).bytes(&[1, 0, 4, 5, 2, 7, 8]);
    let memory_alone = Build(Vec::new()).page("pc.ram", 0, 1);
    for (name, stream) in [
        ("pages that never come", with(&flash, page())),
        ("another size", with(&other_size, page())),
        ("differences", with(&flash, xbzrle)),
        ("no flash", with(&[("pc.ram", 0x4000)], memory_alone)),
        ("no stream", b"QEVX\0\0\0\x03".to_vec()),
    ] {
        assert!(passed(&stream, &code(), &[100]).is_err(), "{name}");
    }
    let postcopy = Build::new()
        .bytes(&[8, 0, 3, 0, 0])
        .ram(&flash)
        .end_of_section()
        .part(3)
        .bytes(&page().0);
    assert!(passed(&postcopy.0, &code(), &[100]).is_err(), "postcopy");
}

proptest! {
    #[test]
    fn bent_streams_end_with_an_answer(at in 0usize..30_000, byte in any::<u8>(), len in 1usize..5000) {
        let mut bent = stream();
        let at = at % bent.len();
        bent[at] = byte;
        let mut replacer = Replacer::new(code());
        let mut buffer = Vec::new();
        for piece in bent.chunks(len) {
            let held = buffer.len();
            buffer.extend_from_slice(piece);
            let Ok(ready) = replacer.push(&mut buffer, held) else { break };
            prop_assert!(ready.len <= buffer.len());
            buffer.drain(..ready.len);
        }
    }
}
