//! Which store a verb changes, and on what terms.

use std::path::PathBuf;

use crate::journal::Journal;

/// The store that is changed.
#[derive(Debug, Clone)]
pub struct StoreTarget {
    /// The file.
    pub path: PathBuf,
    /// Change it although a program has it open for writing.
    pub even_if_in_use: bool,
    /// How much of a block device the guest has as flash, where that is known; else what the store's header says.
    pub size_bytes: Option<u64>,
    /// Where backups of block devices are kept; without it none is changed.
    pub journal: Option<Journal>,
    /// Make up and check what would be written, and write nothing.
    pub dry_run: bool,
}

impl StoreTarget {
    /// A file that nobody has open.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            even_if_in_use: false,
            size_bytes: None,
            journal: None,
            dry_run: false,
        }
    }
}
