//! What a change did, to be told in its document.

/// What a change did, a sentence each.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) steps: Vec<String>,
    /// What could not be carried over.
    pub(super) notes: Vec<String>,
}
