//! Stored builds: what is known of each, and finding one by id, digits or name.

use std::path::{Path, PathBuf};

use fm_files::Folder;
use fm_formats::Sha256;

use crate::layout::Layout;
use crate::oci::{self, Descriptor, Manifest};
use crate::{BUILDS, Error, Result, Store};

/// The files of a build's folder, and the layers that they are.
pub(crate) const FILES: [(&str, &str); 3] = [
    ("CODE.fd", oci::CODE),
    ("VARS.fd", oci::VARS_TEMPLATE),
    ("descriptor.json", oci::DESCRIPTOR),
];

/// The name of a VARS template by what it holds: guests of one CODE may have been made from different ones.
pub(crate) fn template_name(template: &Sha256) -> String {
    format!("VARS-sha256-{template}.fd")
}

/// What lies in a build's folder: the names, and the blobs that they are links of. The first template has two.
pub(crate) fn names(manifest: &Manifest) -> Vec<(String, Sha256)> {
    let files = FILES
        .iter()
        .filter_map(|(file, media_type)| Some(((*file).to_owned(), manifest.layer(media_type)?.digest.0)));
    let templates = manifest.templates().map(|layer| layer.digest.0);
    let mut names: Vec<(String, Sha256)> = files
        .chain(templates.map(|digest| (template_name(&digest), digest)))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Gives a manifest this layer. Where it has another of the kind, that one stays what it is, unless `replace`;
/// a VARS template comes in addition then, because definitions may name either. Tells whether it stayed.
pub(crate) fn put(manifest: &mut Manifest, layer: Descriptor, replace: bool) -> bool {
    let media_type = layer.media_type.clone();
    let Some(at) = manifest
        .layers
        .iter()
        .position(|known| known.media_type == media_type)
    else {
        manifest.layers.push(layer);
        return false;
    };
    if manifest.layers[at].digest.0 == layer.digest.0 {
        return false;
    }
    let is_template = media_type == oci::VARS_TEMPLATE;
    let other = match replace {
        true => std::mem::replace(&mut manifest.layers[at], layer),
        false => layer,
    };
    if is_template {
        let first = manifest.layers[at].digest.0;
        let known = manifest.templates().any(|known| known.digest == other.digest);
        if !known {
            let name = template_name(&other.digest.0);
            manifest.layers.push(other.titled(&name));
        }
        // one that becomes the first is not a further one any more
        let mut seen = 0;
        manifest.layers.retain(|known| {
            let is_first = known.media_type == media_type && known.digest.0 == first;
            seen += usize::from(is_first);
            !is_first || seen == 1
        });
    }
    !replace
}

/// One stored firmware build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// Its id: the sha256 of CODE.
    pub id: Sha256,
    /// Digest of its OCI manifest; two builds with equal ids and equal facts have equal ones.
    pub manifest: Sha256,
    /// Its tag in the OCI layout.
    pub tag: String,
    /// CODE: a stable path that QEMU can be given.
    pub code: StoredFile,
    /// The VARS template that belongs to it, if known.
    pub vars_template: Option<StoredFile>,
    /// All VARS templates that guests of this CODE were made from, each under a name with its digest.
    pub templates: Vec<StoredFile>,
    /// The firmware descriptor it came with, if known.
    pub descriptor: Option<StoredFile>,
    /// What people call it.
    pub name: Option<String>,
    /// Which version it is.
    pub version: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// When it was first stored, in RFC 3339.
    pub created: Option<String>,
    /// Why it is to be kept; empty if nothing pins it.
    pub pins: Vec<String>,
}

/// A record of the store that cannot be read. It can be removed: a landing by its id, a build when nothing needs it.
#[derive(Debug)]
pub struct Unreadable {
    /// The landing's id, or the build's tag.
    pub name: String,
    /// Why.
    pub error: Error,
}

/// One file of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub sha256: Sha256,
    /// How much it holds.
    pub size_bytes: u64,
}

/// An index entry that is a build.
pub(crate) struct Stored {
    pub(crate) entry: Descriptor,
    pub(crate) manifest: Manifest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) code: Descriptor,
}

impl Stored {
    /// Reads an index entry; nothing if it is something else than a build.
    pub(crate) fn read(layout: &Layout, entry: &Descriptor) -> Result<Option<Self>> {
        let Some((manifest, bytes)) = layout.manifest(entry)? else {
            return Ok(None);
        };
        Ok(manifest.code().cloned().map(|code| Self {
            entry: entry.clone(),
            manifest,
            bytes,
            code,
        }))
    }

    pub(crate) fn id(&self) -> Sha256 {
        self.code.digest.0
    }

    fn build(&self, root: &Folder) -> Build {
        let folder = root.join(BUILDS).join(oci::folder_of(&self.id()));
        let part = |at: usize| {
            let (file, media_type) = FILES[at];
            let layer = self.manifest.layer(media_type)?;
            Some(StoredFile {
                path: folder.join(file),
                sha256: layer.digest.0,
                size_bytes: layer.size,
            })
        };
        let fact = |key| self.manifest.annotations.get(key).cloned();
        Build {
            id: self.id(),
            manifest: self.entry.digest.0,
            tag: self.entry.tag().unwrap_or_default().to_owned(),
            code: StoredFile {
                path: folder.join(FILES[0].0),
                sha256: self.id(),
                size_bytes: self.code.size,
            },
            vars_template: part(1),
            templates: self
                .manifest
                .templates()
                .map(|layer| StoredFile {
                    path: folder.join(template_name(&layer.digest.0)),
                    sha256: layer.digest.0,
                    size_bytes: layer.size,
                })
                .collect(),
            descriptor: part(2),
            name: fact(oci::TITLE),
            version: fact(oci::VERSION),
            source: fact(oci::SOURCE),
            created: fact(oci::CREATED),
            pins: self.entry.pins(),
        }
    }
}

/// The build in whose folder in a store's `builds` a path lies, there or not: `STORE/builds/sha256-<hex>/CODE.fd`.
#[must_use]
pub fn build_of_path(store: &Path, path: &Path) -> Option<Sha256> {
    let inside = path.strip_prefix(store.join(BUILDS)).ok()?;
    let folder = inside.iter().next()?.to_str()?;
    folder.strip_prefix("sha256-")?.parse().ok()
}

/// Where CODE of a build lies in a store, there or not.
#[must_use]
pub fn code_path(store: &Path, build: &Sha256) -> PathBuf {
    let [(code, _), ..] = FILES;
    store.join(BUILDS).join(oci::folder_of(build)).join(code)
}

impl Store {
    /// All builds, in the order in which they were stored.
    ///
    /// # Errors
    /// If the index or a manifest cannot be read.
    pub fn builds(&self) -> Result<Vec<Build>> {
        let (builds, unreadable) = self.readable_builds()?;
        match unreadable.into_iter().next() {
            Some(first) => Err(first.error),
            None => Ok(builds),
        }
    }

    /// The same of those that can be read, and what the others are called.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn readable_builds(&self) -> Result<(Vec<Build>, Vec<Unreadable>)> {
        let (mut builds, mut unreadable) = (Vec::new(), Vec::new());
        let Some(layout) = self.reader()? else {
            return Ok((builds, unreadable));
        };
        for entry in layout.index()?.manifests {
            match Stored::read(&layout, &entry) {
                Ok(stored) => builds.extend(stored.map(|stored| stored.build(&layout.root))),
                Err(error) => unreadable.push(Unreadable {
                    name: entry.tag().unwrap_or("an untagged entry").to_owned(),
                    error,
                }),
            }
        }
        Ok((builds, unreadable))
    }

    /// The build of that id, if it is stored.
    ///
    /// # Errors
    /// If the index or the build's manifest cannot be read.
    pub fn build(&self, id: &Sha256) -> Result<Option<Build>> {
        let Some(layout) = self.reader()? else {
            return Ok(None);
        };
        for entry in layout
            .index()?
            .manifests
            .iter()
            .filter(|entry| entry.is_tagged_for(id))
        {
            if let Some(stored) = Stored::read(&layout, entry)?
                && stored.id() == *id
            {
                return Ok(Some(stored.build(&layout.root)));
            }
        }
        Ok(None)
    }

    /// The one build that `text` means: an id, its first digits (four at least), or a name.
    ///
    /// # Errors
    /// [`Error::UnknownBuild`], [`Error::AmbiguousBuild`], or if the store cannot be read.
    pub fn find(&self, text: &str) -> Result<Build> {
        let digits = text
            .strip_prefix("sha256")
            .and_then(|rest| rest.strip_prefix([':', '-']))
            .unwrap_or(text);
        if let Ok(id) = digits.parse() {
            return self
                .build(&id)?
                .ok_or_else(|| Error::UnknownBuild { text: text.into() });
        }
        let is_prefix = digits.len() >= 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let (mut fitting, _) = self.readable_builds()?;
        fitting.retain(|build| {
            build.name.as_deref() == Some(text) || (is_prefix && build.id.to_string().starts_with(digits))
        });
        match fitting.len() {
            0 => Err(Error::UnknownBuild { text: text.into() }),
            1 => Ok(fitting.remove(0)),
            _ => Err(Error::AmbiguousBuild {
                text: text.into(),
                candidates: fitting.iter().map(|build| build.id).collect(),
            }),
        }
    }
}
