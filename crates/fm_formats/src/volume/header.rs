//! The header of a firmware volume: parse, check, emit.

use alloc::format;
use alloc::vec::Vec;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::raw::{RawBlockMapEntry, RawVolumeHeader};
use crate::{Error, Guid, Reader, Result};

/// One run of the block map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// How many blocks.
    pub count: u32,
    /// Bytes each.
    pub len_bytes: u32,
}

/// `EFI_FIRMWARE_VOLUME_HEADER` with its block map.
///
/// Parsing accepts wrong checksums, revisions and block maps, so that damage can be described;
/// [`Self::checksum_holds`] tells. Emitting always writes a checksum that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeHeader {
    /// The first 16 bytes.
    pub zero_vector: [u8; 16],
    /// The format of what follows.
    pub file_system: Guid,
    /// Bytes, header included.
    pub volume_len_bytes: u64,
    /// `EFI_FVB_ATTRIBUTES_2`.
    pub attributes: u32,
    /// Bytes from the volume's start to its content, as the header says.
    pub header_len_bytes: u16,
    /// From the volume's start; zero if there is none.
    pub ext_header_offset: u16,
    /// The reserved byte.
    pub reserved: u8,
    /// 2 in every volume of today.
    pub revision: u8,
    /// The block map, without its end mark.
    pub blocks: Vec<Block>,
    /// The 16-bit sum of the header as found; zero if it is sound.
    pub checksum_sum: u16,
}

impl VolumeHeader {
    /// `_FVH`, 40 bytes into the header.
    pub const SIGNATURE: [u8; 4] = *b"_FVH";
    /// Where the signature lies.
    pub const SIGNATURE_OFFSET: usize = 40;
    /// `gEfiFirmwareFileSystem2Guid`.
    pub const FFS2: Guid = Guid::literal("8c8ce578-8a3d-4f1c-9935-896185c32dd3");
    /// `gEfiFirmwareFileSystem3Guid`: files may exceed 16 MiB.
    pub const FFS3: Guid = Guid::literal("5473c07a-3dcb-4dca-bd6f-1e9689e7349a");
    /// `gEfiSystemNvDataFvGuid`: variables, not files.
    pub const NV_DATA: Guid = Guid::literal("fff12b8d-7696-4c8b-a985-2747075b4f50");

    /// Reads the header at the reader's position and moves behind it (to `header_len_bytes`).
    ///
    /// # Errors
    /// [`Error::Truncated`] if it is cut short, [`Error::Unexpected`] if the signature is missing or the
    /// header's own length leaves no room for it.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        let start = reader.offset();
        let mut inner = reader.clone();
        let raw: &RawVolumeHeader = inner.raw("firmware volume header")?;
        if raw.signature != Self::SIGNATURE {
            return Err(Error::Unexpected {
                field: "firmware volume signature",
                offset: start.saturating_add(Self::SIGNATURE_OFFSET as u64),
                found: format!("{:02x?}", raw.signature),
                expected: "5f 46 56 48 (_FVH)".into(),
            });
        }
        let header_len = usize::from(raw.header_len_bytes.get());
        if header_len < size_of::<RawVolumeHeader>() || header_len % 2 != 0 {
            return Err(Error::Unexpected {
                field: "firmware volume header length",
                offset: start.saturating_add(48),
                found: format!("{header_len:#x}"),
                expected: "an even number, at least 0x38".into(),
            });
        }
        let mut header = reader.sub(header_len, "firmware volume header with its block map")?;
        let checksum_sum = sum16(header.all());
        header.bytes(size_of::<RawVolumeHeader>(), "firmware volume header")?;
        let mut blocks = Vec::new();
        while let Ok(entry) = header.raw::<RawBlockMapEntry>("block map entry") {
            if entry.count.get() == 0 && entry.len_bytes.get() == 0 {
                break;
            }
            blocks.push(Block {
                count: entry.count.get(),
                len_bytes: entry.len_bytes.get(),
            });
        }
        Ok(Self {
            zero_vector: raw.zero_vector,
            file_system: raw.file_system,
            volume_len_bytes: raw.volume_len_bytes.get(),
            attributes: raw.attributes.get(),
            header_len_bytes: raw.header_len_bytes.get(),
            ext_header_offset: raw.ext_header_offset.get(),
            reserved: raw.reserved,
            revision: raw.revision,
            blocks,
            checksum_sum,
        })
    }

    /// Whether the 16-bit sum of the header was zero when it was read.
    #[must_use]
    pub const fn checksum_holds(&self) -> bool {
        self.checksum_sum == 0
    }

    /// Whether erased flash reads as ones (`EFI_FVB2_ERASE_POLARITY`).
    #[must_use]
    pub const fn erases_to_ones(&self) -> bool {
        self.attributes & 0x800 != 0
    }

    /// The header as bytes, the block map's end mark included, with a checksum that holds. It is padded
    /// with zeros to `header_len_bytes` where that is longer, and longer than it where the map needs it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let raw = RawVolumeHeader {
            zero_vector: self.zero_vector,
            file_system: self.file_system,
            volume_len_bytes: U64::new(self.volume_len_bytes),
            signature: Self::SIGNATURE,
            attributes: U32::new(self.attributes),
            header_len_bytes: U16::new(self.header_len_bytes),
            checksum: U16::new(0),
            ext_header_offset: U16::new(self.ext_header_offset),
            reserved: self.reserved,
            revision: self.revision,
        };
        let mut bytes = raw.as_bytes().to_vec();
        for block in self.blocks.iter().chain(&[Block {
            count: 0,
            len_bytes: 0,
        }]) {
            bytes.extend_from_slice(&block.count.to_le_bytes());
            bytes.extend_from_slice(&block.len_bytes.to_le_bytes());
        }
        if bytes.len() < usize::from(self.header_len_bytes) {
            bytes.resize(usize::from(self.header_len_bytes), 0);
        }
        let checksum = 0u16.wrapping_sub(sum16(&bytes)).to_le_bytes();
        if let Some(field) = bytes.get_mut(50..52) {
            field.copy_from_slice(&checksum);
        }
        bytes
    }
}

/// The wrapping sum of little-endian 16-bit words; a last odd byte counts as its own word.
pub(super) fn sum16(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2);
    let odd = words.remainder().first().copied().unwrap_or(0);
    words
        .filter_map(|word| <[u8; 2]>::try_from(word).ok())
        .fold(u16::from(odd), |sum, word| {
            sum.wrapping_add(u16::from_le_bytes(word))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> VolumeHeader {
        VolumeHeader {
            zero_vector: [0; 16],
            file_system: VolumeHeader::NV_DATA,
            volume_len_bytes: 0x84000,
            attributes: 0x4feff,
            header_len_bytes: 0x48,
            ext_header_offset: 0,
            reserved: 0,
            revision: 2,
            blocks: alloc::vec![Block {
                count: 0x84,
                len_bytes: 0x1000
            }],
            checksum_sum: 0,
        }
    }

    #[test]
    fn the_header_of_a_4m_varstore_has_the_checksum_that_edk2_writes() {
        // edk2 OvmfPkg/Include/Fdf/VarStore.fdf.inc gives the bytes AF B8 for the 4 MB store.
        let bytes = sample().to_bytes();
        assert_eq!(bytes.len(), 0x48);
        assert_eq!(bytes[50..52], [0xaf, 0xb8]);
    }

    #[test]
    fn a_header_cut_anywhere_is_refused_with_its_offset() {
        let bytes = sample().to_bytes();
        for len in 0..bytes.len() {
            let error = VolumeHeader::parse(&mut Reader::at(&bytes[..len], 0x100)).unwrap_err();
            assert!(
                matches!(error, Error::Truncated { offset: 0x100, .. }),
                "{len}: {error}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let bytes = sample().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(header) = VolumeHeader::parse(&mut Reader::new(&bad)) {
                assert!(!header.checksum_holds(), "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(
            zero_vector: [u8; 16], file_system: [u8; 16], volume_len_bytes: u64, attributes: u32,
            ext_header_offset: u16, reserved: u8, revision: u8,
            blocks in proptest::collection::vec((1u32.., 1u32..), 0..5),
        ) {
            let header = VolumeHeader {
                zero_vector, file_system: Guid::from_bytes(file_system), volume_len_bytes, attributes,
                header_len_bytes: u16::try_from(56 + 8 * (blocks.len() + 1)).unwrap(),
                ext_header_offset, reserved, revision,
                blocks: blocks.into_iter().map(|(count, len_bytes)| Block { count, len_bytes }).collect(),
                checksum_sum: 0,
            };
            let bytes = header.to_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(VolumeHeader::parse(&mut reader).unwrap(), header);
            prop_assert!(reader.is_empty());
        }
    }
}
