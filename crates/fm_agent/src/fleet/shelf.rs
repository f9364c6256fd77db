//! The builds of this host's store as other hosts of its fleet pull them.

use fm_formats::Sha256;
use fm_store::Store;

use crate::Result;

/// What other hosts may have: builds, and nothing else of the store's folder.
#[derive(Debug, Clone)]
pub struct Shelf(Store);

impl Shelf {
    /// That of this store.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self(store.clone())
    }

    /// The manifest of a build.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn manifest(&self, build: &Sha256) -> Result<Option<Vec<u8>>> {
        Ok(self.0.manifest_bytes(build)?)
    }

    /// A file of some build.
    ///
    /// # Errors
    /// If the store cannot be read, or the file is damaged.
    pub fn blob(&self, digest: &Sha256) -> Result<Option<Vec<u8>>> {
        Ok(self.0.blob_bytes(digest)?)
    }
}
