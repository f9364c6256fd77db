//! `saved adopt`: a libvirt save image comes to use the stored build instead of a path that may be gone.
//!
//! The image is never changed in place, also where the new XML fits: a write of several pages can be cut
//! in the middle. A copy is made beside it, which shares its blocks where the file system can, the header
//! of the copy is rewritten, the copy is read back, and takes the image's place.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use fm_formats::stream::BlockKind;
use fm_formats::stream::save_image::{Compression, HEADER_BYTES, SaveImage};
use fm_store::{Import, Store};
use schemars::JsonSchema;
use serde::Serialize;

use super::Error;
use super::extract::{whole, write};
use super::file::{NewFile, failed};
use crate::Result;
use crate::stream::{self, Container, Gathered, Request};

/// What to adopt.
#[derive(Debug, Clone)]
pub struct Adopt {
    /// The save image.
    pub path: PathBuf,
}

/// `flashmoor/saved-adopt/1`: what the image uses now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Adopted {
    /// `flashmoor/saved-adopt/1`.
    pub schema: String,
    /// The domain's name.
    pub domain: String,
    /// The build that the saved guest runs.
    pub build: String,
    /// CODE before and now.
    pub loader_before: Option<PathBuf>,
    /// CODE now: a path of the store.
    pub loader: PathBuf,
    /// What VARS is made from before, if it is missing at the restore.
    pub template_before: Option<PathBuf>,
    /// The same now.
    pub template: Option<PathBuf>,
    /// The XML as it was; `virsh save-image-define FILE XML` puts it back.
    pub xml_before: PathBuf,
    /// Whether the image was changed; not if it used the stored build already.
    pub changed: bool,
    /// The step that restores the guest.
    pub restore: String,
}

/// Stores the build that the saved guest runs and points its image to it.
///
/// # Errors
/// If the file is no whole save image with CODE flash, or the store or the disk refuses. The image is
/// then as it was.
pub fn adopt(store: &Store, request: &Adopt) -> Result<Adopted> {
    let path = request.path.as_path();
    let gathered = stream::gather(&Request {
        path: path.to_owned(),
        ..Request::default()
    })?;
    let Container::SaveImage { header, xml, cookie } = &gathered.container else {
        return Err(Error::NoSaveImage { path: path.into() }.into());
    };
    let domain_error = |source| Error::Domain {
        path: path.into(),
        source,
    };
    let before = fm_libvirt::saved_domain(xml).map_err(domain_error)?;
    let code = whole(&gathered, gathered.first_of(BlockKind::Code), "CODE flash")?;
    let bytes = gathered.bytes(code).unwrap_or_default();
    let source = format!("saved guest {}", before.name);
    let pin = format!(
        "save image {}",
        std::path::absolute(path).map_err(failed("read", path))?.display()
    );
    let build = store.import(&Import {
        code: &bytes,
        source: Some(&source),
        pin: Some(&pin),
        ..Import::default()
    })?;
    drop(bytes);
    let template = template(store, &gathered, path, &before, &build.id)?;
    let edited = fm_libvirt::with_firmware(xml, &build.path, template.as_deref()).map_err(domain_error)?;
    let xml_before = beside(path, ".before-adopt.xml");
    let changed = edited != *xml;
    if changed {
        if xml_before.symlink_metadata().is_err() {
            let backup = NewFile::create(&xml_before)?;
            backup
                .file
                .write_all_at(xml.as_bytes(), 0)
                .map_err(failed("write", &xml_before))?;
            backup.place(false)?;
        }
        rewrite(path, header, &edited, cookie.as_deref())?;
    }
    Ok(Adopted {
        schema: "flashmoor/saved-adopt/1".into(),
        domain: before.name,
        build: build.id.to_string(),
        loader_before: before.loader,
        loader: build.path,
        template: template.or_else(|| before.nvram_template.clone()),
        template_before: before.nvram_template,
        xml_before,
        changed,
        restore: format!("virsh restore {}", path.display()),
    })
}

/// A VARS template where the old one is gone: libvirt wants one before it starts QEMU, although the
/// variables arrive with the stream. The guest's own, beside its image, are the safest.
fn template(
    store: &Store,
    gathered: &Gathered,
    path: &Path,
    before: &fm_libvirt::SavedDomain,
    build: &fm_formats::Sha256,
) -> Result<Option<PathBuf>> {
    let (Some(index), Some(_)) = (gathered.first_of(BlockKind::Vars), &before.nvram) else {
        return Ok(None);
    };
    let size_bytes = gathered.facts.blocks[index].size_bytes;
    let fits = |template: &Path| template.metadata().is_ok_and(|file| file.len() == size_bytes);
    if before.nvram_template.as_deref().is_some_and(fits) {
        return Ok(None);
    }
    let stored = store.build(build)?.and_then(|build| build.vars_template);
    if let Some(part) = stored.filter(|part| part.size_bytes == size_bytes) {
        return Ok(Some(part.path));
    }
    let own = beside(path, ".vars.fd");
    if !fits(&own) {
        let index = whole(gathered, Some(index), "VARS flash")?;
        write(gathered, index, &own)?;
    }
    Ok(Some(std::path::absolute(&own).map_err(failed("read", &own))?))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn rewrite(path: &Path, header: &SaveImage, xml: &str, cookie: Option<&str>) -> Result<()> {
    let old = File::open(path).map_err(failed("read", path))?;
    let mut raw = [0u8; HEADER_BYTES as usize];
    old.read_exact_at(&mut raw, 0).map_err(failed("read", path))?;
    let cookie = cookie.map(str::as_bytes);
    let fitting = header.rewrite(&raw, xml.as_bytes(), cookie, false);
    let moves = fitting.is_none();
    if moves && header.compression == Compression::Sparse {
        return Err(Error::NoRoom { path: path.into() }.into());
    }
    let head = fitting
        .or_else(|| header.rewrite(&raw, xml.as_bytes(), cookie, true))
        .ok_or_else(|| Error::NoRoom { path: path.into() })?;
    let new = NewFile::create(path)?;
    let written = failed("write", path);
    copy(&old, header.stream_offset(), &new.file, head.len() as u64, moves)
        .and_then(|()| new.file.write_all_at(&head, 0))
        .map_err(written)?;
    let meta = old.metadata().map_err(failed("read", path))?;
    // Only root may give files away; for anyone else the image was theirs to begin with.
    let _ = std::os::unix::fs::fchown(&new.file, Some(meta.uid()), Some(meta.gid()));
    new.file
        .set_permissions(meta.permissions())
        .map_err(failed("write", path))?;
    read_back(path, &new.file, head.len() as u64, header, xml)?;
    new.place(true)
}

/// Copies the stream from `from` in the old file to `to` in the new one; whole blocks are shared with the
/// old file where the file system can.
fn copy(old: &File, from: u64, new: &File, to: u64, moves: bool) -> io::Result<()> {
    if !moves && rustix::fs::ioctl_ficlone(new, old).is_ok() {
        return Ok(());
    }
    let (mut source, mut target) = (old, new);
    source.seek(SeekFrom::Start(from))?;
    target.seek(SeekFrom::Start(to))?;
    io::copy(&mut source, &mut target).map(drop)
}

/// The new file must hold the new XML and, behind it, the old stream.
fn read_back(path: &Path, new: &File, stream_at: u64, header: &SaveImage, xml: &str) -> Result<()> {
    let mut head = vec![0u8; usize::try_from(stream_at).unwrap_or(0)];
    new.read_exact_at(&mut head, 0).map_err(failed("read", path))?;
    let read = SaveImage::parse(&head).map_err(|source| crate::Error::Stream {
        path: path.into(),
        source,
    })?;
    let data = head.get(HEADER_BYTES as usize..).unwrap_or(&[]);
    let expected = SaveImage {
        data_bytes: read.data_bytes,
        cookie_offset: read.cookie_offset,
        ..*header
    };
    let lens = |file: &File| file.metadata().map(|meta| meta.len());
    let old = File::open(path).map_err(failed("read", path))?;
    let old_len = lens(&old)
        .map_err(failed("read", path))?
        .saturating_sub(header.stream_offset());
    let new_len = lens(new).map_err(failed("read", path))?.saturating_sub(stream_at);
    let same = read == expected
        && read.stream_offset() == stream_at
        && read.split(data).0 == xml.as_bytes()
        && old_len == new_len;
    match same {
        true => Ok(()),
        false => Err(Error::ReadBack { path: path.into() }.into()),
    }
}
