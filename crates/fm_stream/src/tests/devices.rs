//! Device sections and the description that tells their lengths.

use super::*;

fn whole() -> Vec<u8> {
    Build::new()
        .ram(&[("pc.ram", 0x1000), ("system.flash0", 0x1000)])
        .end_of_section()
        .part(3)
        .be64(0x02)
        .name("pc.ram")
        .bytes(&[0])
        .be64(0x02)
        .name("system.flash0")
        .bytes(&[0xff])
        .end_of_section()
        .described()
        .0
}

#[test]
fn devices_are_cut_at_the_lengths_of_the_description_however_they_arrive() {
    let stream = whole();
    for size in [stream.len(), 1000, 7, 1] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        let read = read(&pieces, false);
        assert_eq!(read.result, Ok(()), "pieces of {size}");
        assert_eq!(read.facts.end_offset, Some(stream.len() as u64));
        let devices: Vec<_> = read
            .facts
            .devices
            .iter()
            .map(|device| (device.name.as_str(), device.version, device.size_bytes))
            .collect();
        assert_eq!(devices, [("timer", 2, 24), ("0000:00:01.0/vga", 2, 40)]);
        assert!(read.facts.notes.is_empty(), "{:?}", read.facts.notes);
    }
}

#[test]
fn a_described_stream_cut_anywhere_is_refused_with_the_offset_of_what_is_cut() {
    let stream = whole();
    let end_mark = stream.len() - DESCRIPTION.len() - 5;
    for cut in 0..stream.len() {
        let read = read(&[&stream[..cut]], false);
        if cut == end_mark {
            // So a stream without a description ends; that this is a guess is said.
            read.result.unwrap();
            assert!(read.facts.notes[0].text.contains("last bytes alone"));
            continue;
        }
        let error = read.result.expect_err("cut");
        assert!(matches!(error, Error::Truncated { .. }), "cut at {cut}: {error}");
        assert!(offset(&error) <= cut as u64, "cut at {cut}: {error}");
        assert!(
            offset(&error) + DESCRIPTION.len() as u64 + 6 > cut as u64,
            "cut at {cut}: {error}"
        );
    }
}

#[test]
fn a_stream_ends_where_its_description_does_whatever_follows() {
    let stream = whole();
    let more = [
        vec![0; 512],
        vec![0x5a; 100_000],
        stream.clone(),
        Build(Vec::new()).description("{}").0,
    ];
    for behind in more {
        let padded = [stream.as_slice(), &behind].concat();
        for size in [padded.len(), 13] {
            let pieces: Vec<_> = padded.chunks(size).collect();
            let read = read(&pieces, true);
            assert_eq!(read.result, Ok(()));
            assert_eq!(read.facts.end_offset, Some(stream.len() as u64));
            assert_eq!(read.facts.devices.len(), 2);
        }
    }
}

#[test]
fn what_only_looks_like_a_description_does_not_end_a_stream() {
    let look = Build(Vec::new()).description("{}").0;
    let open = Build(Vec::new())
        .bytes(&[0, 6])
        .be32(1 << 20)
        .bytes(b"{\"devices\": [")
        .0;
    let state = [look.as_slice(), &open, &[9; 5]].concat();
    let size = state.len();
    let stream = Build::new()
        .ram(&[("pc.ram", 0x1000)])
        .end_of_section()
        .part(3)
        .end_of_section()
        .section(3, "timer", &state)
        .description(&format!(
            "{{\"page_size\":4096,\"devices\":[{{\"name\":\"timer\",\"instance_id\":0,\"fields\":[{{\"size\":{size}}}]}}]}}"
        ))
        .0;
    for size in [stream.len(), 3] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        let read = read(&pieces, false);
        read.result.unwrap();
        assert_eq!(read.facts.end_offset, Some(stream.len() as u64));
    }
}

#[test]
fn descriptions_that_do_not_fit_are_refused_where_they_do_not() {
    let before = |json: &str| {
        Build::new()
            .ram(&[("pc.ram", 0x1000)])
            .end_of_section()
            .part(3)
            .end_of_section()
            .section(3, "timer", &[1; 24])
            .description(json)
            .0
    };
    let timer = |size: &str, more: &str| {
        format!(
            "{{\"devices\":[{{\"name\":\"timer\",\"instance_id\":0,\"fields\":[{{\"size\":{size}}}]}}]{more}}}"
        )
    };
    read(&[&before(&timer("24", ""))], false).result.unwrap();
    let deep = "[".repeat(100_000);
    let many = "{\"name\":\"x\",\"instance_id\":0},".repeat(20_000);
    for (case, json) in [
        ("one byte short", timer("23", "")),
        ("one byte long", timer("25", "")),
        ("2^64 bytes", timer("18446744073709551615", "")),
        ("a negative length", timer("-24", "")),
        ("another page size", timer("24", ",\"page_size\":65536")),
        ("no devices", "{}".into()),
        ("an open string", timer("24", ",\"x\":\"")),
        ("a control character", timer("24", ",\"x\":\"\u{1}\"")),
        ("more behind the end", timer("24", "") + "}"),
        ("nesting", format!("{{\"x\":{deep}")),
        ("20,000 devices", format!("{{\"devices\":[{many}{{}}]}}")),
    ] {
        let stream = before(&json);
        let error = read(&[&stream], false).result.expect_err(case);
        assert!(!matches!(error, Error::Limit { .. }), "{case}: {error}");
        assert!(offset(&error) <= stream.len() as u64, "{case}: {error}");
    }
}

#[test]
fn device_state_beyond_the_limit_is_not_kept() {
    let stream = Build::new()
        .ram(&[("pc.ram", 0x1000)])
        .end_of_section()
        .part(3)
        .end_of_section()
        .0;
    let piece = vec![7u8; 1 << 20];
    let pieces: Vec<&[u8]> = core::iter::once(stream.as_slice())
        .chain(core::iter::once(&[4u8][..]))
        .chain(core::iter::repeat_n(piece.as_slice(), 40))
        .collect();
    let error = read(&pieces, false).result.unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    assert_eq!(offset(&error), stream.len() as u64);
}
