//! Why the agent's records can't be used.

use std::path::PathBuf;

/// Why the database can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// SQLite's word on it.
    #[error("cannot use the agent's records in {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: rusqlite::Error,
    },
    /// A later Flashmoor wrote it.
    #[error("the agent's records in {} are of version {found}, and this flashmoor knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The last one that we know.
        known: i64,
    },
}
