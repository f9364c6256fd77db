//! `saved extract`: blocks of a stream become files.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fm_api::Schema;
use fm_api::v1::saved::{ExtractedBlock, SavedExtract};
use fm_formats::volume::VolumeHeader;
use fm_formats::{Reader, Sha256};
use fm_stream::{Block, BlockKind};
use sha2::Digest as _;

use crate::file::{NewFile, failed};
use crate::stream::{self, Gathered};
use crate::{Error, Result};
use fm_remedy::Misuse;

/// What to take out, and where to put it.
#[derive(Debug, Clone, Default)]
pub struct Extract {
    /// The stream.
    pub input: stream::Request,
    /// Where CODE goes.
    pub code: Option<PathBuf>,
    /// Where VARS goes.
    pub vars: Option<PathBuf>,
    /// Blocks by name, and where each goes.
    pub blocks: Vec<(String, PathBuf)>,
}

/// Writes the blocks that were asked for to new files.
///
/// # Errors
/// If the input holds no stream or not all of a block, a file exists already, or the disk refuses.
/// Nothing is written unless every block is there and every file can be made.
pub fn extract(request: &Extract) -> Result<SavedExtract> {
    let outputs = request.code.iter().chain(&request.vars);
    for path in outputs.chain(request.blocks.iter().map(|(_, path)| path)) {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: path.clone() });
        }
    }
    // Guest memory may be larger than ours: what was named goes to its file as it comes.
    let mut streamed: BTreeMap<&str, NewFile> = BTreeMap::new();
    let mut sinks = BTreeMap::new();
    for (name, path) in &request.blocks {
        if is_kept(name) {
            continue;
        }
        let new = NewFile::create(path)?;
        let sink = new.file.try_clone().map_err(failed("create", path))?;
        if streamed.insert(name, new).is_some() {
            return Err(crate::Error::Usage(Misuse {
                message: format!("the block {name} was named twice"),
                remedy: "name it once, and copy the file".into(),
            }));
        }
        sinks.insert(name.clone(), sink);
    }
    let gathered = stream::gather_into(&request.input, sinks)?;
    let mut found: Vec<(usize, &Path)> = Vec::new();
    for (path, kind, what) in [
        (&request.code, BlockKind::Code, "CODE flash"),
        (&request.vars, BlockKind::Vars, "VARS flash"),
    ] {
        if let Some(path) = path {
            found.push((whole(&gathered, gathered.first_of(kind), what)?, path));
        }
    }
    for (name, path) in &request.blocks {
        found.push((whole(&gathered, gathered.index_of(name), name)?, path));
    }
    let mut written = Vec::new();
    for (index, path) in found {
        let name = gathered.facts.blocks[index].name.as_str();
        written.push(match streamed.remove(name).filter(|_| !is_kept(name)) {
            Some(new) => finish(&gathered, index, path, new)?,
            None => write(&gathered, index, path)?,
        });
    }
    let files = written
        .into_iter()
        .map(|(new, file)| new.place().map(|()| file))
        .collect::<Result<_>>()?;
    Ok(SavedExtract {
        schema: Schema::default(),
        stream_complete: gathered.stopped.is_none(),
        files,
    })
}

/// Whether a block of that name is kept in memory while it is read: CODE and VARS, which others need as well.
fn is_kept(name: &str) -> bool {
    matches!(BlockKind::of(name), BlockKind::Code | BlockKind::Vars)
}

/// Gives a block that went straight to its file its length and its digest.
fn finish(gathered: &Gathered, index: usize, path: &Path, new: NewFile) -> Result<(NewFile, ExtractedBlock)> {
    let block = &gathered.facts.blocks[index];
    let mut hasher = sha2::Sha256::new();
    new.file
        .set_len(block.size_bytes)
        .map_err(failed("write", path))?;
    let mut buffer = vec![0u8; 128 << 10];
    let mut at = 0;
    loop {
        let read = new.file.read_at(&mut buffer, at).map_err(failed("read", path))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    let digest = Sha256::from_bytes(hasher.finalize().into());
    Ok((new, extracted(block, path, digest)))
}

/// A block that is a file now.
fn extracted(block: &Block, path: &Path, digest: Sha256) -> ExtractedBlock {
    ExtractedBlock {
        block: block.name.clone(),
        path: path.to_owned(),
        size_bytes: block.size_bytes,
        sha256: digest.to_string(),
    }
}

/// The block at `index`, checked to be there whole.
pub(super) fn whole(gathered: &Gathered, index: Option<usize>, wanted: &str) -> Result<usize> {
    let Some(index) = index else {
        return Err(Error::NoBlock {
            path: gathered.path.clone(),
            wanted: wanted.into(),
            have: gathered
                .facts
                .blocks
                .iter()
                .map(|block| block.name.clone())
                .collect(),
        });
    };
    let name = || gathered.facts.blocks[index].name.clone();
    if gathered.is_whole(index) {
        return Ok(index);
    }
    let path = gathered.path.clone();
    Err(match gathered.is_refused(index) {
        true => Error::TooMuch { path, block: name() },
        false => Error::Incomplete {
            path,
            block: name(),
            source: gathered.stopped.clone(),
        },
    })
}

/// Whether a block starts with a volume of variables: VARS, or a combined image that is both.
pub(super) fn holds_variables(gathered: &Gathered, index: usize) -> bool {
    let first = gathered.pieces(index).into_iter().flatten().next();
    first
        .and_then(|piece| VolumeHeader::parse(&mut Reader::new(piece)).ok())
        .is_some_and(|header| header.file_system == VolumeHeader::NV_DATA)
}

/// Writes a whole block to a new file for `path`, which is not placed yet.
pub(super) fn write(gathered: &Gathered, index: usize, path: &Path) -> Result<(NewFile, ExtractedBlock)> {
    let block = &gathered.facts.blocks[index];
    let new = NewFile::create(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut at = 0;
    for piece in gathered.pieces(index).into_iter().flatten() {
        hasher.update(piece);
        if piece.iter().any(|byte| *byte != 0) {
            new.file.write_all_at(piece, at).map_err(failed("write", path))?;
        }
        at += piece.len() as u64;
    }
    new.file
        .set_len(block.size_bytes)
        .map_err(failed("write", path))?;
    // Variables and memory may be secret, firmware never is; libvirt makes its VARS files 0600 as well.
    let is_secret =
        matches!(block.kind, BlockKind::Vars | BlockKind::Memory) || holds_variables(gathered, index);
    if !is_secret {
        let readable = std::fs::Permissions::from_mode(0o644);
        new.file
            .set_permissions(readable)
            .map_err(failed("write", path))?;
    }
    let digest = Sha256::from_bytes(hasher.finalize().into());
    Ok((new, extracted(block, path, digest)))
}
