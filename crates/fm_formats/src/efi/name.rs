//! Variable names: UCS-2 units, and a text form that loses none of them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::str::FromStr;

/// A variable's name: UCS-2 units without the terminator.
///
/// The text form is the plain text where it can be; control characters, surrogates and the backslash are
/// written `\u{HEX}`, so that every name has one text, every text one name, and a hostile name cannot
/// drive a terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Vec<u16>);

/// The text is no variable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// No characters.
    #[error("a variable name is empty")]
    Empty,
    /// A character that takes more than one UCS-2 unit, or the terminator.
    #[error("a variable name holds {0:?}, which UCS-2 cannot say; names are U+0001 to U+FFFF")]
    NotUcs2(char),
    /// A backslash that starts no `\u{HEX}`.
    #[error("a variable name holds a backslash that starts no \\u{{HEX}} (a backslash itself is \\u{{5c}})")]
    Escape,
}

impl Name {
    /// From units; they end at the first zero.
    #[must_use]
    pub fn from_units(units: impl IntoIterator<Item = u16>) -> Self {
        Self(units.into_iter().take_while(|unit| *unit != 0).collect())
    }

    /// From the little-endian bytes of a name with its terminator.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_units(units(bytes))
    }

    /// The units, without a terminator.
    #[must_use]
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// How many bytes it takes in a store, the terminator included.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.0.len().saturating_add(1).saturating_mul(2)
    }

    /// As it lies in a store, the terminator included.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .chain(&[0])
            .flat_map(|unit| unit.to_le_bytes())
            .collect()
    }
}

/// The whole UCS-2 units in `bytes`.
fn units(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u16::from_le_bytes(*pair))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.0.len());
        for unit in &self.0 {
            match char::from_u32(u32::from(*unit)) {
                Some(character) if character != '\\' && !character.is_control() => text.push(character),
                _ => write!(text, "\\u{{{unit:x}}}")?,
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        let mut units = Vec::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            if character != '\\' {
                let unit = u16::try_from(u32::from(character))
                    .ok()
                    .filter(|unit| *unit != 0)
                    .ok_or(ParseNameError::NotUcs2(character))?;
                units.push(unit);
                continue;
            }
            let (digits, after) = rest
                .as_str()
                .strip_prefix("u{")
                .and_then(|after| after.split_once('}'))
                .ok_or(ParseNameError::Escape)?;
            let unit = u16::from_str_radix(digits, 16)
                .ok()
                .filter(|unit| *unit != 0)
                .ok_or(ParseNameError::Escape)?;
            units.push(unit);
            rest = after.chars();
        }
        if units.is_empty() {
            return Err(ParseNameError::Empty);
        }
        Ok(Self(units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn text_that_ucs2_cannot_say_is_refused() {
        assert_eq!("".parse::<Name>(), Err(ParseNameError::Empty));
        assert_eq!("a😀".parse::<Name>(), Err(ParseNameError::NotUcs2('😀')));
        assert_eq!("a\0b".parse::<Name>(), Err(ParseNameError::NotUcs2('\0')));
        assert_eq!("a\\b".parse::<Name>(), Err(ParseNameError::Escape));
        assert_eq!("\\u{0}".parse::<Name>(), Err(ParseNameError::Escape));
    }

    #[test]
    fn a_control_character_never_reaches_the_terminal() {
        let name = Name::from_units([0x1b, u16::from(b'c'), 0xd83d]);
        assert_eq!(name.to_string(), "\\u{1b}c\\u{d83d}");
    }

    proptest! {
        #[test]
        fn every_name_reads_back_from_its_text(units in proptest::collection::vec(1u16.., 1..40)) {
            let name = Name::from_units(units);
            prop_assert_eq!(name.to_string().parse(), Ok(name.clone()));
            prop_assert_eq!(Name::from_bytes(&name.to_bytes()), name);
        }
    }
}
