//! As much of qcow2 as it takes to find the saved memory of internal snapshots.
//!
//! Source: QEMU `docs/interop/qcow2.rst`; where memory lies: `block/qcow2.h:qcow2_vm_state_offset`.

use alloc::string::String;
use alloc::vec::Vec;

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::field::{text, unexpected};
use fm_formats::{Error, Reader, Result};

/// First bytes of a qcow2 image.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";
/// As much as the parts of the header that [`Image::parse`] reads take.
pub const HEADER_BYTES: usize = 80;

/// QEMU itself refuses more. Source: QEMU `block/qcow2.h:MAX_SNAPSHOT_COUNT`.
const MAX_SNAPSHOTS: u32 = 65536;
/// Source: QEMU `block/qcow2.h:QCOW_MAX_SNAPSHOTS_SIZE`.
pub const MAX_SNAPSHOT_TABLE_BYTES: u64 = 64 << 20;

const INCOMPATIBLE_DIRTY: u64 = 1 << 0;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_EXTERNAL_DATA: u64 = 1 << 2;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ALL_ZERO: u64 = 1;

/// The first 80 bytes of a qcow2 header; the last 8 exist from version 3 on.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 4],
    version: U32,
    backing_file_offset: U64,
    backing_file_size: U32,
    cluster_bits: U32,
    size: U64,
    crypt_method: U32,
    l1_size: U32,
    l1_table_offset: U64,
    refcount_table_offset: U64,
    refcount_table_clusters: U32,
    nb_snapshots: U32,
    snapshots_offset: U64,
    incompatible_features: U64,
}
const _: () = assert!(size_of::<RawHeader>() == HEADER_BYTES);

/// A snapshot table entry before its extra data, id and name.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSnapshot {
    l1_table_offset: U64,
    l1_size: U32,
    id_str_size: U16,
    name_size: U16,
    date_sec: U32,
    date_nsec: U32,
    vm_clock_nsec: U64,
    vm_state_size: U32,
    extra_data_size: U32,
}
const _: () = assert!(size_of::<RawSnapshot>() == 40);

/// The fields of a qcow2 header, before anything is judged by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// Where the name of the file stands that holds what this one does not; 0 if there is none.
    pub backing_file_offset: u64,
    /// Binary logarithm of the size of a cluster.
    pub cluster_bits: u32,
    /// Size of the disk in bytes.
    pub size_bytes: u64,
    /// How it is encrypted; 0 if it is not.
    pub encryption: u32,
    /// How many internal snapshots there are.
    pub snapshot_count: u32,
    /// Where their table is.
    pub snapshots_offset: u64,
    /// What a reader must understand; nothing before version 3.
    pub incompatible_features: u64,
}

impl Header {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// If it is cut short or no qcow2 header.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let raw = Reader::new(bytes).raw::<RawHeader>("qcow2 header")?;
        if raw.magic != MAGIC {
            return Err(unexpected(
                "qcow2 magic",
                0,
                format_args!("{:02x?}", raw.magic),
                "`QFI`, 0xfb",
            ));
        }
        let version = raw.version.get();
        Ok(Self {
            version,
            backing_file_offset: raw.backing_file_offset.get(),
            cluster_bits: raw.cluster_bits.get(),
            size_bytes: raw.size.get(),
            encryption: raw.crypt_method.get(),
            snapshot_count: raw.nb_snapshots.get(),
            snapshots_offset: raw.snapshots_offset.get(),
            incompatible_features: match version {
                3.. => raw.incompatible_features.get(),
                _ => 0,
            },
        })
    }

    /// Whether its reference counts may be wrong, because it is or was in use.
    #[must_use]
    pub const fn is_dirty(&self) -> bool {
        self.incompatible_features & INCOMPATIBLE_DIRTY != 0
    }

    /// Whether QEMU found it damaged, and opens it to read alone.
    #[must_use]
    pub const fn is_corrupt(&self) -> bool {
        self.incompatible_features & INCOMPATIBLE_CORRUPT != 0
    }

    /// Whether its content lies in another file.
    #[must_use]
    pub const fn has_external_data(&self) -> bool {
        self.incompatible_features & INCOMPATIBLE_EXTERNAL_DATA != 0
    }
}

/// What a qcow2 header says of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Size of the disk in bytes.
    pub size_bytes: u64,
    /// How many internal snapshots there are.
    pub snapshot_count: u32,
    /// Where their table is.
    pub snapshots_offset: u64,
    cluster_bits: u32,
}

/// An internal snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number, as text.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many bytes of memory it holds, 0 for a snapshot of the disk alone.
    pub vm_state_bytes: u64,
    /// Where its first mapping table is.
    pub l1_offset: u64,
    l1_entries: u32,
    first_l1: u64,
}

/// Where a cluster's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At that offset of the file.
    At(u64),
    /// Nowhere: zeros.
    Zero,
}

impl Image {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// If it is no header, or of an image whose clusters we cannot find.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let header = Header::parse(bytes)?;
        let (version, cluster_bits) = (header.version, header.cluster_bits);
        if !(2..=3).contains(&version) {
            return Err(unexpected("qcow2 version", 4, version, "2 or 3"));
        }
        if !(9..=21).contains(&cluster_bits) {
            return Err(unexpected("qcow2 cluster bits", 20, cluster_bits, "9 to 21"));
        }
        if header.encryption != 0 {
            return Err(unexpected("qcow2 encryption", 32, header.encryption, "none"));
        }
        let features = header.incompatible_features;
        if features & (INCOMPATIBLE_EXTENDED_L2 | INCOMPATIBLE_EXTERNAL_DATA) != 0 {
            return Err(unexpected(
                "qcow2 features",
                72,
                format_args!("{features:#x}"),
                "neither external data (0x4) nor extended L2 entries (0x10)",
            ));
        }
        if header.snapshot_count > MAX_SNAPSHOTS {
            return Err(Error::Limit {
                what: "number of qcow2 snapshots",
                offset: 60,
                limit: MAX_SNAPSHOTS.into(),
            });
        }
        Ok(Self {
            size_bytes: header.size_bytes,
            snapshot_count: header.snapshot_count,
            snapshots_offset: header.snapshots_offset,
            cluster_bits,
        })
    }

    /// Size of a cluster in bytes.
    #[must_use]
    pub fn cluster_bytes(&self) -> u64 {
        1u64.checked_shl(self.cluster_bits).unwrap_or(1 << 16)
    }

    /// Bits of a virtual offset that one L2 table covers.
    fn l2_cover_bits(&self) -> u32 {
        self.cluster_bits.saturating_mul(2).saturating_sub(3)
    }

    /// The snapshot table in `bytes`, which start at [`Image::snapshots_offset`].
    ///
    /// # Errors
    /// [`Error::Truncated`] if it does not end within `bytes`.
    pub fn snapshots(&self, bytes: &[u8]) -> Result<Vec<Snapshot>> {
        let mut reader = Reader::at(bytes, self.snapshots_offset);
        let mut snapshots = Vec::new();
        for _ in 0..self.snapshot_count {
            reader.align(8);
            let raw = reader.raw::<RawSnapshot>("qcow2 snapshot")?;
            let extra_bytes = usize::try_from(raw.extra_data_size.get()).unwrap_or(usize::MAX);
            let mut extra = reader.sub(extra_bytes, "qcow2 snapshot extra data")?;
            let vm_state_bytes = match extra.raw::<U64>("vm state size") {
                Ok(large) => large.get(),
                Err(_) => raw.vm_state_size.get().into(),
            };
            let disk_bytes = extra
                .raw::<U64>("disk size")
                .map_or(self.size_bytes, |size| size.get());
            let id = text(reader.bytes(raw.id_str_size.get().into(), "qcow2 snapshot id")?);
            let name = text(reader.bytes(raw.name_size.get().into(), "qcow2 snapshot name")?);
            let cover = 1u64.checked_shl(self.l2_cover_bits()).unwrap_or(u64::MAX);
            snapshots.push(Snapshot {
                id,
                name,
                vm_state_bytes,
                l1_offset: raw.l1_table_offset.get(),
                l1_entries: raw.l1_size.get(),
                first_l1: disk_bytes.div_ceil(cover),
            });
        }
        Ok(snapshots)
    }

    /// Where in the file the L1 entry for byte `at` of the snapshot's memory is.
    ///
    /// # Errors
    /// If the snapshot's table has no such entry.
    pub fn l1_entry_offset(&self, snapshot: &Snapshot, at: u64) -> Result<u64> {
        let index = at
            .checked_shr(self.l2_cover_bits())
            .unwrap_or(0)
            .saturating_add(snapshot.first_l1);
        if index >= snapshot.l1_entries.into() {
            return Err(unexpected(
                "qcow2 L1 index",
                snapshot.l1_offset,
                index,
                alloc::format!("at most {} entries", snapshot.l1_entries),
            ));
        }
        Ok(snapshot.l1_offset.saturating_add(index.saturating_mul(8)))
    }

    /// Where in the file the L2 entry for byte `at` is, if `l1_entry` has a table.
    #[must_use]
    pub fn l2_entry_offset(&self, l1_entry: u64, at: u64) -> Option<u64> {
        let table = l1_entry & OFFSET_MASK;
        let entries = self.cluster_bytes() >> 3;
        let index = at.checked_shr(self.cluster_bits).unwrap_or(0) & entries.saturating_sub(1);
        (table != 0).then(|| table.saturating_add(index.saturating_mul(8)))
    }

    /// What an L2 entry, read from `offset`, refers to.
    ///
    /// # Errors
    /// If the cluster is compressed; QEMU never compresses memory.
    pub fn place(&self, l2_entry: u64, offset: u64) -> Result<Place> {
        if l2_entry & COMPRESSED != 0 {
            return Err(unexpected(
                "qcow2 cluster of memory",
                offset,
                "compressed",
                "one as it is",
            ));
        }
        Ok(match l2_entry & OFFSET_MASK {
            0 => Place::Zero,
            _ if l2_entry & ALL_ZERO != 0 => Place::Zero,
            at => Place::At(at),
        })
    }
}
