//! Why bytes could not be read as what they claim to be: always with the field and its offset.

use alloc::string::String;

/// A parse or emit failure. Offsets count from the start of the bytes that the caller handed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before the field does.
    #[error(
        "{field} at {offset:#x} is cut short: it needs {needed_bytes} bytes and {available_bytes} are left"
    )]
    Truncated {
        /// Which structure or field.
        field: &'static str,
        /// Where it starts.
        offset: u64,
        /// How long it is.
        needed_bytes: u64,
        /// How much is there.
        available_bytes: u64,
    },
    /// A field holds a value that its structure does not allow.
    #[error("{field} at {offset:#x} is {found}, expected {expected}")]
    Unexpected {
        /// Which field.
        field: &'static str,
        /// Where it is.
        offset: u64,
        /// What it holds.
        found: String,
        /// What it may hold.
        expected: String,
    },
    /// A limit of this parser was reached before the input ended.
    #[error("{what} at {offset:#x} exceeds the limit of {limit}")]
    Limit {
        /// What was limited.
        what: &'static str,
        /// Where it was reached.
        offset: u64,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// A compressed section could not be decoded.
    #[error("{algorithm} data at {offset:#x} cannot be decoded: {why}")]
    Decode {
        /// The compression.
        algorithm: &'static str,
        /// Where the compressed bytes start.
        offset: u64,
        /// The decoder's reason.
        why: String,
    },
}
