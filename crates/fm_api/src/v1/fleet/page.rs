//! Long lists come in pages: a cursor says where the next one begins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most items of one page.
pub const MAX_PAGE_COUNT: usize = 1000;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; nothing on the last one. Its form is nobody's business but the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The revision of the records that the page shows.
    pub revision: u64,
}

/// Which page is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageRequest {
    /// The `next` of the page before; nothing for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How many items at most: 1 to 1000, 100 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl PageRequest {
    /// How many items the page may have.
    #[must_use]
    pub fn count(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, MAX_PAGE_COUNT)
    }
}
