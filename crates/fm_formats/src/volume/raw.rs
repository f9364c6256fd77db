//! Wire layouts of PI firmware volumes (PI 1.8, volume 3; edk2 `MdePkg/Include/Pi/PiFirmwareVolume.h`).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Guid;

/// `EFI_FIRMWARE_VOLUME_HEADER` without its block map.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawVolumeHeader {
    /// Reset vector of some architectures, zero in variable stores.
    pub zero_vector: [u8; 16],
    /// The format of what follows.
    pub file_system: Guid,
    /// Bytes, header included.
    pub volume_len_bytes: U64,
    /// `_FVH`.
    pub signature: [u8; 4],
    /// `EFI_FVB_ATTRIBUTES_2`.
    pub attributes: U32,
    /// Bytes, block map included.
    pub header_len_bytes: U16,
    /// Makes the 16-bit sum of the header zero.
    pub checksum: U16,
    /// From the start of the volume; zero if there is none.
    pub ext_header_offset: U16,
    /// Zero.
    pub reserved: u8,
    /// 2.
    pub revision: u8,
}
const _: () = assert!(size_of::<RawVolumeHeader>() == 56);

/// `EFI_FV_BLOCK_MAP_ENTRY`; a pair of zeros ends the map.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawBlockMapEntry {
    /// How many blocks.
    pub count: U32,
    /// Bytes each.
    pub len_bytes: U32,
}
const _: () = assert!(size_of::<RawBlockMapEntry>() == 8);

/// `EFI_FIRMWARE_VOLUME_EXT_HEADER`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawVolumeExtHeader {
    /// The volume's name.
    pub name: Guid,
    /// Bytes, entries included.
    pub len_bytes: U32,
}
const _: () = assert!(size_of::<RawVolumeExtHeader>() == 20);

/// `EFI_FFS_FILE_HEADER` (PI 1.8, volume 3, 3.2.3).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawFileHeader {
    /// The file's name.
    pub name: Guid,
    /// Makes the 8-bit sum of the header zero, with `file_checksum` and `state` taken as zero.
    pub header_checksum: u8,
    /// Of the body if attribute 0x40 is set, else 0xaa.
    pub file_checksum: u8,
    /// `EFI_FV_FILETYPE`.
    pub kind: u8,
    /// `EFI_FFS_FILE_ATTRIBUTES`.
    pub attributes: u8,
    /// Bytes, header included; all zero or all one bits with attribute 0x01.
    pub len_bytes: [u8; 3],
    /// State bits, inverted if the volume erases to ones.
    pub state: u8,
}
const _: () = assert!(size_of::<RawFileHeader>() == 24);

/// `EFI_COMMON_SECTION_HEADER`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawSectionHeader {
    /// Bytes, header included; all one bits if a 32-bit size follows.
    pub len_bytes: [u8; 3],
    /// `EFI_SECTION_TYPE`.
    pub kind: u8,
}
const _: () = assert!(size_of::<RawSectionHeader>() == 4);

/// What follows the common header of an `EFI_GUID_DEFINED_SECTION`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawGuidedSection {
    /// Which encoding.
    pub guid: Guid,
    /// From the start of the section to its data.
    pub data_offset: U16,
    /// 1: needs processing, 2: carries an authentication status.
    pub attributes: U16,
}
const _: () = assert!(size_of::<RawGuidedSection>() == 20);

/// What follows the common header of an `EFI_COMPRESSION_SECTION`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawCompressionSection {
    /// Bytes once decoded.
    pub decoded_len_bytes: U32,
    /// 0: stored, 1: EFI 1.1 or Tiano compression.
    pub kind: u8,
}
const _: () = assert!(size_of::<RawCompressionSection>() == 5);
