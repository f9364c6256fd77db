//! An OCI image layout in a folder: blobs under their digests, and the index that names them.

use std::collections::BTreeSet;

use fm_files::Folder;
use fm_formats::Sha256;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use crate::oci::{self, Descriptor, Index, Manifest};
use crate::{Error, Result};

pub(crate) const MARK: &str = "oci-layout";
pub(crate) const INDEX: &str = "index.json";
pub(crate) const BLOBS: &str = "blobs";
const ALGORITHM: &str = "sha256";

/// An index of 4 MiB names some ten thousand builds.
const MAX_INDEX_BYTES: u64 = 4 << 20;
/// A manifest of ours has about 1 KiB.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A layout that can be read, and written by whoever holds its lock.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) root: Folder,
    pub(crate) blobs: Folder,
}

impl Layout {
    /// The layout in `root`; gives the folder back if it is none.
    pub(crate) fn open(root: Folder) -> Result<Result<Self, Folder>> {
        if root.file(MARK)?.is_none() {
            return Ok(Err(root));
        }
        let blobs = match root.sub(BLOBS)? {
            Some(blobs) => blobs.sub(ALGORITHM)?,
            None => None,
        };
        match blobs {
            Some(blobs) => Ok(Ok(Self { root, blobs })),
            None => Err(Error::Invalid {
                path: root.path().to_owned(),
                why: "it has an oci-layout file but no blobs/sha256 folder".into(),
            }),
        }
    }

    /// Makes `root` a layout if it is none yet. The folders come first: with the mark it is complete.
    pub(crate) fn create(root: Folder, tmp: &Folder) -> Result<Self> {
        let blobs = root.sub_or_create(BLOBS)?.sub_or_create(ALGORITHM)?;
        let layout = Self { root, blobs };
        if layout.root.file(INDEX)?.is_none() {
            layout.write_index(tmp, &Index::new())?;
        }
        if layout.root.file(MARK)?.is_none() {
            tmp.create(MARK, oci::LAYOUT, 0o644)?;
            tmp.rename(MARK, &layout.root, MARK)?;
            layout.root.sync()?;
        }
        Ok(layout)
    }

    pub(crate) fn index(&self) -> Result<Index> {
        let Some(bytes) = self.root.read(INDEX, MAX_INDEX_BYTES)? else {
            return Err(Error::Invalid {
                path: self.root.path().to_owned(),
                why: "its index.json is gone".into(),
            });
        };
        self.json("OCI index", &self.root, INDEX, &bytes)
    }

    /// Puts the index in place in one step: the moment at which what it names is stored.
    pub(crate) fn write_index(&self, tmp: &Folder, index: &Index) -> Result<()> {
        let bytes = within("the store's index", to_json(index), MAX_INDEX_BYTES)?;
        tmp.create(INDEX, &bytes, 0o644)?;
        tmp.rename(INDEX, &self.root, INDEX)?;
        Ok(self.root.sync()?)
    }

    /// The manifest that an index entry names, its digest checked; nothing if it is a document of
    /// another kind, such as a nested index.
    pub(crate) fn manifest(&self, entry: &Descriptor) -> Result<Option<(Manifest, Vec<u8>)>> {
        if entry.media_type != oci::MANIFEST {
            return Ok(None);
        }
        let bytes = self.blob(entry, MAX_MANIFEST_BYTES)?;
        let name = entry.digest.0.to_string();
        let manifest = self.json("OCI manifest", &self.blobs, &name, &bytes)?;
        Ok(Some((manifest, bytes)))
    }

    /// The bytes that a descriptor names, size and digest checked.
    pub(crate) fn blob(&self, descriptor: &Descriptor, limit_bytes: u64) -> Result<Vec<u8>> {
        let expected = descriptor.digest.0;
        let name = expected.to_string();
        let path = self.blobs.join(&name);
        let Some(bytes) = self.blobs.read(&name, limit_bytes)? else {
            return Err(Error::Invalid {
                path,
                why: "the blob is gone".into(),
            });
        };
        let found = Sha256::of(&bytes);
        if found != expected {
            return Err(Error::Corrupt {
                path,
                expected,
                found,
            });
        }
        if bytes.len() as u64 != descriptor.size {
            let why = format!(
                "it has {} bytes and is said to have {}",
                bytes.len(),
                descriptor.size
            );
            return Err(Error::Invalid { path, why });
        }
        Ok(bytes)
    }

    /// Puts a blob under its digest; one that is there already is checked byte by byte and replaced if
    /// it is damaged. The caller syncs `blobs`.
    pub(crate) fn put(&self, tmp: &Folder, digest: &Sha256, bytes: &[u8]) -> Result<()> {
        let name = digest.to_string();
        if self.blobs.matches_bytes(&name, bytes) {
            return Ok(());
        }
        tmp.create(&name, bytes, 0o444)?;
        Ok(tmp.rename(&name, &self.blobs, &name)?)
    }

    /// Every digest that the index leads to, and whether all documents on the way could be followed.
    /// Foreign documents count as well: whatever they call a digest is left alone.
    pub(crate) fn reachable(&self, index: &Index) -> (BTreeSet<Sha256>, bool) {
        let mut found = BTreeSet::new();
        let mut complete = true;
        let mut open: Vec<Descriptor> = index.manifests.clone();
        while let Some(entry) = open.pop() {
            if !found.insert(entry.digest.0) || ![oci::MANIFEST, oci::INDEX].contains(&&*entry.media_type) {
                continue;
            }
            let document = self
                .blob(&entry, MAX_INDEX_BYTES)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            match document {
                Some(document) => follow(&document, &mut found, &mut open),
                None => complete = false,
            }
        }
        (found, complete)
    }

    fn json<T: DeserializeOwned>(
        &self,
        what: &'static str,
        dir: &Folder,
        name: &str,
        bytes: &[u8],
    ) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|source| Error::Json {
            what,
            path: dir.join(name),
            source,
        })
    }
}

/// Collects the digests in a JSON document: of descriptors to be followed, and all others.
fn follow(document: &Value, found: &mut BTreeSet<Sha256>, open: &mut Vec<Descriptor>) {
    match document {
        Value::Object(members) => {
            match Descriptor::deserialize(document) {
                Ok(descriptor) => open.push(descriptor),
                Err(_) => found.extend(
                    members
                        .get("digest")
                        .and_then(Value::as_str)
                        .and_then(|text| text.parse::<Sha256>().ok()),
                ),
            }
            members.values().for_each(|member| follow(member, found, open));
        }
        Value::Array(items) => items.iter().for_each(|item| follow(item, found, open)),
        _ => {}
    }
}

/// `bytes`, if there are no more of them than whoever reads them again takes: what is written can be read.
pub(crate) fn within(what: &str, bytes: Vec<u8>, limit_bytes: u64) -> Result<Vec<u8>> {
    let size_bytes = bytes.len() as u64;
    if size_bytes > limit_bytes {
        return Err(Error::TooLarge {
            what: what.into(),
            size_bytes,
            limit_bytes,
        });
    }
    Ok(bytes)
}

/// A document as bytes. Ours have text keys only, so that this cannot fail.
pub(crate) fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}
