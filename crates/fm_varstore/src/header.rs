//! How a store begins: its header, and which of its two places is the valid one.

use crate::geometry::VOLUME_HEADER_LEN;
use crate::raw::{RawAuthVariable, RawStoreHeader};
use crate::walk::is_erased;
use fm_formats::volume::VolumeHeader;
use fm_formats::{Guid, Reader};

/// `gEfiAuthenticatedVariableGuid`.
pub(crate) const AUTHENTICATED: Guid = Guid::literal("aaf32c78-947b-439a-a180-2e144ec37792");
/// `gEfiVariableGuid`.
pub(crate) const PLAIN: Guid = Guid::literal("ddcf3616-3275-4164-98b6-fe85707ffe7d");
/// Formatted and healthy.
pub(crate) const STORE_FORMAT: u8 = 0x5a;
pub(crate) const STORE_STATE: u8 = 0xfe;
pub(crate) const STORE_HEADER_LEN: usize = size_of::<RawStoreHeader>();

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
pub enum ActiveCopy {
    /// In its own place.
    Main,
    /// In the spare: a reclaim was interrupted when its copy there was whole. Not every build reads it there: see
    /// [`Interrupted`].
    Spare,
}

impl ActiveCopy {
    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Spare => "spare",
        }
    }
}

/// Where the header of the first variable ends, in every build of today: behind the headers of volume and store.
const FIRST_VARIABLE_END: usize =
    VOLUME_HEADER_LEN as usize + STORE_HEADER_LEN + size_of::<RawAuthVariable>();

/// More than any build that was recorded writes at a boot (`atlas/power_cut.json`).
const BOOT_WRITES: usize = 0x4000;

/// How far a reclaim had come that was interrupted with its copy whole in the spare.
///
/// Source: edk2 `MdeModulePkg/Universal/FaultTolerantWriteDxe/UpdateWorkingBlock.c`,
/// `FlushSpareBlockToTargetBlock`: all blocks of the main area are erased, then written one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interrupted {
    /// The main area is written, only the note of it is missing.
    MainWritten,
    /// The main area still holds the old store, whole.
    MainOld,
    /// The same, and there is no room left for what a boot writes: this is what a reclaim begins with.
    MainFull,
    /// The main area holds the start of the new store and is erased behind it.
    MainHalf,
    /// The main area holds the headers of the new store, not one whole variable behind them, and is erased from there on.
    MainHeaders,
    /// The main area has no store: its volume header is gone.
    MainErased,
}

impl Interrupted {
    /// The word in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MainWritten => "main_written",
            Self::MainOld => "main_old",
            Self::MainFull => "main_full",
            Self::MainHalf => "main_half",
            Self::MainHeaders => "main_headers",
            Self::MainErased => "main_erased",
        }
    }

    /// What the main area `main` is beside the whole copy `spare`.
    pub(crate) fn of(main: &Reader<'_>, spare: &Reader<'_>) -> Self {
        if !holds_store(main) || volume_len_bytes(main) != volume_len_bytes(spare) {
            return Self::MainErased;
        }
        let (main, spare) = (main.all(), spare.all());
        let same = main
            .iter()
            .zip(spare)
            .take_while(|(one, other)| one == other)
            .count();
        match main.get(same..) {
            None | Some([]) => Self::MainWritten,
            Some(rest) if is_erased(rest) && same < FIRST_VARIABLE_END => Self::MainHeaders,
            Some(rest) if is_erased(rest) => Self::MainHalf,
            Some(rest) => {
                let erased = rest.iter().rev().take_while(|byte| **byte == 0xff);
                if erased.count() < BOOT_WRITES {
                    Self::MainFull
                } else {
                    Self::MainOld
                }
            }
        }
    }
}

fn volume_len_bytes(region: &Reader<'_>) -> Option<u64> {
    Some(VolumeHeader::parse(&mut region.clone()).ok()?.volume_len_bytes)
}

/// Whether the store is authenticated, and its size, if `reader` is at a sound header.
pub(crate) fn store_header(reader: &mut Reader<'_>) -> Option<(bool, u32)> {
    let raw: &RawStoreHeader = reader.raw("variable store header").ok()?;
    let sound = raw.format == STORE_FORMAT && raw.state == STORE_STATE;
    match raw.signature {
        AUTHENTICATED if sound => Some((true, raw.size.get())),
        PLAIN if sound => Some((false, raw.size.get())),
        _ => None,
    }
}

/// Whether a copy of the variables' blocks has the headers of a store.
pub(crate) fn holds_store(region: &Reader<'_>) -> bool {
    let mut reader = region.clone();
    VolumeHeader::parse(&mut reader)
        .is_ok_and(|header| header.file_system == VolumeHeader::NV_DATA && header.checksum_holds())
        && store_header(&mut reader).is_some()
}
