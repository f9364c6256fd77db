//! Builds in an OCI image layout in a folder of the server's own: skopeo and oras read and copy it.
//!
//! It is not the folder of a host's store: that one is collected by what one host needs, this one by what all need.
//!
//! ```text
//! FOLDER/oci-layout  index.json  blobs/sha256/<hex>   the layout
//!        tmp/  lock                                   work in progress; one server at a time
//! ```
//!
//! Source: OCI image-spec v1.1, `image-layout.md`.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fm_api::oci::{self, MANIFEST, REF_NAME};
use fm_api::v1::fleet::Digest;
use fm_files::Folder;
use serde_json::{Value, json};

use super::oci::{digest_of, named_blobs};
use super::source::read;
use super::{Blob, BlobReader, Blobs, FoundManifest, MAX_MANIFEST_BYTES, Reference};
use crate::{Error, Result};

const MARK: &str = "oci-layout";
const INDEX: &str = "index.json";
const TMP: &str = "tmp";
/// An index of 16 MiB names some forty thousand builds.
const MAX_INDEX_BYTES: u64 = 16 << 20;
/// Builds in an OCI image layout, which one server has at a time.
pub struct Layout {
    folders: Arc<Mutex<Folders>>,
}

struct Folders {
    root: Folder,
    blobs: Folder,
    tmp: Folder,
    _lock: File,
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    action: &'static str,
) -> impl FnOnce(E) -> Error {
    move |source| Error::unreachable(action, source)
}

impl Layout {
    /// The layout in the folder `path`, made if it is not there.
    ///
    /// # Errors
    /// [`Error::InUse`] if another server has it.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || failed("open the layout");
        fm_files::create_folders(path).map_err(open())?;
        let root = Folder::open(path)
            .map_err(open())?
            .ok_or_else(|| Error::unreachable("open the layout", "its folder is gone"))?;
        let lock = root.lock_file("lock").map_err(open())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::InUse { path: path.into() }),
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(Error::unreachable("lock the layout", source));
            }
        }
        let tmp = root.sub_or_create(TMP).map_err(open())?;
        for entry in tmp.entries().map_err(open())? {
            tmp.remove_all(&entry).map_err(open())?;
        }
        let blobs = root
            .sub_or_create("blobs")
            .and_then(|blobs| blobs.sub_or_create("sha256"))
            .map_err(open())?;
        let folders = Folders {
            root,
            blobs,
            tmp,
            _lock: lock,
        };
        if folders.root.file(INDEX).map_err(open())?.is_none() {
            folders.write_index(&json!({
                "schemaVersion": 2,
                "mediaType": oci::INDEX,
                "manifests": [],
            }))?;
        }
        if folders.root.file(MARK).map_err(open())?.is_none() {
            folders.replace(MARK, oci::LAYOUT).map_err(open())?;
        }
        Ok(Self {
            folders: Arc::new(Mutex::new(folders)),
        })
    }

    /// Does something with the folders on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folders) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let folders = Arc::clone(&self.folders);
        let done = tokio::task::spawn_blocking(move || {
            let folders = folders.lock().unwrap_or_else(PoisonError::into_inner);
            work(&folders)
        });
        done.await.map_err(failed("work on the layout"))?
    }
}

impl Folders {
    /// Puts a file of the layout's top folder in place in one step.
    fn replace(&self, name: &str, bytes: &[u8]) -> fm_files::Result<()> {
        self.tmp.create(name, bytes, 0o644)?;
        self.tmp.rename(name, &self.root, name)?;
        self.root.sync()
    }

    fn index(&self) -> Result<Value> {
        let bytes = self
            .root
            .read(INDEX, MAX_INDEX_BYTES)
            .map_err(failed("read the layout's index"))?
            .ok_or_else(|| Error::unreachable("read the layout's index", "it is gone"))?;
        let index: Value = serde_json::from_slice(&bytes).map_err(failed("read the layout's index"))?;
        if index.get("manifests").is_some_and(Value::is_array) {
            Ok(index)
        } else {
            Err(Error::unreachable(
                "read the layout's index",
                "it has no list of manifests",
            ))
        }
    }

    fn write_index(&self, index: &Value) -> Result<()> {
        let bytes = serde_json::to_vec(index).map_err(failed("write the layout's index"))?;
        if bytes.len() as u64 > MAX_INDEX_BYTES {
            return Err(Error::TooLarge {
                what: "the layout's index (bytes)".into(),
                size: bytes.len() as u64,
                limit: MAX_INDEX_BYTES,
            });
        }
        self.replace(INDEX, &bytes)
            .map_err(failed("write the layout's index"))
    }

    /// Puts bytes under their digest, which was checked.
    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let name = digest.as_str();
        if self.blobs.matches_bytes(name, bytes) {
            return Ok(());
        }
        let write = || -> fm_files::Result<()> {
            self.tmp.create(name, bytes, 0o444)?;
            self.tmp.rename(name, &self.blobs, name)?;
            self.blobs.sync()
        };
        write().map_err(failed("write a blob"))
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        let file = self
            .blobs
            .file(digest.as_str())
            .map_err(failed("look for a blob"))?;
        Ok(file.is_some())
    }

    /// The bytes of a manifest, its digest checked.
    fn manifest(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let bytes = self
            .blobs
            .read(digest.as_str(), MAX_MANIFEST_BYTES)
            .map_err(failed("read a manifest"))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let found = digest_of(&bytes)?;
        if found == *digest {
            Ok(Some(bytes))
        } else {
            Err(Error::Corrupt {
                expected: digest.clone(),
                found,
            })
        }
    }

    /// Takes blobs away that this manifest alone has named.
    fn clear(&self, index: &Value, manifest: &Digest) -> Result<()> {
        let Some(bytes) = self.manifest(manifest)? else {
            return Ok(());
        };
        let mut gone = named_blobs(&bytes)?;
        gone.push(manifest.clone());
        for entry in entries(index) {
            let Some(other) = digest(entry) else {
                // Somebody else's document: nobody knows what it names.
                return Ok(());
            };
            let named = self.manifest(&other)?.map(|bytes| named_blobs(&bytes));
            let Some(Ok(named)) = named else { return Ok(()) };
            gone.retain(|blob| *blob != other && !named.contains(blob));
        }
        for blob in gone {
            self.blobs
                .remove(blob.as_str(), false)
                .map_err(failed("delete a blob"))?;
        }
        self.blobs.sync().map_err(failed("delete a blob"))
    }
}

fn entries(index: &Value) -> impl Iterator<Item = &Value> {
    index
        .get("manifests")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn digest(entry: &Value) -> Option<Digest> {
    entry
        .get("digest")?
        .as_str()?
        .strip_prefix("sha256:")?
        .parse()
        .ok()
}

fn tag(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

#[async_trait]
impl Blobs for Layout {
    async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let digest = digest.clone();
        self.with(move |folders| folders.has(&digest)).await
    }

    async fn put_blob(&self, blob: &Blob) -> Result<()> {
        let blob = blob.clone();
        self.with(move |folders| folders.put(&blob.digest, &read(&blob)?))
            .await
    }

    async fn read_blob(&self, digest: &Digest) -> Result<Option<BlobReader>> {
        let digest = digest.clone();
        let found = self
            .with(move |folders| folders.blobs.file(digest.as_str()).map_err(failed("read a blob")))
            .await?;
        Ok(found.map(|(file, size_bytes)| BlobReader {
            size_bytes,
            bytes: Box::pin(tokio::fs::File::from_std(file)),
        }))
    }

    async fn manifest(&self, reference: &Reference) -> Result<Option<FoundManifest>> {
        let reference = reference.clone();
        self.with(move |folders| {
            let index = folders.index()?;
            let found = entries(&index).find(|entry| match &reference {
                Reference::Digest(wanted) => digest(entry).as_ref() == Some(wanted),
                Reference::Tag(wanted) => tag(entry) == Some(wanted),
            });
            let Some(digest) = found.and_then(digest) else {
                return Ok(None);
            };
            let bytes = folders.manifest(&digest)?;
            Ok(bytes.map(|bytes| FoundManifest { digest, bytes }))
        })
        .await
    }

    async fn put_manifest(&self, wanted: &str, manifest: &[u8]) -> Result<Digest> {
        let (wanted, manifest) = (wanted.to_owned(), manifest.to_vec());
        self.with(move |folders| {
            let own = digest_of(&manifest)?;
            for blob in named_blobs(&manifest)? {
                if !folders.has(&blob)? {
                    return Err(Error::ManifestRefused {
                        digest: own,
                        why: format!("{blob} is not there"),
                    });
                }
            }
            folders.put(&own, &manifest)?;
            let mut index = folders.index()?;
            if let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) {
                entries.retain(|entry| tag(entry) != Some(&wanted));
                entries.push(json!({
                    "mediaType": MANIFEST,
                    "digest": format!("sha256:{own}"),
                    "size": manifest.len(),
                    "annotations": { REF_NAME: wanted },
                }));
            }
            folders.write_index(&index)?;
            Ok(own)
        })
        .await
    }

    async fn delete_manifest(&self, gone: &Digest) -> Result<()> {
        let gone = gone.clone();
        self.with(move |folders| {
            let mut index = folders.index()?;
            if let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) {
                entries.retain(|entry| digest(entry).as_ref() != Some(&gone));
            }
            folders.write_index(&index)?;
            folders.clear(&index, &gone)
        })
        .await
    }
}
