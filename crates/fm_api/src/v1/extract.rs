//! `flashmoor/extract/1` and `flashmoor/find/1`: pieces of firmware images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document, words};

/// What was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtractDocument {
    /// `flashmoor/extract/1`.
    pub schema: Schema<ExtractDocument>,
    /// The image.
    pub path: String,
    /// The file that the piece is in now.
    pub output: String,
    /// Length of the piece.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: String,
}

document!(ExtractDocument = "flashmoor/extract/1");

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindDocument {
    /// `flashmoor/find/1`.
    pub schema: Schema<FindDocument>,
    /// What was looked for.
    pub query: String,
    /// Where it is.
    pub matches: Vec<FoundPlace>,
    /// In how many places it is, those that are not listed included.
    pub total: u64,
    /// Whether there are more than are listed.
    pub truncated: bool,
    /// Damage in the image: what could not be read of it was not searched.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub damage: Vec<String>,
}

document!(FindDocument = "flashmoor/find/1");

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundPlace {
    /// What is there.
    pub what: FoundWhat,
    /// How it is written, of content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<TextEncoding>,
    /// From the outermost volume to the innermost section.
    pub place: Vec<String>,
    /// In the image, or in the decoded bytes that it lies in.
    pub offset: u64,
    /// Whether the offset counts in decoded bytes.
    pub compressed: bool,
}

words! {
    /// What was found in a place.
    FoundWhat {
        /// A volume, file or section is called that.
        Name = "name",
        /// The bytes are in it.
        Content = "content",
    }
}

words! {
    /// How bytes stand for what was looked for.
    TextEncoding {
        /// As a GUID's 16 bytes.
        Guid = "guid",
        /// A byte a letter.
        Ascii = "ascii",
        /// Two bytes a letter.
        Utf16 = "utf-16",
    }
}
