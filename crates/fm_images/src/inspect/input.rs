//! Reads flash images: all that is in them, and of the padding of 64 MiB chips only how long it is.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use fm_api::v1::inspect::{ImageFormat, InspectKind};
use fm_formats::volume::VolumeHeader;
use fm_formats::{Reader, Sha256};
use fm_saved::stream;
use fm_stream::qcow2;
use sha2::Digest as _;

use super::Kind;
use super::document::Inspected;
use super::image_key::ImageKey;
use crate::{Error, Result, json_store};

/// Nothing larger is read as an image.
pub(super) const MAX_BYTES: u64 = fm_formats::image::MAX_FLASH_BYTES;
/// Small enough to stay in a core's cache between reading and hashing.
const CHUNK_BYTES: usize = 64 << 10;
/// Padding is told from a volume's free space only behind this: no volume of `virt` firmware reaches so far.
const KEPT_BYTES: u64 = 4 << 20;

/// As much as tells a stream, qcow2 and everything else apart.
pub(super) const HEAD_BYTES: usize = 4096;

/// The bytes of a flash image. Behind `content` there is nothing but `fill`, up to `len_bytes`.
#[derive(Debug, Clone)]
pub struct Flash {
    /// Everything but the padding at the end.
    pub content: Vec<u8>,
    /// How much of `content` was kept when it was read; what lies behind is `fill` that a volume holds.
    pub(super) kept_bytes: usize,
    /// What the padding is made of.
    pub fill: u8,
    /// Length of the image.
    pub len_bytes: u64,
    /// How it is encoded in its file.
    pub format: ImageFormat,
}

/// What the file may be, and its first bytes.
///
/// # Errors
/// If it cannot be read or is no regular file.
pub fn sniff(path: &Path) -> Result<(Kind, Vec<u8>)> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let file = open(path)?;
    file.take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(|source| read_error(path, source))?;
    let kind = match kind_of(&head) {
        Kind::Raw if is_json(path) => Kind::Json,
        Kind::Raw if may_hold_stream(&head) => {
            let found = open(path)
                .and_then(|file| stream::find_offset(&file, 0).map_err(|source| read_error(path, source)))?;
            found.map_or(Kind::Raw, |_| Kind::Stream)
        }
        kind => kind,
    };
    Ok((kind, head))
}

/// Whether a stream may start further on: what starts with a volume is flash.
fn may_hold_stream(head: &[u8]) -> bool {
    head.get(40..44) != Some(b"_FVH") && !head.starts_with(b"\x7fELF")
}

/// Reads a file of JSON, up to what a store can be.
pub(super) fn read_json(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    open(path)?
        .take(json_store::MAX_JSON_BYTES)
        .read_to_end(&mut text)
        .map_err(|source| read_error(path, source))?;
    Ok(text)
}

/// Whether the file is JSON that holds variables.
pub(crate) fn is_json(path: &Path) -> bool {
    let starts_so = || {
        let mut head = [0; 64];
        let read = open(path).ok()?.read(&mut head).ok()?;
        head[..read].trim_ascii_start().first().copied()
    };
    starts_so() == Some(b'{') && read_json(path).is_ok_and(|text| json_store::is_store(&text))
}

pub(super) fn kind_of(head: &[u8]) -> Kind {
    if head.starts_with(&qcow2::MAGIC) {
        Kind::Qcow2
    } else if stream::is_stream(head) {
        Kind::Stream
    } else {
        Kind::Raw
    }
}

pub(super) fn too_large(path: &Path, len_bytes: u64) -> Inspected {
    let mut found = Inspected::new(path, InspectKind::NotFirmware, len_bytes);
    found.reason = Some(format!(
        "it is larger than flash can be ({} MiB)",
        MAX_BYTES >> 20
    ));
    found
}

pub(super) fn open(path: &Path) -> Result<File> {
    fm_files::open_regular(path).map_err(|source| read_error(path, source))
}

fn read_error(path: &Path, source: std::io::Error) -> Error {
    Error::file("read", path, source)
}

/// Takes the bytes of an image in order, up to its padding.
trait Keep: Default {
    fn len_bytes(&self) -> u64;
    fn put(&mut self, bytes: &[u8]);
    /// So many will come.
    fn expect(&mut self, _bytes: usize) {}
}

/// The bytes themselves.
#[derive(Default)]
struct Kept {
    /// Of the length that is expected, and zero where nothing was put: pages of zeros take no memory.
    bytes: Vec<u8>,
    len: usize,
}

impl Kept {
    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}

impl Keep for Kept {
    fn len_bytes(&self) -> u64 {
        self.len as u64
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end > self.bytes.len() {
            self.bytes.truncate(self.len);
            self.bytes.extend_from_slice(bytes);
        } else if !is_all(bytes, 0) {
            self.bytes[self.len..end].copy_from_slice(bytes);
        }
        self.len = end;
    }

    fn expect(&mut self, bytes: usize) {
        self.bytes = vec![0; bytes];
    }
}

/// Only their digest: an image that was seen before need not be in memory.
#[derive(Default)]
struct Hashed {
    hash: sha2::Sha256,
    len_bytes: u64,
}

impl Keep for Hashed {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn put(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len_bytes += bytes.len() as u64;
    }
}

/// An image that is being read. Behind what is kept there is nothing but `fill`, up to `len_bytes`.
#[derive(Default)]
struct Reading<K> {
    kept: K,
    fill: u8,
    len_bytes: u64,
}

impl<K: Keep> Reading<K> {
    /// A file that is larger than flash can be is not read: which is the answer.
    fn file(path: &Path) -> Result<Result<Self, Inspected>> {
        let mut file = open(path)?;
        let len = file.metadata().map_err(|source| read_error(path, source))?.len();
        if len > MAX_BYTES {
            return Ok(Err(too_large(path, len)));
        }
        let mut reading = Self::default();
        let certain = len.min(KEPT_BYTES);
        reading.kept.expect(usize::try_from(certain).unwrap_or_default());
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            reading.pass_hole(&file, len);
            let read = match file.read(&mut chunk) {
                Ok(0) => return Ok(Ok(reading)),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(source) => return Err(read_error(path, source)),
            };
            reading.push(&chunk[..read]);
            if reading.len_bytes > MAX_BYTES {
                return Err(read_error(
                    path,
                    std::io::Error::other("it grows while it is read"),
                ));
            }
        }
    }

    /// Moves over a hole at the file's position: it holds zeros, which need not be read to be known.
    fn pass_hole(&mut self, file: &File, file_len: u64) {
        use rustix::fs::{SeekFrom, seek};
        let here = self.len_bytes;
        if here < KEPT_BYTES || here >= file_len {
            return;
        }
        let end = match seek(file, SeekFrom::Data(here)) {
            Ok(data) => data.min(file_len),
            // Nothing but a hole up to the end.
            Err(rustix::io::Errno::NXIO) => file_len,
            // A file system without holes.
            Err(_) => here,
        };
        // Where that fails nothing was passed, and everything is read.
        if seek(file, SeekFrom::Start(end)) != Ok(end) {
            return;
        }
        while self.len_bytes < end {
            let left = end - self.len_bytes;
            if self.len_bytes > self.kept.len_bytes() && self.fill == 0 {
                self.len_bytes = end;
            } else {
                let zeros = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
                self.push(&zeros);
            }
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        let mut padding = self.len_bytes - self.kept.len_bytes();
        let uniform = chunk
            .first()
            .copied()
            .filter(|fill| self.len_bytes >= KEPT_BYTES && is_all(chunk, *fill));
        let continues = uniform.is_some_and(|fill| padding == 0 || fill == self.fill);
        if let Some(fill) = uniform.filter(|_| continues) {
            self.fill = fill;
        } else {
            // It was no padding after all.
            let block = vec![self.fill; usize::try_from(padding).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
            while padding > 0 {
                let now = block
                    .get(..usize::try_from(padding).unwrap_or(usize::MAX))
                    .unwrap_or(&block);
                self.kept.put(now);
                padding -= now.len() as u64;
            }
            self.kept.put(chunk);
        }
        self.len_bytes += chunk.len() as u64;
    }
}

/// What the image in a file is known by, which is hashed as it is read; nothing for one that is no raw flash.
pub(super) fn key_of(path: &Path) -> Result<Option<ImageKey>> {
    let reading = Reading::<Hashed>::file(path)?.ok();
    Ok(reading.map(|reading| ImageKey {
        digest: Sha256::from_bytes(reading.kept.hash.finalize().into()),
        len_bytes: reading.len_bytes,
        fill: reading.fill,
    }))
}

impl Flash {
    /// Reads a raw image. A file that is larger than flash can be is not read: which is the answer.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Result<Self, Inspected>> {
        Ok(Reading::file(path)?.map(|reading| Self::of(reading, ImageFormat::Raw)))
    }

    fn of(reading: Reading<Kept>, format: ImageFormat) -> Self {
        let mut content = reading.kept.into_bytes();
        let kept_bytes = content.len();
        // Free space of a volume is no padding: without it the volume would be taken for cut.
        let volumes_end =
            end_of_volumes(&content, reading.len_bytes).min(usize::try_from(reading.len_bytes).unwrap_or(0));
        if volumes_end > kept_bytes {
            content.resize(volumes_end, reading.fill);
        }
        Self {
            content,
            kept_bytes,
            fill: reading.fill,
            len_bytes: reading.len_bytes,
            format,
        }
    }

    /// An image from bytes in memory.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], format: ImageFormat) -> Self {
        Self::from_pieces(std::iter::once(bytes), format)
    }

    /// An image from its bytes in order, in pieces of any size.
    pub(super) fn from_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>, format: ImageFormat) -> Self {
        let mut reading = Reading::default();
        pieces
            .flat_map(|piece| piece.chunks(CHUNK_BYTES))
            .for_each(|chunk| reading.push(chunk));
        Self::of(reading, format)
    }

    /// The hash of what was kept, which [`Flash::sha256`] goes on with.
    pub(super) fn hash(&self) -> sha2::Sha256 {
        sha2::Sha256::new().chain_update(&self.content[..self.kept_bytes])
    }

    /// What tells the image from every other, from the hash of what was kept.
    pub(super) fn key(&self, hash: &sha2::Sha256) -> ImageKey {
        ImageKey {
            digest: Sha256::from_bytes(hash.clone().finalize().into()),
            len_bytes: self.len_bytes,
            fill: self.fill,
        }
    }

    /// The digest of the whole image, from that of what was kept.
    pub(super) fn sha256(&self, mut hash: sha2::Sha256) -> Sha256 {
        let block = vec![self.fill; CHUNK_BYTES];
        let mut left = self.len_bytes - self.kept_bytes as u64;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            hash.update(&block[..now]);
            left -= now as u64;
        }
        Sha256::from_bytes(hash.finalize().into())
    }
}

/// Where the last of the volumes in `content` ends, which may be behind it. Volumes of flash start at its blocks.
fn end_of_volumes(content: &[u8], len_bytes: u64) -> usize {
    const BLOCK_BYTES: usize = 4 << 10;
    let (mut at, mut end) = (0usize, 0);
    while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
        let header = VolumeHeader::parse(&mut Reader::new(rest)).ok();
        // One whose checksum is wrong is read as well, if it is a volume of edk2's and the file holds it.
        let is_volume = |header: &VolumeHeader| {
            let known = [VolumeHeader::NV_DATA, VolumeHeader::FFS2, VolumeHeader::FFS3];
            let end = (at as u64).saturating_add(header.volume_len_bytes);
            header.checksum_holds() || (known.contains(&header.file_system) && end <= len_bytes)
        };
        let len = header.filter(is_volume).map_or(0, |header| {
            usize::try_from(header.volume_len_bytes).unwrap_or(usize::MAX)
        });
        if len != 0 {
            end = at.saturating_add(len);
        }
        at = at.saturating_add(len.max(BLOCK_BYTES));
    }
    end
}

fn is_all(bytes: &[u8], fill: u8) -> bool {
    bytes
        .chunks(256)
        .all(|block| block.iter().fold(true, |same, byte| same & (*byte == fill)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_kept_as_a_length_and_hashed_as_bytes() {
        for (parts, kept) in [
            (vec![(1u8, 100usize), (0, 9 << 20)], 5 << 20),
            (vec![(0, 9 << 20)], 5 << 20),
            (vec![(0xff, 6 << 20), (0, 6 << 20)], 13 << 20),
            (vec![(1, 10), (0, 6 << 20), (2, 10)], 7 << 20),
        ] {
            let bytes: Vec<u8> = parts.iter().flat_map(|(byte, len)| vec![*byte; *len]).collect();
            let flash = Flash::from_bytes(&bytes, ImageFormat::Raw);
            assert_eq!(flash.len_bytes, bytes.len() as u64);
            assert_eq!(flash.sha256(flash.hash()), Sha256::of(&bytes), "{parts:?}");
            assert!(flash.content.len() <= kept, "{parts:?}: {}", flash.content.len());
            assert!(bytes.starts_with(&flash.content));
        }
    }

    #[test]
    fn a_file_with_holes_is_the_same_image_as_one_without() {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let folder = tempfile::tempdir().unwrap();
        for (name, parts) in [
            ("end", vec![(0u64, 1u8, 5 << 20), (64 << 20, 0, 0)]),
            (
                "middle",
                vec![(0, 1, 100), (20 << 20, 2, 100), (33 << 20, 3, 4096)],
            ),
            (
                "after ones",
                vec![(0, 1, 100), (4 << 20, 0xff, 4 << 20), (20 << 20, 0, 0)],
            ),
            ("all", vec![(16 << 20, 0, 0)]),
        ] {
            let path = folder.path().join(name);
            let mut file = File::create(&path).unwrap();
            let mut whole = Vec::new();
            for (at, byte, len) in parts {
                file.set_len(at + len as u64).unwrap();
                file.seek(SeekFrom::Start(at)).unwrap();
                file.write_all(&vec![byte; len]).unwrap();
                whole.resize(usize::try_from(at).unwrap(), 0);
                whole.resize(whole.len() + len, byte);
            }
            let (read, made) = (
                Flash::read(&path).unwrap().unwrap(),
                Flash::from_bytes(&whole, ImageFormat::Raw),
            );
            assert_eq!(read.len_bytes, made.len_bytes, "{name}");
            assert_eq!(read.sha256(read.hash()), Sha256::of(&whole), "{name}");
            assert!(read.content.len() <= made.content.len(), "{name}");
            assert_eq!(key_of(&path).unwrap(), Some(read.key(&read.hash())), "{name}");
        }
    }
}
