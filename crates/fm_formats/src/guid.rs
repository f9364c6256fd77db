//! GUIDs as UEFI stores them: three little-endian fields, then eight bytes in order.

use core::fmt;
use core::str::FromStr;

use alloc::string::{String, ToString as _};

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `EFI_GUID`, 16 bytes as they lie in memory (UEFI 2.10, appendix A).
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
    Serialize,
    Deserialize,
)]
#[serde(into = "String", try_from = "String")]
#[repr(C)]
pub struct Guid([u8; 16]);

/// The text is not a GUID in registry format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a GUID is 8-4-4-4-12 hexadecimal digits, such as 8be4df61-93ca-11d2-aa0d-00e098032b8c")]
pub struct ParseGuidError;

impl Guid {
    /// All zero bits.
    pub const ZERO: Self = Self([0; 16]);

    /// From the 16 bytes in memory order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes in memory order.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From the fields as C headers and specifications write them.
    #[must_use]
    pub const fn from_fields(data1: u32, data2: u16, data3: u16, data4: [u8; 8]) -> Self {
        let [a0, a1, a2, a3] = data1.to_le_bytes();
        let [b0, b1] = data2.to_le_bytes();
        let [c0, c1] = data3.to_le_bytes();
        let [d0, d1, d2, d3, d4, d5, d6, d7] = data4;
        Self([a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7])
    }

    /// From registry format at compile time; a text that is no GUID fails the build.
    #[must_use]
    #[allow(clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // runs in const context only
    pub const fn literal(text: &str) -> Self {
        match parse(text.as_bytes()) {
            Some(guid) => guid,
            None => panic!("not a GUID"),
        }
    }
}

/// Memory position of each hexadecimal pair, in the order in which text gives them.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // indexes are bounded by the length check above them
const fn parse(text: &[u8]) -> Option<Guid> {
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0u8; 16];
    let (mut at, mut pair) = (0, 0);
    while pair < 16 {
        if at == 8 || at == 13 || at == 18 || at == 23 {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        let (Some(high), Some(low)) = (nibble(text[at]), nibble(text[at + 1])) else {
            return None;
        };
        bytes[ORDER[pair]] = high << 4 | low;
        at += 2;
        pair += 1;
    }
    Some(Guid(bytes))
}

#[allow(clippy::arithmetic_side_effects)] // each arm's range rules overflow out
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl FromStr for Guid {
    type Err = ParseGuidError;

    fn from_str(text: &str) -> Result<Self, ParseGuidError> {
        parse(text.as_bytes()).ok_or(ParseGuidError)
    }
}

impl TryFrom<String> for Guid {
    type Error = ParseGuidError;

    fn try_from(text: String) -> Result<Self, ParseGuidError> {
        text.parse()
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.to_string()
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, rest @ ..] = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{d0:02x}{d1:02x}-",
            u32::from_le_bytes([a0, a1, a2, a3]),
            u16::from_le_bytes([b0, b1]),
            u16::from_le_bytes([c0, c1]),
        )?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const GLOBAL_VARIABLE: Guid = Guid::literal("8be4df61-93ca-11d2-aa0d-00e098032b8c");

    #[test]
    fn text_and_fields_name_the_same_bytes() {
        let fields = Guid::from_fields(
            0x8be4_df61,
            0x93ca,
            0x11d2,
            [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c],
        );
        assert_eq!(GLOBAL_VARIABLE, fields);
        assert_eq!(fields.to_bytes()[..4], [0x61, 0xdf, 0xe4, 0x8b]);
        assert_eq!(fields.to_string(), "8be4df61-93ca-11d2-aa0d-00e098032b8c");
        assert_eq!("8BE4DF61-93CA-11D2-AA0D-00E098032B8C".parse(), Ok(fields));
    }

    #[test]
    fn text_that_is_no_guid_is_refused() {
        for text in [
            "",
            "8be4df61",
            "8be4df61-93ca-11d2-aa0d-00e098032b8",
            "8be4df61x93ca-11d2-aa0d-00e098032b8c",
            "8be4df61-93ca-11d2-aa0d-00e098032b8g",
            "8be4df61-93ca-11d2-aa0d-00e098032b8c0",
        ] {
            assert_eq!(text.parse::<Guid>(), Err(ParseGuidError), "{text}");
        }
    }
}
