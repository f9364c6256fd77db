//! In `flashmoor/atlas/1`: what a guest wrote to its flash, write by write.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes that follow one another, each right behind the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlashRun {
    /// Where the first one starts, in bytes from the start of the device.
    pub offset: u64,
    /// How many bytes each of them changes: those that QEMU puts into the file together.
    pub write_bytes: u64,
    /// Whether each erases a block, to 0xff.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erases: bool,
    /// What they write.
    pub content: Vec<Repeated>,
}

/// Bytes, and how often they stand one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repeated {
    /// The bytes, in hexadecimal.
    pub hex: String,
    /// How often.
    pub times: u64,
}
