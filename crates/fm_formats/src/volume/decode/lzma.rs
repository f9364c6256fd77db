//! LZMA with the 13-byte `.lzma` header, with or without the x86 branch filter.

use alloc::string::String;
use alloc::vec::Vec;

use lzma_rust2::filter::bcj::BcjReader;
use lzma_rust2::{LzmaReader, Read};
use zerocopy::little_endian::{U32, U64};

use super::Job;
use crate::{Reader, Result};

/// Outputs from this length on are first decoded with a smaller dictionary.
const LARGE_BYTES: usize = 8 << 20;

pub(super) fn decode(data: &[u8], x86: bool, job: &Job) -> Result<Vec<u8>> {
    let mut reader = Reader::at(data, job.offset);
    let properties = *reader.raw::<u8>("LZMA properties")?;
    let dictionary = reader.raw::<U32>("LZMA dictionary size")?.get();
    let declared = reader.raw::<U64>("LZMA decoded size")?.get();
    let mut output = job.output(declared)?;
    // A dictionary larger than the output is never reached back into.
    let dictionary = dictionary
        .min(u32::try_from(output.len()).unwrap_or(u32::MAX))
        .max(4096);
    let mut attempt = |dictionary: u32| {
        let lzma = LzmaReader::new_with_props(reader.rest(), declared, properties, dictionary, None)?;
        if x86 {
            fill(BcjReader::new_x86(lzma, 0), &mut output)
        } else {
            fill(lzma, &mut output)
        }
    };
    // The dictionary is memory beside the output. Firmware volumes end in free space, which repeats the byte
    // before it, so that nothing reaches back over most of them; what does is an error, and decoded again.
    let result = if declared >= LARGE_BYTES as u64 {
        attempt((dictionary / 4).saturating_mul(3)).or_else(|_| attempt(dictionary))
    } else {
        attempt(dictionary)
    };
    result.map_err(|why| job.failed(reason(&why)))?;
    Ok(output)
}

fn fill(mut reader: impl Read, output: &mut [u8]) -> lzma_rust2::Result<()> {
    reader.read_exact(output)
}

/// The decoder's reason, in its words.
fn reason(why: &lzma_rust2::Error) -> String {
    use lzma_rust2::Error as E;
    match why {
        E::Eof => "its bytes end too early",
        E::Interrupted => "it was interrupted",
        E::InvalidData(why)
        | E::InvalidInput(why)
        | E::OutOfMemory(why)
        | E::Other(why)
        | E::Unsupported(why)
        | E::WriteZero(why) => why,
    }
    .into()
}
