//! Manifests and blobs by digest: where the fleet's builds lie.

#![forbid(unsafe_code)]

mod error;
mod layout;
pub mod oci;
mod registry;
mod source;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use fm_api::v1::fleet::Digest;
use tokio::io::AsyncRead;

pub use error::{Error, Result};
pub use layout::Layout;
pub use registry::{Registry, RegistryOptions};

/// The most bytes of a manifest.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Bytes that can be read more than once, because a refused manifest means that they are sent again.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Their digest.
    pub digest: Digest,
    /// How many there are.
    pub size_bytes: u64,
    /// Where they are.
    pub source: BlobSource,
}

/// Where the bytes of a blob are.
#[derive(Debug, Clone)]
pub enum BlobSource {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of this process's own, which nobody changes.
    File(PathBuf),
}

/// A blob to be read. Who reads it checks the digest.
pub struct BlobReader {
    /// How many bytes there are.
    pub size_bytes: u64,
    /// The bytes.
    pub bytes: Pin<Box<dyn AsyncRead + Send>>,
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Its digest.
    Digest(Digest),
    /// Its tag.
    Tag(String),
}

/// A manifest that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundManifest {
    /// Its digest, which was checked.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A place for manifests and blobs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Whether a blob is there.
    async fn has_blob(&self, digest: &Digest) -> Result<bool>;

    /// Puts a blob in place, its digest checked, and waits until it is there to stay.
    async fn put_blob(&self, blob: &Blob) -> Result<()>;

    /// A blob; nothing if it is not there.
    async fn read_blob(&self, digest: &Digest) -> Result<Option<BlobReader>>;

    /// A manifest; nothing if it is not there.
    async fn manifest(&self, reference: &Reference) -> Result<Option<FoundManifest>>;

    /// Puts a manifest in place under a tag. Refused if a blob that it names is not there.
    ///
    /// # Errors
    /// [`Error::ManifestRefused`] if blobs are missing: they are to be put in place again.
    async fn put_manifest(&self, tag: &str, manifest: &[u8]) -> Result<Digest>;

    /// Deletes a manifest; it may be gone already. Its blobs go when nothing names them any more.
    async fn delete_manifest(&self, digest: &Digest) -> Result<()>;
}
