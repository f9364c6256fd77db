//! Builds in an OCI registry: distribution, zot, Harbor, quay.
//!
//! A client of our own, for six kinds of request. oci-client 0.18 was looked at first: it cannot delete a manifest, which
//! is what collection is about, and it brings a second TLS provider and HTTP library beside those that are here already.
//!
//! Source: OCI distribution-spec v1.1, `spec.md`.

mod http;
mod url;

use std::io::Read as _;
use std::sync::Arc;

use async_trait::async_trait;
use fm_api::oci::MANIFEST;
use fm_api::v1::fleet::Digest;
use tokio::io::AsyncWriteExt as _;

use super::oci::digest_of;
use super::source::read;
use super::{Blob, BlobReader, Blobs, FoundManifest, MAX_MANIFEST_BYTES, Reference};
use crate::{Error, Result};
use http::{Answer, Http};
pub use url::RegistryOptions;

/// So many bytes of a blob are on their way through this process at once.
const PIPE_BYTES: usize = 256 << 10;

/// Builds in a repository of an OCI registry.
pub struct Registry {
    http: Arc<Http>,
    /// `/v2/<name>`.
    root: String,
}

impl Registry {
    /// The repository that the options name. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the certificate of the registry's CA cannot be read.
    pub fn new(options: &RegistryOptions) -> Result<Self> {
        Ok(Self {
            root: format!("/v2/{}", options.name),
            http: Arc::new(Http::new(options)?),
        })
    }

    /// Asks the registry on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Http, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (http, root) = (Arc::clone(&self.http), self.root.clone());
        tokio::task::spawn_blocking(move || work(&http, &root))
            .await
            .map_err(|error| Error::unreachable("ask the registry", error))?
    }
}

fn blob_path(root: &str, digest: &Digest) -> String {
    format!("{root}/blobs/sha256:{digest}")
}

fn manifest_path(root: &str, reference: &Reference) -> String {
    match reference {
        Reference::Digest(digest) => format!("{root}/manifests/sha256:{digest}"),
        Reference::Tag(tag) => format!("{root}/manifests/{tag}"),
    }
}

#[async_trait]
impl Blobs for Registry {
    async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let digest = digest.clone();
        self.ask(move |http, root| {
            let answer = http.send("look for a blob", "HEAD", &blob_path(root, &digest), None)?;
            match answer.status {
                200 => Ok(true),
                404 => Ok(false),
                _ => Err(answer.refused("look for a blob")),
            }
        })
        .await
    }

    async fn put_blob(&self, blob: &Blob) -> Result<()> {
        let blob = blob.clone();
        let action = "upload a blob";
        self.ask(move |http, root| {
            let bytes = read(&blob)?;
            let begun = http.send(action, "POST", &format!("{root}/blobs/uploads/"), Some(("", &[])))?;
            if begun.status != 202 {
                return Err(begun.refused(action));
            }
            let location = begun
                .location
                .ok_or_else(|| Error::unreachable(action, "the registry does not say where to"))?;
            let separator = if location.contains('?') { '&' } else { '?' };
            let address = format!("{location}{separator}digest=sha256:{}", blob.digest);
            let done = http.send(
                action,
                "PUT",
                &address,
                Some(("application/octet-stream", &bytes)),
            )?;
            match done.status {
                201 => Ok(()),
                _ => Err(done.refused(action)),
            }
        })
        .await
    }

    async fn read_blob(&self, digest: &Digest) -> Result<Option<BlobReader>> {
        let action = "read a blob";
        let digest = digest.clone();
        let found = self
            .ask(move |http, root| http.open(action, &blob_path(root, &digest)))
            .await?;
        let Some((size_bytes, mut body)) = found else {
            return Ok(None);
        };
        let (mut writer, reader) = tokio::io::duplex(PIPE_BYTES);
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut piece = vec![0_u8; 64 << 10];
            // What breaks off ends early: whoever reads counts, and checks the digest.
            while let Ok(count @ 1..) = body.read(&mut piece) {
                let piece = piece.get(..count).unwrap_or_default();
                if handle.block_on(writer.write_all(piece)).is_err() {
                    return;
                }
            }
        });
        Ok(Some(BlobReader {
            size_bytes,
            bytes: Box::pin(reader),
        }))
    }

    async fn manifest(&self, reference: &Reference) -> Result<Option<FoundManifest>> {
        let action = "read a manifest";
        let reference = reference.clone();
        self.ask(move |http, root| {
            let answer = http.send(action, "GET", &manifest_path(root, &reference), None)?;
            match answer.status {
                200 => {}
                404 => return Ok(None),
                _ => return Err(answer.refused(action)),
            }
            if answer.body.len() as u64 > MAX_MANIFEST_BYTES {
                return Err(Error::TooLarge {
                    what: "a manifest (bytes)".into(),
                    size: answer.body.len() as u64,
                    limit: MAX_MANIFEST_BYTES,
                });
            }
            let digest = digest_of(&answer.body)?;
            match reference {
                Reference::Digest(expected) if expected != digest => Err(Error::Corrupt {
                    expected,
                    found: digest,
                }),
                _ => Ok(Some(FoundManifest {
                    digest,
                    bytes: answer.body,
                })),
            }
        })
        .await
    }

    async fn put_manifest(&self, tag: &str, manifest: &[u8]) -> Result<Digest> {
        let action = "upload a manifest";
        let (reference, manifest) = (Reference::Tag(tag.to_owned()), manifest.to_vec());
        self.ask(move |http, root| {
            let digest = digest_of(&manifest)?;
            let path = manifest_path(root, &reference);
            let answer = http.send(action, "PUT", &path, Some((MANIFEST, &manifest)))?;
            match answer.status {
                201 => Ok(digest),
                // MANIFEST_BLOB_UNKNOWN, as distribution, zot and Harbor say it.
                400 | 404 if answer.names("BLOB_UNKNOWN") => Err(Error::ManifestRefused {
                    digest,
                    why: answer.text(),
                }),
                _ => Err(answer.refused(action)),
            }
        })
        .await
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let action = "delete a manifest";
        let reference = Reference::Digest(digest.clone());
        self.ask(move |http, root| {
            let answer: Answer = http.send(action, "DELETE", &manifest_path(root, &reference), None)?;
            match answer.status {
                200 | 202 | 204 | 404 => Ok(()),
                _ => Err(answer.refused(action)),
            }
        })
        .await
    }
}
