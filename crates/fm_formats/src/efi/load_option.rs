//! Boot entries: `Boot####`, `Driver####`, `SysPrep####`.
//!
//! Source: UEFI 2.10, section 3.1.3 (`EFI_LOAD_OPTION`).

use alloc::string::{String, ToString};

use zerocopy::little_endian::{U16, U32};

use super::device_path::DevicePath;
use super::node::Text;
use crate::{Error, Reader, Result};

/// One boot entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOption<'a> {
    /// Bit 0: active; bit 3: hidden.
    pub attributes: u32,
    /// What the boot menu shows.
    pub description: String,
    /// What is started.
    pub path: DevicePath<'a>,
    /// What it is given.
    pub optional_data: &'a [u8],
}

impl<'a> LoadOption<'a> {
    /// Reads the content of such a variable.
    ///
    /// # Errors
    /// [`Error::Truncated`] with the field that runs short.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let attributes = reader.raw::<U32>("load option attributes")?.get();
        let path_len = usize::from(reader.raw::<U16>("load option path length")?.get());
        let text_len = reader
            .rest()
            .as_chunks::<2>()
            .0
            .iter()
            .position(|unit| *unit == [0, 0])
            .ok_or(Error::Truncated {
                field: "load option description",
                offset: reader.offset(),
                needed_bytes: (reader.remaining() as u64).saturating_add(2),
                available_bytes: reader.remaining() as u64,
            })?;
        let text = reader.bytes(
            text_len.saturating_add(1).saturating_mul(2),
            "load option description",
        )?;
        let description = Text(text).to_string();
        let path = DevicePath::new(reader.bytes(path_len, "load option path")?);
        Ok(Self {
            attributes,
            description,
            path,
            optional_data: reader.rest(),
        })
    }

    /// Whether boot menus leave it out.
    #[must_use]
    pub const fn is_hidden(&self) -> bool {
        self.attributes & 8 != 0
    }

    /// Whether the boot manager may start it by itself.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.attributes & 1 != 0
    }
}
