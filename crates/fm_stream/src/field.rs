//! What every reader of a stream says of a field: its text, and that it holds something else than it may.

use alloc::format;
use alloc::string::String;

use fm_formats::Error;

/// An error for a field with a value that the stream does not allow.
pub(super) fn unexpected(
    field: &'static str,
    offset: u64,
    found: impl core::fmt::Display,
    expected: impl Into<String>,
) -> Error {
    Error::Unexpected {
        field,
        offset,
        found: format!("{found}"),
        expected: expected.into(),
    }
}

/// Text as the stream has it; what is no UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
