//! Brotli behind edk2's 16-byte header (`MdeModulePkg/Library/BrotliCustomDecompressLib`).

use alloc::format;
use alloc::vec::Vec;

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, SliceWrapperMut,
};
use zerocopy::little_endian::U64;

use super::Job;
use crate::{Reader, Result};

pub(super) fn decode(data: &[u8], job: &Job) -> Result<Vec<u8>> {
    let mut reader = Reader::at(data, job.offset);
    let declared = reader.raw::<U64>("Brotli decoded size")?.get();
    reader.raw::<U64>("Brotli scratch size")?;
    let mut output = job.output(declared)?;
    let input = reader.rest();
    let mut state = BrotliState::new_strict(Heap, Heap, Heap);
    let (mut left_in, mut at_in) = (input.len(), 0);
    let (mut left_out, mut at_out, mut total) = (output.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left_in,
        &mut at_in,
        input,
        &mut left_out,
        &mut at_out,
        &mut output,
        &mut total,
        &mut state,
    );
    match result {
        BrotliResult::ResultSuccess if left_out == 0 => Ok(output),
        BrotliResult::ResultSuccess => {
            Err(job.failed(format!("it ends {left_out} bytes before the declared size")))
        }
        BrotliResult::NeedsMoreInput => Err(job.failed("it is cut short")),
        BrotliResult::NeedsMoreOutput => Err(job.failed("it holds more than it declares")),
        BrotliResult::ResultFailure => Err(job.failed("the stream is malformed")),
    }
}

/// Vectors for a decoder that takes its memory from its caller.
struct Heap;

#[derive(Default)]
struct Cells<T>(Vec<T>);

impl<T> SliceWrapper<T> for Cells<T> {
    fn slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> SliceWrapperMut<T> for Cells<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Clone + Default> Allocator<T> for Heap {
    type AllocatedMemory = Cells<T>;

    fn alloc_cell(&mut self, len: usize) -> Cells<T> {
        Cells(alloc::vec![T::default(); len])
    }

    fn free_cell(&mut self, _: Cells<T>) {}
}
