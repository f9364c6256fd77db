//! `saved adopt`: a libvirt save image comes to use the stored build instead of a path that may be gone.
//!
//! The image is never changed in place, also where the new XML fits: a write of several pages can be cut
//! in the middle. A copy is made beside it, which shares its blocks where the file system can, the header
//! of the copy is rewritten, the copy is read back, and takes the image's place, if that still is the image
//! that was read.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::saved::SavedAdoption;
use fm_store::{Import, Store};
use fm_stream::BlockKind;
use fm_stream::save_image::{Compression, HEADER_BYTES, SaveImage};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::extract::{whole, write};
use crate::file::{NewFile, failed};
use crate::plan::{matches_block, restorable};
use crate::stream::{self, Container, Gathered, Request};
use crate::{Error, Result};

/// What to adopt.
#[derive(Debug, Clone)]
pub struct AdoptRequest {
    /// The save image.
    pub path: PathBuf,
}

/// Stores the build that the saved guest runs and points its image to it.
///
/// # Errors
/// If the file is no whole save image with CODE flash, or the store or the disk refuses. The image is
/// then as it was.
pub fn adopt(store: &Store, request: &AdoptRequest) -> Result<SavedAdoption> {
    // Through a link the image itself is meant, not a file in the link's place.
    let place = fm_files::Place::behind_links(&request.path)?;
    let path = place.path();
    let path = path.as_path();
    // What is read below is this file, as it is now; it is compared again when the new one takes its place.
    let old = place
        .open()?
        .ok_or_else(|| failed("read", path)(std::io::ErrorKind::NotFound.into()))?;
    let image_before = old.metadata().map_err(failed("read", path))?;
    let gathered = stream::gather(&Request {
        path: path.to_owned(),
        ..Request::default()
    })?;
    let Container::SaveImage { header, xml, cookie } = &gathered.container else {
        return Err(Error::NoSaveImage { path: path.into() });
    };
    let code = restorable(&gathered)?;
    let domain_error = |source| Error::Domain {
        path: path.into(),
        source,
    };
    let before = fm_libvirt::saved_domain(xml).map_err(domain_error)?;
    let bytes = gathered.bytes(code).unwrap_or_default();
    let source = format!("saved guest {}", before.name);
    let pin = format!("save image {}", path.display());
    let build = store.import(&Import {
        code: &bytes,
        source: Some(&source),
        pin: Some(&pin),
        ..Import::default()
    })?;
    drop(bytes);
    let template = template(store, &gathered, path, &before, &build.id)?;
    let named = template.as_ref().map(Template::path);
    let edited = fm_libvirt::with_firmware(xml, &build.path, named).map_err(domain_error)?;
    let changed = edited != *xml;
    let mut xml_before = beside(path, ".before-adopt.xml");
    let cookie = cookie.as_deref().map(str::as_bytes);
    let Some(head) = Head::of(&old, path, header, &edited, cookie)? else {
        if !store.is_dry_run() {
            store.unpin(&build.id, Some(&pin))?;
        }
        return Err(Error::NoRoom { path: path.into() });
    };
    let adoption = |xml_before, dry_run| SavedAdoption {
        schema: Schema::default(),
        dry_run,
        domain: before.name.clone(),
        build: build.id.to_string(),
        loader_before: before.loader.clone(),
        loader: build.path.clone(),
        template: named
            .map(Path::to_owned)
            .or_else(|| before.nvram_template.clone()),
        template_before: before.nvram_template.clone(),
        xml_before,
        changed,
        restore: format!("virsh restore {}", path.display()),
    };
    if store.is_dry_run() {
        xml_before = backup_place(&xml_before, xml)?.0;
        return Ok(adoption(xml_before, true));
    }
    if let Some(Template::Own { index, path }) = &template {
        place_own(&gathered, *index, path)?;
    }
    if changed {
        xml_before = back_up(&xml_before, xml)?;
        head.rewrite(&old, &image_before, path, header, &edited)?;
    } else {
        // Whoever was killed at the very end has left the image of before under another name, as large as the guest's
        // memory. Whoever begins to write here clears it away; if that fails, the image is adopted all the same.
        drop(NewFile::create(path));
    }
    Ok(adoption(xml_before, false))
}

/// The CODE that [`adopt`] would store of the image, which is only read.
///
/// # Errors
/// If there is none that could be restored.
pub fn adoptable_code(path: &Path) -> Result<Vec<u8>> {
    let gathered = stream::gather(&Request {
        path: path.to_owned(),
        ..Request::default()
    })?;
    let code = restorable(&gathered)?;
    Ok(gathered.bytes(code).unwrap_or_default())
}

/// Where the XML as it was is kept, and whether it is there already. Another image that once had this path may have left
/// its own XML, which stays: then this one gets a number.
fn backup_place(path: &Path, xml: &str) -> Result<(PathBuf, bool)> {
    free(path, |path| {
        // Whatever else has that name, a longer file or a FIFO, is another's and stays.
        match fm_files::read_bounded(path, xml.len() as u64) {
            Ok(kept) => Ok(kept.as_deref() == Some(xml.as_bytes())),
            Err(fm_files::Error::NotRegular { .. } | fm_files::Error::TooLarge { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    })
}

/// Keeps the XML as it was, durably.
fn back_up(path: &Path, xml: &str) -> Result<PathBuf> {
    let (path, is_there) = backup_place(path, xml)?;
    if !is_there {
        let backup = NewFile::create(&path)?;
        backup
            .file
            .write_all_at(xml.as_bytes(), 0)
            .map_err(failed("write", &path))?;
        backup.place()?;
    }
    Ok(path)
}

/// The first of PATH, PATH.2, PATH.3 … that does not exist or is `right`, and whether it exists.
fn free(path: &Path, right: impl Fn(&Path) -> Result<bool>) -> Result<(PathBuf, bool)> {
    let mut candidate = path.to_owned();
    let mut number = 1;
    loop {
        if candidate.symlink_metadata().is_err() {
            return Ok((candidate, false));
        }
        if right(&candidate)? {
            return Ok((candidate, true));
        }
        number += 1;
        candidate = beside(path, &format!(".{number}"));
    }
}

/// What a missing VARS file shall be made from.
enum Template {
    /// The stored build's.
    Stored(PathBuf),
    /// The guest's own variables, in a file beside its image.
    Own { index: usize, path: PathBuf },
}

impl Template {
    fn path(&self) -> &Path {
        match self {
            Self::Stored(path) | Self::Own { path, .. } => path,
        }
    }
}

/// A VARS template where the old one is gone: libvirt wants one before it starts QEMU, although the
/// variables arrive with the stream.
fn template(
    store: &Store,
    gathered: &Gathered,
    image: &Path,
    before: &fm_libvirt::SavedDomain,
    build: &fm_formats::Sha256,
) -> Result<Option<Template>> {
    let (Some(index), Some(_)) = (gathered.first_of(BlockKind::Vars), &before.nvram) else {
        return Ok(None);
    };
    if before.nvram_is_qcow2 {
        // libvirt makes them from a template of their own format only.
        let mut files = [&before.nvram, &before.nvram_template].into_iter().flatten();
        return match files.any(|path| path.exists()) {
            true => Ok(None),
            false => Err(Error::Qcow2 { path: image.into() }),
        };
    }
    let size_bytes = gathered.facts.blocks[index].size_bytes;
    let fits = |template: &Path| template.metadata().is_ok_and(|file| file.len() == size_bytes);
    if before.nvram_template.as_deref().is_some_and(fits) {
        return Ok(None);
    }
    let stored = store.build(build)?.and_then(|build| build.vars_template);
    if let Some(part) = stored.filter(|part| part.size_bytes == size_bytes) {
        return Ok(Some(Template::Stored(part.path)));
    }
    let index = whole(gathered, Some(index), "VARS flash")?;
    let (path, _) = free(&beside(image, ".vars.fd"), |path| {
        matches_block(gathered, index, path)
    })?;
    Ok(Some(Template::Own { index, path }))
}

fn place_own(gathered: &Gathered, index: usize, path: &Path) -> Result<()> {
    match matches_block(gathered, index, path)? {
        true => Ok(()),
        false => write(gathered, index, path)?.0.place(),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The image's bytes before its stream, with the new XML.
struct Head {
    bytes: Vec<u8>,
    /// Whether the stream comes to lie elsewhere.
    moves: bool,
}

impl Head {
    /// None if the stream cannot be moved and the XML does not fit before it.
    fn of(
        old: &File,
        path: &Path,
        header: &SaveImage,
        xml: &str,
        cookie: Option<&[u8]>,
    ) -> Result<Option<Self>> {
        let mut raw = [0u8; HEADER_BYTES as usize];
        old.read_exact_at(&mut raw, 0).map_err(failed("read", path))?;
        let head = |moves| {
            let bytes = header.rewrite(&raw, xml.as_bytes(), cookie, moves)?;
            Some(Self { bytes, moves })
        };
        let may_move = header.compression != Compression::Sparse;
        Ok(head(false).or_else(|| head(true).filter(|_| may_move)))
    }

    fn rewrite(
        &self,
        old: &File,
        before: &fs::Metadata,
        path: &Path,
        header: &SaveImage,
        xml: &str,
    ) -> Result<()> {
        let new = NewFile::create(path)?;
        let stream_at = self.bytes.len() as u64;
        copy(old, header.stream_offset(), &new.file, stream_at, self.moves)
            .and_then(|()| new.file.write_all_at(&self.bytes, 0))
            .map_err(failed("write", path))?;
        let meta = old.metadata().map_err(failed("read", path))?;
        // Only root may give files away; for anyone else the image was theirs to begin with.
        let _ = std::os::unix::fs::fchown(&new.file, Some(meta.uid()), Some(meta.gid()));
        new.file
            .set_permissions(meta.permissions())
            .map_err(failed("write", path))?;
        read_back(path, &new.file, stream_at, header, xml)?;
        new.place_over(old, before)
    }
}

/// Copies the stream from `from` in the old file to `to` in the new one; whole blocks are shared with the
/// old file where the file system can, and holes stay holes: most of a sparse image is one.
fn copy(old: &File, from: u64, new: &File, to: u64, moves: bool) -> io::Result<()> {
    if !moves && rustix::fs::ioctl_ficlone(new, old).is_ok() {
        return Ok(());
    }
    let end = old.metadata()?.len();
    new.set_len(end.saturating_sub(from).saturating_add(to))?;
    let (mut source, mut target) = (old, new);
    let mut at = from;
    while at < end {
        let start = match rustix::fs::seek(old, SeekFrom::Data(at)) {
            Ok(start) => start.min(end),
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let stop = rustix::fs::seek(old, SeekFrom::Hole(start))?.clamp(start, end);
        source.seek(io::SeekFrom::Start(start))?;
        target.seek(io::SeekFrom::Start(start - from + to))?;
        io::copy(&mut source.take(stop - start), &mut target)?;
        at = stop;
    }
    Ok(())
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
        false => Err(Error::ReadBack { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_under_the_backups_name_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest.save.before-adopt.xml");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", beside(&path, ".2")).unwrap();
        fs::write(beside(&path, ".3"), "<domain>another, and longer</domain>").unwrap();
        fs::write(beside(&path, ".4"), "<domain>other</domain>").unwrap();
        let kept = back_up(&path, "<domain>mine!</domain>").unwrap();
        assert_eq!(kept, beside(&path, ".5"));
        assert_eq!(
            back_up(&path, "<domain>mine!</domain>").unwrap(),
            kept,
            "once is enough"
        );
    }
}
