//! What can be the key of a record.

use super::MAX_KEY_BYTES;
use crate::{Error, Result};

/// Whether every engine takes the key: printable ASCII without blanks, a slash first.
///
/// # Errors
/// [`Error::Key`].
pub fn check_key(key: &str) -> Result<()> {
    let is_printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.starts_with('/') && is_printable && key.len() <= MAX_KEY_BYTES {
        Ok(())
    } else {
        Err(Error::Key { key: key.into() })
    }
}

/// The first key behind all that begin with `prefix`. Keys are ASCII, so that the highest character is below it.
#[must_use]
pub fn end_of_prefix(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}
