//! Builds as clients of registries pull them: a manifest by its build, and the blobs that manifests name.

use fm_formats::Sha256;

use crate::build::Stored;
use crate::{MAX_FLASH_BYTES, Result, Store};

impl Store {
    /// The manifest of a build, byte by byte as it is stored.
    ///
    /// # Errors
    /// If the index or the manifest cannot be read.
    pub fn manifest_bytes(&self, id: &Sha256) -> Result<Option<Vec<u8>>> {
        let Some(layout) = self.reader()? else {
            return Ok(None);
        };
        for entry in &layout.index()?.manifests {
            if entry.is_tagged_for(id)
                && let Some(stored) = Stored::read(&layout, entry)?
                && stored.id() == *id
            {
                return Ok(Some(stored.bytes));
            }
        }
        Ok(None)
    }

    /// A blob that the manifest of some build names, its bytes checked. Nothing else in the store's folder is given out.
    ///
    /// # Errors
    /// If the index cannot be read, or the blob is damaged.
    pub fn blob_bytes(&self, digest: &Sha256) -> Result<Option<Vec<u8>>> {
        let Some(layout) = self.reader()? else {
            return Ok(None);
        };
        for entry in &layout.index()?.manifests {
            // One that cannot be read names no blob that could be checked.
            let Ok(Some(stored)) = Stored::read(&layout, entry) else {
                continue;
            };
            let mut blobs = stored.manifest.layers.iter().chain([&stored.manifest.config]);
            if let Some(blob) = blobs.find(|blob| blob.digest.0 == *digest) {
                return layout.blob(blob, MAX_FLASH_BYTES).map(Some);
            }
        }
        Ok(None)
    }
}
