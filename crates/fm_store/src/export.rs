//! Taking a build out of the store: into another OCI layout, or as plain files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use fm_files::{Entry, Folder, NewFile, Place};
use fm_formats::Sha256;

use crate::build::{FILES, Stored, template_name};
use crate::layout::{BLOBS, INDEX, Layout};
use crate::lock::Lock;
use crate::{Error, MAX_FLASH_BYTES, Result, Store, oci};

/// How the folder of an export under way is called, before its process's number.
const SCRATCH: &str = ".flashmoor-";

fn is_scratch(name: &OsStr) -> bool {
    let number = name.as_bytes().strip_prefix(SCRATCH.as_bytes());
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

impl Store {
    /// Puts a build into the OCI layout in the folder `to`, which is made if it is not there, under `tag`
    /// or the build's own. Every blob is checked on its way. Gives back the tag.
    ///
    /// # Errors
    /// [`Error::UnknownBuild`], a damaged blob, or if the disk refuses.
    pub fn export_layout(&self, id: &Sha256, to: &Path, tag: Option<&str>) -> Result<String> {
        let (layout, stored) = self.stored(id)?;
        let root = folder(to)?;
        // Before anything is touched: the folder may be anybody's.
        let unfinished = [BLOBS, INDEX];
        let is_new = |root: &Folder| {
            let names = root.names()?;
            Ok::<_, Error>(
                names
                    .iter()
                    .all(|found| is_scratch(found) || unfinished.iter().any(|name| found == *name)),
            )
        };
        if Layout::open(root.clone())?.is_err() && !is_new(&root)? {
            return Err(Error::NotALayout { path: to.into() });
        }
        let _lock = Lock::take_target(&root, self.lock_timeout)?;
        // What an export that was killed left: nobody else is at it now.
        for entry in root.entries()? {
            if entry.is_folder && is_scratch(&entry.name) {
                root.remove_all(&entry)?;
            }
        }
        let scratch = format!("{SCRATCH}{}", std::process::id());
        let (target, tmp) = match Layout::open(root)? {
            Ok(target) => {
                let tmp = target.root.sub_or_create(&scratch)?;
                (target, tmp)
            }
            Err(root) if is_new(&root)? => {
                let tmp = root.sub_or_create(&scratch)?;
                (Layout::create(root, &tmp)?, tmp)
            }
            Err(_) => return Err(Error::NotALayout { path: to.into() }),
        };
        let copied = copy(&layout, &stored, &target, &tmp, tag);
        target.root.remove_all(&Entry {
            name: scratch.into(),
            is_folder: true,
        })?;
        copied
    }

    /// Writes a build's files into the folder `to`, which is made if it is not there: `CODE.fd`, and
    /// `VARS.fd`, further templates and `descriptor.json` if the build has them. Files that are there already are only accepted
    /// if they hold the same. Gives back their paths.
    ///
    /// # Errors
    /// [`Error::UnknownBuild`], [`Error::Exists`], a damaged blob, or if the disk refuses.
    pub fn export_files(&self, id: &Sha256, to: &Path) -> Result<Vec<PathBuf>> {
        let (layout, stored) = self.stored(id)?;
        let folder = folder(to)?;
        let mut written = Vec::new();
        let files = FILES
            .iter()
            .filter_map(|(file, media_type)| Some(((*file).to_owned(), stored.manifest.layer(media_type)?)));
        let others = stored.manifest.templates().skip(1);
        for (file, layer) in files.chain(others.map(|layer| (template_name(&layer.digest.0), layer))) {
            let file = file.as_str();
            let bytes = layout.blob(layer, MAX_FLASH_BYTES)?;
            let new = NewFile::create(&Place::in_folder(&folder, file))?;
            new.write_all(&bytes)?;
            new.set_mode(0o644)?;
            match new.place_new() {
                Err(fm_files::Error::Exists { .. }) if folder.matches_bytes(file, &bytes) => {}
                placed => placed?,
            }
            written.push(folder.join(file));
        }
        Ok(written)
    }

    /// A build with its manifest, and the layout to read its blobs from.
    fn stored(&self, id: &Sha256) -> Result<(Layout, Stored)> {
        let unknown = || Error::UnknownBuild { text: id.to_string() };
        let layout = self.reader()?.ok_or_else(unknown)?;
        for entry in layout
            .index()?
            .manifests
            .iter()
            .filter(|entry| entry.is_tagged_for(id))
        {
            if let Some(stored) = Stored::read(&layout, entry)? {
                return Ok((layout, stored));
            }
        }
        Err(unknown())
    }
}

fn copy(from: &Layout, build: &Stored, to: &Layout, tmp: &Folder, tag: Option<&str>) -> Result<String> {
    for descriptor in build.manifest.layers.iter().chain([&build.manifest.config]) {
        to.put(
            tmp,
            &descriptor.digest.0,
            &from.blob(descriptor, MAX_FLASH_BYTES)?,
        )?;
    }
    to.put(tmp, &build.entry.digest.0, &build.bytes)?;
    to.blobs.sync()?;
    let tag = tag.map_or_else(|| oci::tag_of(&build.id()), str::to_owned);
    let mut entry = build.entry.clone();
    entry.set_pins(&[]);
    entry.annotations.insert(oci::REF_NAME.into(), tag.clone());
    let mut index = to.index()?;
    index.manifests.retain(|entry| entry.tag() != Some(&tag));
    index.manifests.push(entry);
    to.write_index(tmp, &index)?;
    Ok(tag)
}

fn folder(path: &Path) -> Result<Folder> {
    let failed = |source| Error::Io {
        action: "create",
        path: path.to_owned(),
        source,
    };
    fm_files::create_folders(path)?;
    Folder::open(path)?.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
}
