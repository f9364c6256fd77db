//! One build as a stream: a tar archive of an OCI layout that holds just that, so that a pipe carries it to another host.
//!
//! Source of the format: POSIX.1-1988 `ustar`; `tar -x` unpacks it, and skopeo and oras read what comes out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fm_files::create_folders;
use fm_formats::Sha256;

use crate::import::Imported;
use crate::layout::{BLOBS, INDEX, MARK};
use crate::{Error, MAX_FLASH_BYTES, Result, Store};
use fm_formats::image::{MAX_BUILD_BYTES, MAX_BUILD_FILE_COUNT};

const BLOCK_BYTES: usize = 512;
/// A build, and the records of its layout.
const MAX_STREAM_BYTES: u64 = MAX_BUILD_BYTES + MAX_FLASH_BYTES;
/// A record of tar's is 10 KiB long, if nobody wants another.
const MAX_PADDING_BYTES: u64 = 1 << 20;
/// A build's files; its manifest, its configuration, the layout's two, folders, and the end.
const MAX_FILE_COUNT: usize = MAX_BUILD_FILE_COUNT + 16;
const ALGORITHM: &str = "sha256";

impl Store {
    /// Writes a build to `out`.
    ///
    /// # Errors
    /// [`Error::UnknownBuild`], a damaged blob, or if it cannot be written.
    pub fn export_stream(&self, id: &Sha256, out: &mut dyn Write) -> Result<()> {
        let scratch = scratch()?;
        let root = scratch.path().join("layout");
        self.export_layout(id, &root, None)?;
        let mut names = vec![MARK.to_owned(), INDEX.to_owned()];
        let blobs = root.join(BLOBS).join(ALGORITHM);
        let listed = std::fs::read_dir(&blobs).map_err(|source| failed("read", &blobs, source))?;
        let mut digests: Vec<String> = listed
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        digests.sort();
        names.extend(
            digests
                .iter()
                .map(|digest| format!("{BLOBS}/{ALGORITHM}/{digest}")),
        );
        let standard_output = Path::new("standard output");
        for name in names {
            let path = root.join(&name);
            let bytes = std::fs::read(&path).map_err(|source| failed("read", &path, source))?;
            append(out, &name, &bytes).map_err(|source| failed("write", standard_output, source))?;
        }
        out.write_all(&[0; 2 * BLOCK_BYTES])
            .and_then(|()| out.flush())
            .map_err(|source| failed("write", standard_output, source))
    }

    /// Stores the build that `input` brings. Every blob is checked against its digest, and nothing but a layout's own
    /// files is unpacked.
    ///
    /// # Errors
    /// If it is no such stream, or as [`Store::import_layout`].
    pub fn import_stream(&self, input: &mut dyn Read) -> Result<Imported> {
        let scratch = scratch()?;
        unpack(input, scratch.path())?;
        self.import_layout(scratch.path(), None)
    }
}

fn scratch() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|source| failed("create a folder in", &std::env::temp_dir(), source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn append(out: &mut dyn Write, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = [0u8; BLOCK_BYTES];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", bytes.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&header)?;
    out.write_all(bytes)?;
    let padding = bytes.len().next_multiple_of(BLOCK_BYTES) - bytes.len();
    out.write_all(&[0; BLOCK_BYTES][..padding])
}

fn unpack(input: &mut dyn Read, to: &Path) -> Result<()> {
    let stream = Path::new("standard input");
    let invalid = |why: String| Error::Stream { why };
    let cut = || invalid("it ends too early".into());
    let mut left_bytes = MAX_STREAM_BYTES;
    for _ in 0..MAX_FILE_COUNT {
        let mut header = [0u8; BLOCK_BYTES];
        input
            .read_exact(&mut header)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => cut(),
                _ => failed("read", stream, source),
            })?;
        if header.iter().all(|byte| *byte == 0) {
            // What tar fills its last record up with is taken as well, else its write fails.
            let _ = io::copy(&mut input.take(MAX_PADDING_BYTES), &mut io::sink());
            return Ok(());
        }
        let (name, size_bytes) = entry(&header).ok_or_else(|| invalid("it is no tar archive".into()))?;
        // Folders stand in archives that tar makes of a layout.
        if size_bytes == 0 && header[156] == b'5' {
            continue;
        }
        let path =
            place(&name, to).ok_or_else(|| invalid(format!("{name:?} is no file of an OCI layout")))?;
        left_bytes = left_bytes
            .checked_sub(size_bytes)
            .ok_or_else(|| invalid(format!("it is longer than {MAX_STREAM_BYTES} bytes")))?;
        create_folders(path.parent().unwrap_or(to))?;
        let mut file = File::create_new(&path).map_err(|source| failed("create", &path, source))?;
        let copied = io::copy(&mut Read::take(&mut *input, size_bytes), &mut file)
            .map_err(|source| failed("write", &path, source))?;
        let padding = size_bytes.next_multiple_of(BLOCK_BYTES as u64) - size_bytes;
        let skipped = io::copy(&mut Read::take(&mut *input, padding), &mut io::sink())
            .map_err(|source| failed("read", stream, source))?;
        if (copied, skipped) != (size_bytes, padding) {
            return Err(cut());
        }
    }
    Err(invalid(format!("it has more than {MAX_FILE_COUNT} files")))
}

/// Name and size of an entry whose header is sound.
fn entry(header: &[u8; BLOCK_BYTES]) -> Option<(String, u64)> {
    let octal = |range: std::ops::Range<usize>| {
        let text = std::str::from_utf8(header.get(range)?).ok()?;
        let digits = text.trim_matches(|letter| letter == '\0' || letter == ' ');
        u64::from_str_radix(digits, 8).ok()
    };
    let spaces = 8 * u64::from(b' ');
    let own: u64 = header[148..156].iter().map(|byte| u64::from(*byte)).sum();
    let all: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    if octal(148..156)? != all - own + spaces {
        return None;
    }
    let name = header[..100].split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    Some((
        name.strip_prefix("./").unwrap_or(name).to_owned(),
        octal(124..136)?,
    ))
}

/// Where a file of a layout goes; nothing for any other name.
fn place(name: &str, to: &Path) -> Option<PathBuf> {
    if name == MARK || name == INDEX {
        return Some(to.join(name));
    }
    let digest = name
        .strip_prefix(BLOBS)?
        .strip_prefix('/')?
        .strip_prefix(ALGORITHM)?;
    let digest: Sha256 = digest.strip_prefix('/')?.parse().ok()?;
    Some(to.join(BLOBS).join(ALGORITHM).join(digest.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Import;

    fn store(folder: &Path) -> Store {
        Store::open(folder).unwrap()
    }

    #[test]
    fn a_build_goes_through_a_pipe_and_arrives_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| store(&folder.path().join(name)));
        let (code, vars) = (vec![7; 8192], vec![9; 4096]);
        let id = one
            .import(&Import {
                code: &code,
                vars_template: Some(&vars),
                name: Some("a build"),
                ..Import::default()
            })
            .unwrap()
            .id;
        let mut stream = Vec::new();
        one.export_stream(&id, &mut stream).unwrap();
        let arrived = other.import_stream(&mut stream.as_slice()).unwrap();
        assert_eq!((arrived.id, arrived.new), (id, true));
        let build = other.build(&id).unwrap().unwrap();
        assert_eq!(build.name.as_deref(), Some("a build"));
        assert_eq!(std::fs::read(build.code.path).unwrap(), code);
        assert_eq!(build.manifest, one.build(&id).unwrap().unwrap().manifest);
        for len in (0..stream.len() - 2 * BLOCK_BYTES).step_by(509) {
            let cut = store(&folder.path().join("cut"));
            let error = cut.import_stream(&mut &stream[..len]).unwrap_err();
            assert!(matches!(error, Error::Stream { .. }), "{len}: {error}");
        }
    }

    #[test]
    fn what_is_no_layout_is_not_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        for name in [
            "../evil",
            "/etc/passwd",
            "blobs/sha256/../../x",
            "blobs/sha256/12",
            "index.json/x",
        ] {
            let mut stream = Vec::new();
            append(&mut stream, name, b"x").unwrap();
            let error = store.import_stream(&mut stream.as_slice()).unwrap_err();
            assert!(matches!(error, Error::Stream { .. }), "{name}: {error}");
        }
        let mut endless = io::repeat(b'x');
        assert!(store.import_stream(&mut endless).is_err());
    }
}
