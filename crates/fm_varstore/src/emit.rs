//! Emit: a fresh store in the strictest form that edk2 accepts, or the reason why it can't be.
//!
//! The strictest reader is edk2 `OvmfPkg/Library/PlatformInitLib/Platform.c`,
//! `PlatformValidateNvVarStore`: zero vector of zeros, attributes exactly 0x4feff, padding of 0xFF up to the
//! end of the store.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use crate::ftw;
use crate::geometry::{Area, Geometry, VOLUME_HEADER_LEN};
use crate::header::{AUTHENTICATED, Format, PLAIN, STORE_FORMAT, STORE_HEADER_LEN, STORE_STATE};
use crate::raw::{RawAuthVariable, RawPlainVariable, RawStoreHeader};
use crate::variable::Variable;
use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_formats::image::Layout;
use fm_formats::volume::{Block, VolumeHeader};

/// Why variables can't go into a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// One variable is larger than firmware of this layout accepts.
    #[error(
        "{guid}-{name} takes {needed_bytes} bytes with its header; firmware of layout {layout} accepts {limit_bytes} for a variable of its kind"
    )]
    VariableTooLarge {
        /// Namespace of the variable.
        guid: Guid,
        /// Its name.
        name: Name,
        /// Header, name and data.
        needed_bytes: u64,
        /// What the layout's firmware accepts.
        limit_bytes: u64,
        /// The layout.
        layout: Layout,
    },
    /// All together are larger than the store.
    #[error(
        "the variables take {needed_bytes} bytes; a store of layout {layout} holds {limit_bytes} (the largest is {guid}-{name} with {largest_bytes} bytes)"
    )]
    StoreTooSmall {
        /// What all of them need.
        needed_bytes: u64,
        /// What the store has for variables.
        limit_bytes: u64,
        /// Namespace of the largest variable.
        guid: Guid,
        /// Its name.
        name: Name,
        /// Its size.
        largest_bytes: u64,
        /// The layout.
        layout: Layout,
    },
    /// Attributes that edk2 never stores.
    #[error("{guid}-{name} has attributes {attributes:#x}: {fault}")]
    Attributes {
        /// Namespace of the variable.
        guid: Guid,
        /// Its name.
        name: Name,
        /// The bits.
        attributes: u32,
        /// What is wrong with them.
        fault: &'static str,
    },
    /// An authenticated variable for a store that cannot hold its fields.
    #[error("{guid}-{name} is authenticated; the store has no place for its timestamp, count and key")]
    NotPlain {
        /// Namespace of the variable.
        guid: Guid,
        /// Its name.
        name: Name,
    },
    /// The same name and GUID twice.
    #[error("{guid}-{name} is given twice")]
    Twice {
        /// Namespace of the variable.
        guid: Guid,
        /// Its name.
        name: Name,
    },
    /// Nothing to call it by.
    #[error("a variable of {guid} has an empty name")]
    NoName {
        /// Namespace of the variable.
        guid: Guid,
    },
    /// A variable without data is one that was deleted.
    #[error("{guid}-{name} has no data; to edk2 that means deleted")]
    NoData {
        /// Namespace of the variable.
        guid: Guid,
        /// Its name.
        name: Name,
    },
}

/// Attributes of the volume in every template, and the only ones that the strictest reader accepts.
const VOLUME_ATTRIBUTES: u32 = 0x4_feff;

/// How much is asked of each variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checks {
    /// Only that the store can say it: for mending a store that already holds the variable.
    Representable,
    /// And that firmware of the layout accepts its size: for moving variables.
    Sizes,
    /// And that firmware accepts attributes and data: for new variables.
    All,
}

/// Makes a store of a layout out of variables.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// Where things lie and what the limits are.
    pub layout: Layout,
    /// [`Format::Plain`] for a store without authentication fields; anything else makes an authenticated one.
    pub format: Format,
    /// How much of what firmware asks of a new variable is asked here.
    pub checks: Checks,
}

impl Writer {
    /// An authenticated store with all checks.
    #[must_use]
    pub const fn new(layout: Layout) -> Self {
        Self {
            layout,
            format: Format::Authenticated,
            checks: Checks::All,
        }
    }

    fn header_len(&self) -> usize {
        if self.format == Format::Plain {
            size_of::<RawPlainVariable>()
        } else {
            size_of::<RawAuthVariable>()
        }
    }

    /// Header, name and data of `variable`, without alignment.
    #[must_use]
    pub fn variable_len_bytes(&self, variable: &Variable) -> u64 {
        [self.header_len(), variable.name.len_bytes(), variable.data.len()]
            .iter()
            .fold(0u64, |sum, len| sum.saturating_add(*len as u64))
    }

    /// Bytes of the store that are left for variables.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        u64::from(Geometry::of(self.layout).store_size_bytes()).saturating_sub(STORE_HEADER_LEN as u64)
    }

    /// Bytes that `variables` take of it, alignment included.
    #[must_use]
    pub fn needed_bytes(&self, variables: &[Variable]) -> u64 {
        variables
            .iter()
            .map(|variable| self.variable_len_bytes(variable).next_multiple_of(4))
            .fold(0, u64::saturating_add)
    }

    /// Whether `variables` can be emitted.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, variables: &[Variable]) -> Result<(), EmitError> {
        let mut seen = BTreeSet::new();
        for variable in variables {
            self.check_one(variable)?;
            if !seen.insert((variable.guid, &variable.name)) {
                return Err(EmitError::Twice {
                    guid: variable.guid,
                    name: variable.name.clone(),
                });
            }
        }
        let (needed_bytes, limit_bytes) = (self.needed_bytes(variables), self.capacity_bytes());
        let largest = variables
            .iter()
            .max_by_key(|variable| self.variable_len_bytes(variable));
        match largest {
            Some(largest) if needed_bytes > limit_bytes => Err(EmitError::StoreTooSmall {
                needed_bytes,
                limit_bytes,
                guid: largest.guid,
                name: largest.name.clone(),
                largest_bytes: self.variable_len_bytes(largest),
                layout: self.layout,
            }),
            _ => Ok(()),
        }
    }

    fn check_one(&self, variable: &Variable) -> Result<(), EmitError> {
        let (guid, name) = (variable.guid, variable.name.clone());
        if name.units().is_empty() {
            return Err(EmitError::NoName { guid });
        }
        let authenticated =
            !variable.timestamp.is_zero() || variable.monotonic_count != 0 || variable.public_key_index != 0;
        if self.format == Format::Plain && authenticated {
            return Err(EmitError::NotPlain { guid, name });
        }
        if self.checks >= Checks::All {
            if variable.data.is_empty() {
                return Err(EmitError::NoData { guid, name });
            }
            if let Some(fault) = variable.attribute_fault() {
                return Err(EmitError::Attributes {
                    guid,
                    name,
                    attributes: variable.attributes,
                    fault,
                });
            }
        }
        let needed_bytes = self.variable_len_bytes(variable);
        let limit_bytes = u64::from(Geometry::of(self.layout).limit_bytes(variable.attributes));
        if self.checks >= Checks::Sizes && needed_bytes > limit_bytes {
            return Err(EmitError::VariableTooLarge {
                guid,
                name,
                needed_bytes,
                limit_bytes,
                layout: self.layout,
            });
        }
        Ok(())
    }

    /// The whole volume: headers, variables in the order given, erased event log, fresh FTW areas.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn emit(&self, variables: &[Variable]) -> Result<Vec<u8>, EmitError> {
        self.check(variables)?;
        let geometry = Geometry::of(self.layout);
        let mut volume = self.volume_header(geometry);
        let signature = if self.format == Format::Plain {
            PLAIN
        } else {
            AUTHENTICATED
        };
        let store = RawStoreHeader {
            signature,
            size: U32::new(geometry.store_size_bytes()),
            format: STORE_FORMAT,
            state: STORE_STATE,
            reserved: [0; 6],
        };
        volume.extend_from_slice(store.as_bytes());
        for variable in variables {
            self.push(&mut volume, variable);
        }
        let len = usize::try_from(self.layout.vars_volume_size_bytes()).unwrap_or(volume.len());
        volume.resize(len, 0xff);
        put(
            &mut volume,
            geometry.working,
            &ftw::working_header(u64::from(geometry.working.len_bytes)),
        );
        Ok(volume)
    }

    fn volume_header(&self, geometry: Geometry) -> Vec<u8> {
        let len = self.layout.vars_volume_size_bytes();
        let blocks = len.checked_div(u64::from(geometry.block_len_bytes)).unwrap_or(0);
        VolumeHeader {
            zero_vector: [0; 16],
            file_system: VolumeHeader::NV_DATA,
            volume_len_bytes: len,
            attributes: VOLUME_ATTRIBUTES,
            header_len_bytes: u16::try_from(VOLUME_HEADER_LEN).unwrap_or(u16::MAX),
            ext_header_offset: 0,
            reserved: 0,
            revision: 2,
            blocks: vec![Block {
                count: u32::try_from(blocks).unwrap_or(u32::MAX),
                len_bytes: geometry.block_len_bytes,
            }],
            checksum_sum: 0,
        }
        .to_bytes()
    }

    fn push(&self, volume: &mut Vec<u8>, variable: &Variable) {
        let start_id = U16::new(0x55aa);
        let name = variable.name.to_bytes();
        let size = |len: usize| U32::new(u32::try_from(len).unwrap_or(u32::MAX));
        if self.format == Format::Plain {
            let raw = RawPlainVariable {
                start_id,
                state: 0x3f,
                reserved: 0,
                attributes: U32::new(variable.attributes),
                name_size: size(name.len()),
                data_size: size(variable.data.len()),
                vendor: variable.guid,
            };
            volume.extend_from_slice(raw.as_bytes());
        } else {
            let raw = RawAuthVariable {
                start_id,
                state: 0x3f,
                reserved: 0,
                attributes: U32::new(variable.attributes),
                monotonic_count: U64::new(variable.monotonic_count),
                timestamp: variable.timestamp.0,
                public_key_index: U32::new(variable.public_key_index),
                name_size: size(name.len()),
                data_size: size(variable.data.len()),
                vendor: variable.guid,
            };
            volume.extend_from_slice(raw.as_bytes());
        }
        volume.extend_from_slice(&name);
        volume.extend_from_slice(&variable.data);
        // The volume header is 0x48 and the store header 28 bytes long, so aligning in the volume aligns in
        // the store.
        volume.resize(volume.len().next_multiple_of(4), 0xff);
    }
}

fn put(volume: &mut [u8], area: Area, bytes: &[u8]) {
    let start = usize::try_from(area.offset).unwrap_or(usize::MAX);
    let place = volume
        .get_mut(start..)
        .and_then(|rest| rest.get_mut(..bytes.len()));
    if let Some(place) = place {
        place.copy_from_slice(bytes);
    }
}
