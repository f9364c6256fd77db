//! QEMU's versions, as programs and people write them.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// A QEMU release, `10.0.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QemuVersion {
    /// One a year.
    pub major: u16,
    /// Three a year, from 0.
    pub minor: u16,
    /// Bug fixes; distributions backport more than this number tells.
    pub micro: u16,
}

/// The text does not begin with a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no QEMU version; it looks like 7.2 or 10.0.2")]
pub struct ParseVersionError(String);

impl QemuVersion {
    /// The release `major.minor.micro`.
    #[must_use]
    pub const fn new(major: u16, minor: u16, micro: u16) -> Self {
        Self { major, minor, micro }
    }
}

impl FromStr for QemuVersion {
    type Err = ParseVersionError;

    /// Reads `7.2`, `7.2.22`, and what packages make of it: `10.0.2 (Debian 1:10.0.2+ds-2)`.
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let error = || ParseVersionError(text.to_string());
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut numbers = text.get(..end).unwrap_or_default().split('.').map(str::parse);
        let mut number = |default: Option<u16>| match numbers.next() {
            Some(number) => number.map_err(|_| error()),
            None => default.ok_or_else(error),
        };
        Ok(Self {
            major: number(None)?,
            minor: number(None)?,
            micro: number(Some(0))?,
        })
    }
}

impl QemuVersion {
    /// Whether `text`, a version as people write it, means this release: `7.2` means every `7.2.x`.
    #[must_use]
    pub fn is_meant_by(self, text: &str) -> bool {
        let names_micro = text
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .is_some_and(|number| number.split('.').count() > 2);
        text.parse().is_ok_and(|meant: Self| {
            (meant.major, meant.minor) == (self.major, self.minor)
                && (!names_micro || meant.micro == self.micro)
        })
    }
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_packages_are_read_and_other_words_refused() {
        assert_eq!("7.2".parse(), Ok(QemuVersion::new(7, 2, 0)));
        assert_eq!(
            "10.0.2 (Debian 1:10.0.2+ds-2)".parse(),
            Ok(QemuVersion::new(10, 0, 2))
        );
        for text in ["", "7", "v7.2", "7..2", "70000.1", "."] {
            assert!(text.parse::<QemuVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_version_without_its_last_number_means_every_release_of_that_series() {
        let running = QemuVersion::new(7, 2, 22);
        for (text, meant) in [
            ("7.2", true),
            ("7.2.22", true),
            ("7.2.22 (Debian 1:7.2+dfsg-7)", true),
            ("7.2.0", false),
            ("7.1", false),
            ("10.0", false),
            ("seven", false),
        ] {
            assert_eq!(running.is_meant_by(text), meant, "{text}");
        }
    }
}
