//! LZMA with the 13-byte `.lzma` header, with or without the x86 branch filter.

use alloc::string::String;
use alloc::vec::Vec;

use lzma_rust2::filter::bcj::BcjReader;
use lzma_rust2::{LzmaReader, Read};
use zerocopy::little_endian::{U32, U64};

use super::Job;
use crate::{Reader, Result};

/// Outputs from this length on are first decoded with a smaller dictionary: the 16 MB of OVMF 2025.02 are. Of smaller
/// ones, AAVMF and LoongArch's firmware hold no free space, and would have to be decoded twice.
const LARGE_BYTES: usize = 14 << 20;
/// The dictionary is cleared as far as is asked for: little enough to be still in a core's cache when it is filled.
const STEP_BYTES: usize = 512 << 10;

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
    // The dictionary is memory beside the output. A firmware volume that ends in free space, which repeats the byte
    // before it, is not reached back over as a whole; where it is, that is an error, and it is decoded again.
    let result = if declared >= LARGE_BYTES as u64 {
        attempt((dictionary / 8).saturating_mul(5)).or_else(|_| attempt(dictionary))
    } else {
        attempt(dictionary)
    };
    result.map_err(|why| job.failed(reason(&why)))?;
    Ok(output)
}

fn fill(mut reader: impl Read, output: &mut [u8]) -> lzma_rust2::Result<()> {
    output
        .chunks_mut(STEP_BYTES)
        .try_for_each(|step| reader.read_exact(step))
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
