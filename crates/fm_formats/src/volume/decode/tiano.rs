//! EFI 1.1 and Tiano compression: LZ77 with three canonical Huffman codes a block (UEFI 2.10, section 19.2).
//!
//! The two differ in one number: how many bits give the count of the position code's lengths.

use alloc::format;
use alloc::vec::Vec;

use zerocopy::little_endian::U32;

use super::Job;
use crate::{Error, Reader, Result};

/// Literals, then match lengths 3 to 256.
const CHAR_SYMBOLS: usize = 510;
/// Position codes; also the most symbols of the extra code.
const POSITION_SYMBOLS: usize = 31;
/// Symbols of the extra code, which codes the lengths of the character code.
const EXTRA_SYMBOLS: usize = 19;
/// After this many lengths of the extra code comes a 2-bit run of zeros.
const EXTRA_RUN_AFTER: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Efi11,
    Tiano,
}

pub(super) fn decode(data: &[u8], variant: Variant, job: &Job) -> Result<Vec<u8>> {
    let mut reader = Reader::at(data, job.offset);
    let compressed = reader.raw::<U32>("compressed size")?.get();
    let declared = reader.raw::<U32>("decompressed size")?.get();
    let input = reader.bytes(
        usize::try_from(compressed).unwrap_or(usize::MAX),
        "compressed data",
    )?;
    // Only the size is checked here: the output grows as it is produced.
    let output_len = job.output(u64::from(declared))?.len();
    let mut bits = Bits {
        input,
        at: 0,
        buffer: 0,
        count: 0,
    };
    let mut output = Vec::with_capacity(output_len);
    while output.len() < output_len {
        block(&mut bits, variant, output_len, &mut output, job)?;
    }
    Ok(output)
}

fn block(bits: &mut Bits<'_>, variant: Variant, end: usize, output: &mut Vec<u8>, job: &Job) -> Result<()> {
    let position_bits = if variant == Variant::Tiano { 5 } else { 4 };
    // A count of zero stands for 65536, as the 16-bit counter of the reference wraps.
    let symbols = match bits.take(16, job)? {
        0 => 0x1_0000,
        count => count,
    };
    let extra = read_lengths(bits, EXTRA_SYMBOLS, 5, Some(EXTRA_RUN_AFTER), job)?;
    let chars = read_char_lengths(bits, &extra, job)?;
    let positions = read_lengths(bits, POSITION_SYMBOLS, position_bits, None, job)?;
    for _ in 0..symbols {
        if output.len() >= end {
            return Ok(());
        }
        let symbol = chars.symbol(bits, job)?;
        let Ok(byte) = u8::try_from(symbol) else {
            copy(
                bits,
                usize::from(symbol).saturating_sub(253),
                &positions,
                end,
                output,
                job,
            )?;
            continue;
        };
        output.push(byte);
    }
    Ok(())
}

fn copy(
    bits: &mut Bits<'_>,
    len: usize,
    positions: &Code,
    end: usize,
    output: &mut Vec<u8>,
    job: &Job,
) -> Result<()> {
    let code = positions.symbol(bits, job)?;
    let position = match code {
        0 | 1 => u32::from(code),
        more => {
            let extra_bits = u32::from(more).saturating_sub(1);
            let base = 1u32.checked_shl(extra_bits).unwrap_or(u32::MAX);
            base.saturating_add(bits.take(extra_bits, job)?)
        }
    };
    let distance = usize::try_from(position).unwrap_or(usize::MAX).saturating_add(1);
    let Some(from) = output.len().checked_sub(distance) else {
        return Err(bad(
            job,
            format!("a match reaches {distance} bytes back from {:#x}", output.len()),
        ));
    };
    let len = len.min(end.saturating_sub(output.len()));
    for at in from..from.saturating_add(len) {
        // A match may overlap what it produces, so one byte at a time.
        let byte = output.get(at).copied().unwrap_or(0);
        output.push(byte);
    }
    Ok(())
}

fn read_lengths(
    bits: &mut Bits<'_>,
    symbols: usize,
    count_bits: u32,
    run_after: Option<usize>,
    job: &Job,
) -> Result<Code> {
    let count = bits.take(count_bits, job)?;
    if count == 0 {
        return Ok(Code::constant(bits.take(count_bits, job)?));
    }
    let mut lengths = Vec::with_capacity(symbols);
    while (lengths.len() as u64) < u64::from(count) {
        let mut length = bits.take(3, job)?;
        if length == 7 {
            while bits.take(1, job)? == 1 {
                length = length.saturating_add(1);
            }
        }
        lengths.push(u8::try_from(length).unwrap_or(u8::MAX));
        if Some(lengths.len()) == run_after {
            let zeros = bits.take(2, job)?;
            lengths.extend((0..zeros).map(|_| 0));
        }
    }
    Code::new(lengths, symbols, job)
}

fn read_char_lengths(bits: &mut Bits<'_>, extra: &Code, job: &Job) -> Result<Code> {
    let count = bits.take(9, job)?;
    if count == 0 {
        return Ok(Code::constant(bits.take(9, job)?));
    }
    let mut lengths = Vec::with_capacity(CHAR_SYMBOLS);
    while (lengths.len() as u64) < u64::from(count) {
        let zeros = match extra.symbol(bits, job)? {
            0 => 1,
            1 => bits.take(4, job)?.saturating_add(3),
            2 => bits.take(9, job)?.saturating_add(20),
            length => {
                lengths.push(u8::try_from(length.saturating_sub(2)).unwrap_or(u8::MAX));
                continue;
            }
        };
        lengths.extend((0..zeros).map(|_| 0));
    }
    Code::new(lengths, CHAR_SYMBOLS, job)
}

/// A canonical Huffman code: shorter codes first, within a length by symbol.
struct Code {
    /// How many codes have the length of the index.
    counts: [u16; 17],
    /// Symbols in the order of their codes.
    symbols: Vec<u16>,
}

impl Code {
    /// A code of one symbol takes no bits.
    fn constant(symbol: u32) -> Self {
        Self {
            counts: [0; 17],
            symbols: [u16::try_from(symbol).unwrap_or(u16::MAX)].into(),
        }
    }

    fn new(lengths: Vec<u8>, symbols: usize, job: &Job) -> Result<Self> {
        if lengths.len() > symbols {
            return Err(bad(
                job,
                format!("{} code lengths where {symbols} may be", lengths.len()),
            ));
        }
        let mut counts = [0u16; 17];
        let mut order = Vec::new();
        for length in 1..=16u8 {
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, found)| **found == length) {
                order.push(u16::try_from(symbol).unwrap_or(u16::MAX));
                if let Some(count) = counts.get_mut(usize::from(length)) {
                    *count = count.saturating_add(1);
                }
            }
        }
        // Every bit pattern must mean something: the code space is filled exactly.
        let filled = (1u32..)
            .zip(counts.iter().skip(1))
            .fold(0u32, |sum, (length, count)| {
                sum.saturating_add(u32::from(*count) << 16u32.saturating_sub(length))
            });
        if filled != 0x1_0000 || lengths.iter().any(|length| *length > 16) {
            return Err(bad(job, "a code table is not complete".into()));
        }
        Ok(Self {
            counts,
            symbols: order,
        })
    }

    fn symbol(&self, bits: &mut Bits<'_>, job: &Job) -> Result<u16> {
        let (mut code, mut first, mut index) = (0u32, 0u32, 0usize);
        if let [only] = self.symbols.as_slice() {
            return Ok(*only);
        }
        for count in self.counts.iter().skip(1) {
            code = code << 1 | bits.take(1, job)?;
            first <<= 1;
            let within = code.wrapping_sub(first);
            if within < u32::from(*count) {
                let at = index.saturating_add(usize::try_from(within).unwrap_or(usize::MAX));
                return self
                    .symbols
                    .get(at)
                    .copied()
                    .ok_or_else(|| bad(job, "no such code".into()));
            }
            index = index.saturating_add(usize::from(*count));
            first = first.saturating_add(u32::from(*count));
        }
        Err(bad(job, "no such code".into()))
    }
}

/// Bits from the most significant down. Zeros follow the input's end, as the reference reads a few bits
/// ahead, but no more than that.
struct Bits<'a> {
    input: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, bits: u32, job: &Job) -> Result<u32> {
        while self.count < bits {
            if self.at > self.input.len().saturating_add(4) {
                return Err(bad(job, "it is cut short".into()));
            }
            self.buffer = self.buffer << 8 | u64::from(self.input.get(self.at).copied().unwrap_or(0));
            self.at = self.at.saturating_add(1);
            self.count = self.count.saturating_add(8);
        }
        self.count = self.count.saturating_sub(bits);
        let mask = 1u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1);
        Ok(u32::try_from((self.buffer >> self.count) & mask).unwrap_or(0))
    }
}

fn bad(job: &Job, why: alloc::string::String) -> Error {
    job.failed(why)
}
