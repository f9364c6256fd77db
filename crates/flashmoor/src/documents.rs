//! The JSON documents that others script against: versioned, and described by `flashmoor schema NAME`.

use fm_api::v1::error::ErrorDocument;
use fm_api::{Described, Schema, documents};
use fm_remedy::{Failure, Remedy};
use serde_json::Value;

/// What `error` says, its causes and its remedy in the words of the interface that tells it.
pub(crate) fn error(
    error: &dyn Failure,
    why: Vec<String>,
    in_words: impl FnOnce(&Remedy) -> String,
) -> ErrorDocument {
    ErrorDocument {
        schema: Schema::default(),
        what: error.what(),
        why,
        remedy: error.remedy().as_ref().map(in_words),
    }
}

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
