//! Fault-tolerant write: the queue that says whether a reclaim was interrupted and the spare holds the truth.
//!
//! Source: edk2 `MdeModulePkg/Universal/FaultTolerantWriteDxe` (`InitFtwProtocol`,
//! `FtwGetLastWriteHeader`, `FtwGetLastWriteRecord`).

use alloc::vec::Vec;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use crate::raw::{RawQueueHeader, RawQueueRecord, RawWorkingHeader};
use fm_formats::{Guid, Reader};

/// `gEdkiiWorkingBlockSignatureGuid`.
pub(crate) const WORKING_BLOCK: Guid = Guid::literal("9e58292b-7c68-497d-a0ce-6500fd9f1b95");

/// What the FTW working area says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ftw {
    /// No valid working block; the firmware makes a fresh one at its next boot.
    Invalid,
    /// Nothing is under way.
    Idle {
        /// How many writes the queue records as finished.
        finished_writes: u64,
    },
    /// A write was started and had not reached the spare whole: the destination is still the old one.
    Abandoned,
    /// The spare was written whole, the destination may not be: **the spare is the truth**.
    Pending(PendingWrite),
}

/// A write that the firmware would finish from the spare at its next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingWrite {
    /// From the start of the spare to the destination, in bytes.
    pub relative_offset: i64,
    /// Into the first destination block.
    pub offset: u64,
    /// How many bytes the caller wrote there.
    pub len_bytes: u64,
}

/// Reads the queue of the working area `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Ftw {
    let mut reader = Reader::new(bytes);
    let Ok(header) = reader.raw::<RawWorkingHeader>("FTW working header") else {
        return Ftw::Invalid;
    };
    if header.as_bytes() != working_header(bytes.len() as u64).as_slice() {
        return Ftw::Invalid;
    }
    let mut finished_writes = 0u64;
    while let Ok(write) = reader.raw::<RawQueueHeader>("FTW queue header") {
        if is_set(write.state, 2) {
            // A finished write: step over its records. A count that leaves the area ends the queue.
            let record_len = (size_of::<RawQueueRecord>() as u64).checked_add(write.private_data_size.get());
            let skip = record_len
                .and_then(|len| len.checked_mul(write.write_count.get()))
                .and_then(|len| usize::try_from(len).ok());
            match skip.map(|len| reader.bytes(len, "FTW queue records")) {
                Some(Ok(_)) => finished_writes = finished_writes.saturating_add(1),
                _ => break,
            }
            continue;
        }
        if !is_set(write.state, 0) {
            break;
        }
        return unfinished(write, &mut reader);
    }
    Ftw::Idle { finished_writes }
}

/// The first record whose destination is not complete decides; with all complete nothing is left to do.
fn unfinished(write: &RawQueueHeader, reader: &mut Reader<'_>) -> Ftw {
    let Ok(private_len) = usize::try_from(write.private_data_size.get()) else {
        return Ftw::Abandoned;
    };
    let mut last_spare_is_complete = false;
    for _ in 0..write.write_count.get() {
        let Ok(record) = reader.raw::<RawQueueRecord>("FTW queue record") else {
            return Ftw::Abandoned;
        };
        last_spare_is_complete = is_set(record.state, 1);
        if !is_set(record.state, 2) {
            if !last_spare_is_complete {
                return Ftw::Abandoned;
            }
            return Ftw::Pending(PendingWrite {
                relative_offset: record.relative_offset.get(),
                offset: record.offset.get(),
                len_bytes: record.len_bytes.get(),
            });
        }
        if reader.bytes(private_len, "FTW private data").is_err() {
            return Ftw::Abandoned;
        }
    }
    if last_spare_is_complete {
        Ftw::Idle {
            finished_writes: write.write_count.get(),
        }
    } else {
        Ftw::Abandoned
    }
}

/// State bits are active low: cleared means it happened.
const fn is_set(state: u8, bit: u8) -> bool {
    state >> bit & 1 == 0
}

/// The header of a fresh, valid working area of `area_len_bytes`.
pub(crate) fn working_header(area_len_bytes: u64) -> Vec<u8> {
    let mut header = RawWorkingHeader {
        signature: WORKING_BLOCK,
        crc: U32::new(u32::MAX),
        state: 0xff,
        reserved: [0xff; 3],
        queue_size: U64::new(area_len_bytes.saturating_sub(size_of::<RawWorkingHeader>() as u64)),
    };
    header.crc = U32::new(crc32(header.as_bytes()));
    header.state = 0xfe;
    header.as_bytes().to_vec()
}

/// CRC-32 as edk2's `CalculateCrc32`; bit by bit, for it only ever sees 32 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ 0xedb8_8320
            }
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_crc_of_a_fresh_header_is_the_one_that_edk2_builds_in() {
        // `Crc` of OvmfPkg/Include/Fdf/VarStore.fdf.inc and of Debian's AAVMF_VARS.ms.fd.
        assert_eq!(working_header(0x1000)[16..20], [0x2c, 0xaf, 0x2c, 0x64]);
        assert_eq!(working_header(0x4_0000)[16..20], [0x5b, 0xe7, 0xc6, 0x86]);
    }

    #[test]
    fn a_queue_whose_counts_overflow_is_idle_not_a_loop() {
        let mut bytes = working_header(0x1000);
        bytes.resize(0x1000, 0xff);
        bytes[32] = 0xf8;
        for byte in &mut bytes[56..72] {
            *byte = 0xfe;
        }
        assert_eq!(parse(&bytes), Ftw::Idle { finished_writes: 0 });
        bytes[32] = 0xfc;
        assert_eq!(parse(&bytes), Ftw::Abandoned);
        assert_eq!(parse(&vec![0; 0x1000]), Ftw::Invalid);
    }
}
