//! Decoders of encapsulating sections. Each takes the most bytes that it may produce.

mod brotli;
mod lzma;
mod tiano;

use alloc::string::String;
use alloc::vec::Vec;

use zerocopy::FromZeros as _;

use super::Encoding;
use crate::{Error, Result};

/// Decodes `data`, which lies at `offset`, into at most `limit_bytes` bytes. Stored data and unknown
/// encodings give nothing: their bytes are not in need of decoding, or beyond us.
///
/// # Errors
/// [`Error::Decode`] with the decoder's reason, [`Error::Limit`] if more would come out.
pub fn decode(encoding: Encoding, data: &[u8], offset: u64, limit_bytes: usize) -> Result<Option<Vec<u8>>> {
    let job = Job {
        algorithm: encoding.name(),
        offset,
        limit_bytes,
    };
    Ok(Some(match encoding {
        Encoding::Lzma => lzma::decode(data, false, &job)?,
        Encoding::LzmaX86 => lzma::decode(data, true, &job)?,
        Encoding::Brotli => brotli::decode(data, &job)?,
        Encoding::Efi11 => tiano::decode(data, tiano::Variant::Efi11, &job)?,
        Encoding::Tiano => tiano::decode(data, tiano::Variant::Tiano, &job)?,
        Encoding::Stored | Encoding::Crc32 | Encoding::Unknown(_) => return Ok(None),
    }))
}

/// Decodes an `EFI_COMPRESSION_SECTION` of kind 1, whose header does not tell EFI 1.1 from Tiano: the
/// first that decodes without an error is taken, EFI 1.1 before Tiano because that is what the
/// specification names.
///
/// # Errors
/// As [`decode`].
pub fn decode_standard(data: &[u8], offset: u64, limit_bytes: usize) -> Result<(Encoding, Vec<u8>)> {
    let job = Job {
        algorithm: "efi-1.1",
        offset,
        limit_bytes,
    };
    match tiano::decode(data, tiano::Variant::Efi11, &job) {
        Ok(bytes) => Ok((Encoding::Efi11, bytes)),
        Err(error) => tiano::decode(data, tiano::Variant::Tiano, &job)
            .map(|bytes| (Encoding::Tiano, bytes))
            .map_err(|_| error),
    }
}

/// The size that the header of compressed `data` declares, nothing if it has none or is cut: the most that a decoder
/// of it produces, whether it fails or not.
#[must_use]
pub fn declared_bytes(encoding: Encoding, data: &[u8]) -> u64 {
    let (at, len) = match encoding {
        Encoding::Lzma | Encoding::LzmaX86 => (5, 8),
        Encoding::Brotli => (0, 8),
        Encoding::Efi11 | Encoding::Tiano => (4, 4),
        Encoding::Stored | Encoding::Crc32 | Encoding::Unknown(_) => return 0,
    };
    let bytes = data
        .get(at..)
        .and_then(|rest| rest.get(..len))
        .unwrap_or_default();
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// What a decoder needs to know besides its input.
struct Job {
    algorithm: &'static str,
    offset: u64,
    limit_bytes: usize,
}

impl Job {
    fn failed(&self, why: impl Into<String>) -> Error {
        Error::Decode {
            algorithm: self.algorithm,
            offset: self.offset,
            why: why.into(),
        }
    }

    /// A zeroed buffer of the size that the data declares, or the limit's error.
    fn output(&self, declared_bytes: u64) -> Result<Vec<u8>> {
        let len = usize::try_from(declared_bytes)
            .ok()
            .filter(|len| *len <= self.limit_bytes);
        let Some(len) = len else {
            return Err(Error::Limit {
                what: "decoded size in bytes",
                offset: self.offset,
                limit: self.limit_bytes as u64,
            });
        };
        u8::new_vec_zeroed(len).map_err(|_| self.failed("not enough memory"))
    }
}

/// CRC-32 as UEFI's `CalculateCrc32` and zlib compute it, eight bytes a step.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let &[a, b, c, d, e, f, g, h] = chunk else {
            continue;
        };
        let [w, x, y, z] = (u32::from_le_bytes([a, b, c, d]) ^ crc).to_le_bytes();
        crc = table(7, w) ^ table(6, x) ^ table(5, y) ^ table(4, z);
        crc ^= table(3, e) ^ table(2, f) ^ table(1, g) ^ table(0, h);
    }
    for byte in chunks.remainder() {
        let [low, ..] = crc.to_le_bytes();
        crc = (crc >> 8) ^ table(0, low ^ byte);
    }
    !crc
}

fn table(slice: usize, byte: u8) -> u32 {
    CRC_TABLES
        .get(slice)
        .and_then(|table| table.get(usize::from(byte)))
        .copied()
        .unwrap_or(0)
}

static CRC_TABLES: [[u32; 256]; 8] = crc_tables();

#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]
const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0xedb8_8320 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        tables[0][index] = value;
        index += 1;
    }
    let mut slice = 1;
    while slice < 8 {
        let mut index = 0;
        while index < 256 {
            let before = tables[slice - 1][index];
            tables[slice][index] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        slice += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_gives_the_check_value_of_its_catalogue_entry() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_declared_size_over_the_limit_is_refused_before_anything_is_allocated() {
        let mut bomb = alloc::vec![0x5d, 0, 0, 0x80, 0];
        bomb.extend_from_slice(&u64::MAX.wrapping_sub(1).to_le_bytes());
        bomb.extend_from_slice(&[0; 64]);
        let error = decode(Encoding::Lzma, &bomb, 0x40, 1 << 20).unwrap_err();
        assert_eq!(
            error,
            Error::Limit {
                what: "decoded size in bytes",
                offset: 0x40,
                limit: 1 << 20
            }
        );
    }
}
