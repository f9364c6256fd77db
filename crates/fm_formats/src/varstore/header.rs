//! How a store begins: its header, and which of its two places is the valid one.

use super::raw::RawStoreHeader;
use crate::volume::VolumeHeader;
use crate::{Guid, Reader};

/// `gEfiAuthenticatedVariableGuid`.
pub(super) const AUTHENTICATED: Guid = Guid::literal("aaf32c78-947b-439a-a180-2e144ec37792");
/// `gEfiVariableGuid`.
pub(super) const PLAIN: Guid = Guid::literal("ddcf3616-3275-4164-98b6-fe85707ffe7d");
/// Formatted and healthy.
pub(super) const STORE_FORMAT: u8 = 0x5a;
pub(super) const STORE_STATE: u8 = 0xfe;
pub(super) const STORE_HEADER_LEN: usize = size_of::<RawStoreHeader>();

/// How variables are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With count, timestamp and key index: every build of today.
    Authenticated,
    /// Without: very old builds.
    Plain,
    /// Nothing yet: erased, or all zeros.
    Blank,
}

impl Format {
    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Plain => "plain",
            Self::Blank => "blank",
        }
    }
}

/// Where the valid store lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// In its own place.
    Main,
    /// In the spare: a reclaim was interrupted and the firmware would finish it at its next boot.
    Spare,
}

impl Truth {
    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Spare => "spare",
        }
    }
}

/// Whether the store is authenticated, and its size, if `reader` is at a sound header.
pub(super) fn store_header(reader: &mut Reader<'_>) -> Option<(bool, u32)> {
    let raw: &RawStoreHeader = reader.raw("variable store header").ok()?;
    let sound = raw.format == STORE_FORMAT && raw.state == STORE_STATE;
    match raw.signature {
        AUTHENTICATED if sound => Some((true, raw.size.get())),
        PLAIN if sound => Some((false, raw.size.get())),
        _ => None,
    }
}

/// Whether a copy of the variables' blocks has the headers of a store.
pub(super) fn holds_store(region: &Reader<'_>) -> bool {
    let mut reader = region.clone();
    VolumeHeader::parse(&mut reader)
        .is_ok_and(|header| header.file_system == VolumeHeader::NV_DATA && header.checksum_holds())
        && store_header(&mut reader).is_some()
}
