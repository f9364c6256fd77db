//! The document `flashmoor/inspect/2`, of which the rest is filled in by what looked.

use std::error::Error as _;
use std::path::Path;

use fm_api::Schema;
use fm_api::v1::inspect::{InspectDocument, InspectKind};

use crate::Error;

/// The document of a file of which nothing more is known.
pub(super) fn document(path: &Path, kind: InspectKind, size_bytes: u64) -> InspectDocument {
    InspectDocument {
        schema: Schema::default(),
        path: path.display().to_string(),
        kind,
        size_bytes,
        sha256: None,
        format: None,
        reason: None,
        image: None,
        store: None,
        damage: Vec::new(),
        tree: None,
        stream_unreadable: None,
        streamed: None,
    }
}

/// The document of a file that could not be looked at.
#[must_use]
pub fn unreadable(path: &Path, error: &Error) -> InspectDocument {
    let mut document = document(path, InspectKind::Unreadable, 0);
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let words: Vec<String> = std::iter::once(error.to_string())
        .chain(causes.map(ToString::to_string))
        .collect();
    document.reason = Some(words.join(": "));
    document
}
