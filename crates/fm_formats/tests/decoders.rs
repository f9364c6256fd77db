//! The decoders against what other people's encoders made of known bytes.

use fm_formats::Error;
use fm_formats::volume::{Encoding, decode};

const SAMPLES: [(Encoding, &[u8]); 5] = [
    (Encoding::Efi11, include_bytes!("data/sample.efi11")),
    (Encoding::Tiano, include_bytes!("data/sample.tiano")),
    (Encoding::Brotli, include_bytes!("data/sample.brotli")),
    (Encoding::Lzma, include_bytes!("data/sample.lzma")),
    (Encoding::LzmaX86, include_bytes!("data/sample.lzma-x86")),
];

fn plain(encoding: Encoding) -> Vec<u8> {
    if encoding == Encoding::LzmaX86 {
        code_sample()
    } else {
        text_sample()
    }
}

#[test]
fn every_encoding_decodes_what_its_reference_encoder_made() {
    for (encoding, data) in SAMPLES {
        let decoded = decode::decode(encoding, data, 0, 1 << 20).unwrap().unwrap();
        assert!(decoded == plain(encoding), "{encoding:?}");
    }
}

#[test]
fn standard_compression_is_told_apart_from_tianos_variant() {
    for (encoding, data) in SAMPLES.into_iter().take(2) {
        let (found, decoded) = decode::decode_standard(data, 0, 1 << 20).unwrap();
        assert_eq!(found, encoding);
        assert!(decoded == text_sample(), "{encoding:?}");
    }
}

#[test]
fn compressed_data_cut_anywhere_is_refused_or_decodes_in_full() {
    for (encoding, data) in SAMPLES {
        for len in 0..data.len() {
            // Encoders pad; only the last few bytes may be in vain.
            if let Ok(Some(decoded)) = decode::decode(encoding, &data[..len], 0, 1 << 20) {
                assert!(decoded == plain(encoding), "{encoding:?} cut at {len}");
                assert!(len + 16 > data.len(), "{encoding:?} cut at {len}");
            }
        }
    }
}

#[test]
fn flipped_bits_never_panic_nor_exceed_the_limit() {
    for (encoding, data) in SAMPLES {
        for bit in (0..data.len() * 8).step_by(3) {
            let mut bad = data.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(Some(decoded)) = decode::decode(encoding, &bad, 0, 1 << 20) {
                assert!(decoded.len() <= 1 << 20);
            }
        }
    }
}

#[test]
fn more_than_the_limit_is_refused_with_its_offset() {
    for (encoding, data) in SAMPLES {
        let limit = plain(encoding).len() - 1;
        let error = decode::decode(encoding, data, 0x1234, limit).unwrap_err();
        assert_eq!(
            error,
            Error::Limit {
                what: "decoded size in bytes",
                offset: 0x1234,
                limit: limit as u64
            },
            "{encoding:?}"
        );
    }
}

struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        self.0
    }
}

fn text_sample() -> Vec<u8> {
    let (mut out, mut noise) = (Vec::new(), Noise(1));
    while out.len() < 40_000 {
        let x = noise.next();
        if (x >> 16) & 3 != 0 {
            out.extend(format!("section {} of the volume; ", x >> 20).bytes());
        } else {
            out.extend([(x >> 8) as u8, (x >> 16) as u8, 0, 0, 0, 0]);
        }
    }
    out.truncate(40_000);
    out
}

fn code_sample() -> Vec<u8> {
    let (mut out, mut noise) = (Vec::new(), Noise(1));
    while out.len() < 20_000 {
        let x = noise.next();
        match (x >> 16) & 3 {
            0 => {
                let near = ((x >> 8) & 0xfff) as i32;
                let target = if (x >> 20) & 1 == 1 {
                    0x1000 - out.len() as i32
                } else {
                    near
                };
                out.push(0xe8);
                out.extend(target.to_le_bytes());
            }
            1 => {
                out.push(0xe9);
                out.extend((-(((x >> 8) & 0xffff) as i32)).to_le_bytes());
            }
            _ => out.extend([0x48, 0x89, 0x5c, 0x24, 0x08]),
        }
    }
    out.truncate(20_000);
    out
}

#[test]
fn lzma_that_reaches_back_over_most_of_its_output_decodes_as_well() {
    use lzma_rust2::Write as _;
    // Noise, a gap, the same noise: the second comes from 10 MiB before it.
    let mut state = 1u32;
    let noise: Vec<u8> = (0..1 << 16)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[0]
        })
        .collect();
    let plain = [noise.as_slice(), &vec![0xff; 10 << 20], &noise].concat();
    let mut options = lzma_rust2::LzmaOptions::with_preset(1);
    options.dict_size = 16 << 20;
    let len = Some(plain.len() as u64);
    let mut writer = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, len).unwrap();
    writer.write_all(&plain).unwrap();
    let data = writer.finish().unwrap();
    assert!(
        data.len() < 3 * noise.len() / 2,
        "it does reach back: {}",
        data.len()
    );
    assert!(
        decode::decode(Encoding::Lzma, &data, 0, 16 << 20)
            .unwrap()
            .unwrap()
            == plain
    );
    // What is damaged is refused once, with the decoder's reason.
    let mut bad = data;
    bad[20_000..20_064].fill(0x55);
    assert!(matches!(
        decode::decode(Encoding::Lzma, &bad, 0, 16 << 20),
        Err(Error::Decode { .. })
    ));
}
