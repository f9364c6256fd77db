//! The JSON documents that others script against: versioned, and described by `flashmoor schema NAME`.

use fm_api::{Described, documents};
use serde_json::Value;

/// The JSON schema of the document called `name`, or nothing if there is no such document.
#[must_use]
pub(crate) fn schema(name: &str) -> Option<Value> {
    let mut all = documents().into_iter();
    let found = all.find(|document| document.name() == name)?;
    Some((found.describe)())
}

/// The names that [`schema`] knows.
pub(crate) fn schema_names() -> impl Iterator<Item = &'static str> {
    documents().into_iter().map(|document: Described| document.name())
}
