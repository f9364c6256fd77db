//! Storing a build: from its bytes, or from another OCI layout.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fm_api::v1::store::BuildFact;
use fm_files::Folder;
use fm_formats::Sha256;
use fm_formats::image::{MAX_BUILD_BYTES, MAX_BUILD_FILE_COUNT};
use rustix::fs::Stat;
use serde_json::{Map, Value};

use crate::build::{FILES, Stored, code_path, names, put};
use crate::layout::{Layout, MAX_MANIFEST_BYTES, to_json, within};
use crate::oci::{self, Annotations, Descriptor, Digest, Index, Manifest};
use crate::pin::check_reason;
use crate::{BUILDS, Error, MAX_DESCRIPTOR_BYTES, MAX_FLASH_BYTES, Result, Store, Writer, now};

/// What to store. Only `code` is needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Import<'a> {
    /// The CODE bytes; their sha256 is the build's id.
    pub code: &'a [u8],
    /// The VARS template that belongs to it. Where the build has another, this one comes beside it, under its
    /// own digest.
    pub vars_template: Option<&'a [u8]>,
    /// The firmware descriptor, JSON.
    pub descriptor: Option<&'a [u8]>,
    /// What people call it.
    pub name: Option<&'a str>,
    /// Which version it is.
    pub version: Option<&'a str>,
    /// Where it came from.
    pub source: Option<&'a str>,
    /// A reason to keep it, recorded in the same step.
    pub pin: Option<&'a str>,
    /// Whether what is given here replaces what a stored build says differently.
    pub replace: bool,
}

/// What came of storing a build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The build's id.
    pub id: Sha256,
    /// Its CODE file.
    pub path: PathBuf,
    /// Whether the store did not have it before.
    pub new: bool,
    /// What was given but differs from what the store says, and was left as the store has it.
    pub kept: Vec<BuildFact>,
}

impl Store {
    /// Stores a build, or completes one that is stored. Doing it again changes nothing; a damaged file of
    /// the build is healed.
    ///
    /// # Errors
    /// If an input is empty, too large or no JSON, the store is busy, or the disk refuses.
    pub fn import(&self, import: &Import<'_>) -> Result<Imported> {
        check(import)?;
        let id = Sha256::of(import.code);
        let access = self.access()?;
        let index = access.layout().map(Layout::index).transpose()?;
        let stored = access
            .layout()
            .zip(index.as_ref())
            .and_then(|(layout, index)| find(layout, index, &id));
        let new = stored.is_none();
        let mut manifest = match stored {
            Some(stored) => stored.manifest,
            None => empty_manifest(),
        };
        let mut kept = Vec::new();
        let given = [
            (BuildFact::Code, Some(import.code)),
            (BuildFact::VarsTemplate, import.vars_template),
            (BuildFact::Descriptor, import.descriptor),
        ];
        let mut blobs = vec![(Sha256::of(oci::EMPTY_CONFIG), oci::EMPTY_CONFIG)];
        for ((what, bytes), (file, media_type)) in given.into_iter().zip(FILES) {
            let Some(bytes) = bytes else { continue };
            let layer = Descriptor::of(media_type, bytes).titled(file);
            let digest = layer.digest.0;
            if put(&mut manifest, layer, import.replace) {
                kept.push(what);
                if media_type != oci::VARS_TEMPLATE {
                    continue;
                }
            }
            blobs.push((digest, bytes));
        }
        let facts = [
            (BuildFact::Name, oci::TITLE, import.name),
            (BuildFact::Version, oci::VERSION, import.version),
            (BuildFact::Source, oci::SOURCE, import.source),
        ];
        for (what, key, value) in facts {
            let Some(value) = value else { continue };
            match manifest.annotations.get(key) {
                Some(old) if old != value && !import.replace => kept.push(what),
                Some(old) if old == value => {}
                _ => drop(manifest.annotations.insert(key.into(), value.into())),
            }
        }
        if let Some(why) = excess(&manifest.layers) {
            return Err(Error::FullBuild { id, why });
        }
        let bytes = within("the build's manifest", to_json(&manifest), MAX_MANIFEST_BYTES)?;
        blobs.push((Sha256::of(&bytes), &bytes));
        let path = match access.writer().zip(index) {
            Some((writer, index)) => publish(writer, index, &id, &manifest, &bytes, &blobs, import.pin)?,
            None => code_path(&self.path, &id),
        };
        Ok(Imported { id, path, new, kept })
    }

    /// Stores a build out of the OCI layout in the folder `from`: the one tagged `tag`, or the only one.
    /// Every blob is checked against its digest; the manifest is taken over byte by byte if the build is
    /// new here, so that tools see the same one on both sides.
    ///
    /// # Errors
    /// If the layout or its blobs are not what they say, the tag names no build, or as [`Store::import`].
    pub fn import_layout(&self, from: &Path, tag: Option<&str>) -> Result<Imported> {
        let none = |why: String| Error::NoSuchTag {
            path: from.to_owned(),
            why,
        };
        let missing = || none("is not an OCI layout: it has no oci-layout file".into());
        let source = Folder::open(from)?.ok_or_else(|| none("does not exist".into()))?;
        let source = Layout::open(source)?.map_err(|_| missing())?;
        let chosen = choose(&source, tag, none)?;
        let (blobs, facts) = (read_all(&source, &chosen)?, &chosen.manifest.annotations);
        let layer = |media_type| {
            let digest = chosen.manifest.layer(media_type)?.digest.0;
            blobs.get(&digest).map(Vec::as_slice)
        };
        let fact = |key| facts.get(key).map(String::as_str);
        let import = Import {
            code: layer(oci::CODE).unwrap_or_default(),
            vars_template: layer(oci::VARS_TEMPLATE),
            descriptor: layer(oci::DESCRIPTOR),
            name: fact(oci::TITLE),
            version: fact(oci::VERSION),
            source: fact(oci::SOURCE),
            ..Import::default()
        };
        check(&import)?;
        let id = chosen.id();
        let access = self.access()?;
        let index = access.layout().map(Layout::index).transpose()?;
        if let Some((layout, index)) = access.layout().zip(index.as_ref())
            && find(layout, index, &id).is_some()
        {
            drop(access);
            let done = self.import(&import)?;
            let others = chosen.manifest.templates().skip(1);
            for other in BTreeSet::from_iter(others.map(|layer| layer.digest.0)) {
                self.import(&Import {
                    code: import.code,
                    vars_template: blobs.get(&other).map(Vec::as_slice),
                    ..Import::default()
                })?;
            }
            return Ok(done);
        }
        let mut blobs: Vec<(Sha256, &[u8])> =
            blobs.iter().map(|(digest, bytes)| (*digest, &**bytes)).collect();
        blobs.push((chosen.entry.digest.0, &chosen.bytes));
        let path = match access.writer().zip(index) {
            Some((writer, index)) => {
                publish(writer, index, &id, &chosen.manifest, &chosen.bytes, &blobs, None)?
            }
            None => code_path(&self.path, &id),
        };
        Ok(Imported {
            id,
            path,
            new: true,
            kept: Vec::new(),
        })
    }
}

/// Blobs first, then the build's folder, the index last: at no moment does a name promise what is not there.
fn publish(
    writer: &Writer,
    mut index: Index,
    id: &Sha256,
    manifest: &Manifest,
    bytes: &[u8],
    blobs: &[(Sha256, &[u8])],
    pin: Option<&str>,
) -> Result<PathBuf> {
    let layout = &writer.layout;
    for (digest, bytes) in blobs {
        layout.put(&writer.tmp, digest, bytes)?;
    }
    layout.blobs.sync()?;
    let folder = link(writer, id, manifest)?;
    let mut entry = Descriptor::of(oci::MANIFEST, bytes);
    entry.rest.insert("artifactType".into(), oci::BUILD.into());
    entry.annotations.insert(oci::REF_NAME.into(), oci::tag_of(id));
    let old = index.manifests.iter().position(|entry| entry.is_tagged_for(id));
    let mut pins = old.map_or_else(Vec::new, |at| index.manifests[at].pins());
    pins.extend(
        pin.filter(|pin| !pins.iter().any(|known| known == pin))
            .map(str::to_owned),
    );
    entry.set_pins(&pins);
    match old {
        Some(at) if index.manifests[at] == entry => return Ok(folder.join(FILES[0].0)),
        Some(at) => index.manifests[at] = entry,
        None => index.manifests.push(entry),
    }
    layout.write_index(&writer.tmp, &index)?;
    Ok(folder.join(FILES[0].0))
}

/// Gives the build's blobs their names in `builds/`, all at once if the folder is new.
pub(crate) fn link(writer: &Writer, id: &Sha256, manifest: &Manifest) -> Result<PathBuf> {
    let (layout, tmp) = (&writer.layout, &writer.tmp);
    let builds = layout.root.sub_or_create(BUILDS)?;
    let name = oci::folder_of(id);
    let wanted = names(manifest)
        .into_iter()
        .map(|(file, blob)| (file, blob.to_string()));
    if let Some(folder) = builds.sub(&name)? {
        let mut changed = false;
        for (file, blob) in wanted {
            if !same_file(layout.blobs.stat(&blob)?, folder.stat(&file)?) {
                layout.blobs.link(&blob, tmp, &file)?;
                tmp.rename(&file, &folder, &file)?;
                changed = true;
            }
        }
        if changed {
            folder.sync()?;
        }
    } else {
        let staged = tmp.sub_or_create(&name)?;
        for (file, blob) in wanted {
            layout.blobs.link(&blob, &staged, file)?;
        }
        staged.sync()?;
        tmp.rename(&name, &builds, &name)?;
        builds.sync()?;
    }
    Ok(builds.join(name))
}

/// Whether two names are links of one file.
pub(crate) fn same_file(one: Option<Stat>, other: Option<Stat>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// The stored build of that id. One whose manifest is damaged counts as not stored, so that it is healed.
fn find(layout: &Layout, index: &Index, id: &Sha256) -> Option<Stored> {
    let entry = index.manifests.iter().find(|entry| entry.is_tagged_for(id))?;
    Stored::read(layout, entry)
        .ok()
        .flatten()
        .filter(|stored| stored.id() == *id)
}

fn empty_manifest() -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(oci::MANIFEST.into()),
        artifact_type: Some(oci::BUILD.into()),
        config: Descriptor {
            media_type: oci::EMPTY.into(),
            digest: Digest(Sha256::of(oci::EMPTY_CONFIG)),
            size: oci::EMPTY_CONFIG.len() as u64,
            annotations: Annotations::new(),
            rest: Map::new(),
        },
        layers: Vec::new(),
        annotations: Annotations::from([(oci::CREATED.into(), now())]),
        rest: Map::new(),
    }
}

fn choose(source: &Layout, tag: Option<&str>, none: impl Fn(String) -> Error) -> Result<Stored> {
    let mut builds = Vec::new();
    for entry in source.index()?.manifests {
        if tag.is_none_or(|tag| entry.tag() == Some(tag)) {
            builds.extend(Stored::read(source, &entry)?);
        }
    }
    match (builds.len(), tag) {
        (1, _) => Ok(builds.remove(0)),
        (0, None) => Err(none("has no firmware build in it".into())),
        (_, Some(tag)) => Err(none(format!("has no firmware build tagged {tag:?}"))),
        (count, None) => {
            let tags: Vec<&str> = builds.iter().filter_map(|build| build.entry.tag()).collect();
            Err(none(format!("has {count} builds: {}", tags.join(", "))))
        }
    }
}

/// Why a build has too many files, or too large ones: what is stored has to reach every other host and fleet.
fn excess(layers: &[Descriptor]) -> Option<String> {
    let size_bytes = layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
    match layers.len() {
        count if count > MAX_BUILD_FILE_COUNT => Some(format!(
            "it has {count} files, and a build has at most {MAX_BUILD_FILE_COUNT}"
        )),
        _ if size_bytes > MAX_BUILD_BYTES => Some(format!(
            "its files have {size_bytes} bytes, and those of a build at most {MAX_BUILD_BYTES}"
        )),
        _ => None,
    }
}

/// Every blob of a build, checked; all together may be as large as three images. One that several layers name is read
/// once.
fn read_all(source: &Layout, build: &Stored) -> Result<BTreeMap<Sha256, Vec<u8>>> {
    let layers = &build.manifest.layers;
    if let Some(why) = excess(layers) {
        return Err(Error::Invalid {
            path: source.blobs.join(build.entry.digest.0.to_string()),
            why,
        });
    }
    let mut left_bytes = MAX_BUILD_BYTES;
    let mut blobs = BTreeMap::new();
    for descriptor in layers.iter().chain([&build.manifest.config]) {
        let Entry::Vacant(new) = blobs.entry(descriptor.digest.0) else {
            continue;
        };
        let bytes = source.blob(descriptor, left_bytes.min(MAX_FLASH_BYTES))?;
        left_bytes -= bytes.len() as u64;
        new.insert(bytes);
    }
    Ok(blobs)
}

fn check(import: &Import<'_>) -> Result<()> {
    import.pin.map_or(Ok(()), check_reason)?;
    let parts = [
        ("CODE", Some(import.code), MAX_FLASH_BYTES),
        ("the VARS template", import.vars_template, MAX_FLASH_BYTES),
        ("the firmware descriptor", import.descriptor, MAX_DESCRIPTOR_BYTES),
    ];
    for (what, bytes, limit_bytes) in parts {
        let Some(bytes) = bytes else { continue };
        let size_bytes = bytes.len() as u64;
        if size_bytes > limit_bytes {
            return Err(Error::TooLarge {
                what: what.into(),
                size_bytes,
                limit_bytes,
            });
        }
        if bytes.is_empty() {
            return Err(Error::Empty { what });
        }
    }
    if let Some(descriptor) = import.descriptor {
        serde_json::from_slice::<Map<String, Value>>(descriptor).map_err(|source| Error::Json {
            what: "firmware descriptor",
            path: "the descriptor given".into(),
            source,
        })?;
    }
    Ok(())
}
