//! Wire structures of the variable store and of the fault-tolerant-write areas.
//!
//! Sources: edk2 `MdeModulePkg/Include/Guid/VariableFormat.h` and
//! `MdeModulePkg/Include/Guid/SystemNvDataGuid.h`. All packed or naturally aligned, little-endian.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use fm_formats::Guid;

/// `VARIABLE_STORE_HEADER`.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawStoreHeader {
    pub(crate) signature: Guid,
    /// Bytes, this header included, the volume header not.
    pub(crate) size: U32,
    /// 0x5a: formatted.
    pub(crate) format: u8,
    /// 0xfe: healthy.
    pub(crate) state: u8,
    pub(crate) reserved: [u8; 6],
}
const _: () = assert!(size_of::<RawStoreHeader>() == 28);

/// `EFI_TIME` (UEFI 2.10, section 8.3), kept whole with its padding bytes.
pub(crate) type RawTime = [u8; 16];

/// `AUTHENTICATED_VARIABLE_HEADER`; name and data follow without padding.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawAuthVariable {
    pub(crate) start_id: U16,
    pub(crate) state: u8,
    pub(crate) reserved: u8,
    pub(crate) attributes: U32,
    pub(crate) monotonic_count: U64,
    pub(crate) timestamp: RawTime,
    pub(crate) public_key_index: U32,
    pub(crate) name_size: U32,
    pub(crate) data_size: U32,
    pub(crate) vendor: Guid,
}
const _: () = assert!(size_of::<RawAuthVariable>() == 60);

/// `VARIABLE_HEADER`, of stores without authentication.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawPlainVariable {
    pub(crate) start_id: U16,
    pub(crate) state: u8,
    pub(crate) reserved: u8,
    pub(crate) attributes: U32,
    pub(crate) name_size: U32,
    pub(crate) data_size: U32,
    pub(crate) vendor: Guid,
}
const _: () = assert!(size_of::<RawPlainVariable>() == 32);

/// `EFI_FAULT_TOLERANT_WORKING_BLOCK_HEADER`.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawWorkingHeader {
    pub(crate) signature: Guid,
    /// Of these 32 bytes with `crc` and `state` erased.
    pub(crate) crc: U32,
    /// Bit 0 clear: valid; bit 1 clear: invalid.
    pub(crate) state: u8,
    pub(crate) reserved: [u8; 3],
    pub(crate) queue_size: U64,
}
const _: () = assert!(size_of::<RawWorkingHeader>() == 32);

/// `EFI_FAULT_TOLERANT_WRITE_HEADER`; naturally aligned, so padding after the flags byte and the GUID.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawQueueHeader {
    /// Active low: bit 0 header allocated, bit 1 writes allocated, bit 2 complete.
    pub(crate) state: u8,
    pub(crate) padding: [u8; 3],
    pub(crate) caller: Guid,
    pub(crate) padding_2: [u8; 4],
    pub(crate) write_count: U64,
    pub(crate) private_data_size: U64,
}
const _: () = assert!(size_of::<RawQueueHeader>() == 40);

/// `EFI_FAULT_TOLERANT_WRITE_RECORD`.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawQueueRecord {
    /// Active low: bit 0 boot block update, bit 1 spare complete, bit 2 destination complete.
    pub(crate) state: u8,
    pub(crate) padding: [u8; 7],
    pub(crate) block: U64,
    pub(crate) offset: U64,
    pub(crate) len_bytes: U64,
    /// From the spare area to the destination.
    pub(crate) relative_offset: I64,
}
const _: () = assert!(size_of::<RawQueueRecord>() == 40);
