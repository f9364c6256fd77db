//! Any bytes behind any compression: decoded within the limit, or refused.

#![no_main]

use fm_formats::volume::{Encoding, decode};
use libfuzzer_sys::fuzz_target;

const LIMIT_BYTES: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    let encoding = match which % 7 {
        0 => Encoding::Lzma,
        1 => Encoding::LzmaX86,
        2 => Encoding::Efi11,
        3 => Encoding::Tiano,
        4 => Encoding::Brotli,
        5 => Encoding::Crc32,
        _ => {
            if let Ok((_, bytes)) = decode::decode_standard(data, 0, LIMIT_BYTES) {
                assert!(bytes.len() <= LIMIT_BYTES);
            }
            return;
        }
    };
    if let Ok(Some(bytes)) = decode::decode(encoding, data, 0, LIMIT_BYTES) {
        assert!(bytes.len() <= LIMIT_BYTES);
    }
});
