//! What tells an image from every other: the name of its entry in the cache.

use std::fmt;
use std::str::FromStr;

use fm_formats::Sha256;

/// What an image is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageKey {
    /// Of its bytes without the padding at its end, if that is long.
    pub(super) digest: Sha256,
    /// The length of the image, its padding included.
    pub(super) len_bytes: u64,
    /// The byte that it is padded with.
    pub(super) fill: u8,
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}-{:02x}", self.digest, self.len_bytes, self.fill)
    }
}

/// The text is no key of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParseKeyError;

impl FromStr for ImageKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let mut words = text.split('-');
        let mut word = || words.next().ok_or(ParseKeyError);
        let key = Self {
            digest: word()?.parse().map_err(|_| ParseKeyError)?,
            len_bytes: u64::from_str_radix(word()?, 16).map_err(|_| ParseKeyError)?,
            fill: u8::from_str_radix(word()?, 16).map_err(|_| ParseKeyError)?,
        };
        // One key has one text.
        if key.to_string() == text {
            Ok(key)
        } else {
            Err(ParseKeyError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written_and_nothing_else_is_one() {
        let key = ImageKey {
            digest: Sha256::of(b"x"),
            len_bytes: 0x37_c000,
            fill: 0,
        };
        let text = key.to_string();
        assert!(text.ends_with("-37c000-00"), "{text}");
        assert_eq!(text.parse(), Ok(key));
        for other in [
            "",
            "x",
            &text[1..],
            &format!("{text}-tree"),
            &text.replace("-37", "-037"),
        ] {
            assert_eq!(other.parse::<ImageKey>(), Err(ParseKeyError), "{other}");
        }
    }
}
