//! `saved extract`: blocks of a stream become files.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fm_formats::stream::BlockKind;
use schemars::JsonSchema;
use serde::Serialize;

use super::Error;
use super::file::{NewFile, failed};
use crate::Result;
use crate::stream::{self, Gathered};

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

/// `flashmoor/saved-extract/1`: what was taken out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Extracted {
    /// `flashmoor/saved-extract/1`.
    pub schema: String,
    /// Whether the stream is whole; every file written is, in any case.
    pub stream_complete: bool,
    /// The files, in the order in which they were asked for.
    pub files: Vec<ExtractedFile>,
}

/// A block that is a file now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExtractedFile {
    /// QEMU's name of the block.
    pub block: String,
    /// The file.
    pub path: PathBuf,
    /// Its length; zeros take no room on disk.
    pub size_bytes: u64,
    /// Its digest; of CODE, the build's id.
    pub sha256: String,
}

/// Writes the blocks that were asked for to new files.
///
/// # Errors
/// If the input holds no stream or not all of a block, a file exists already, or the disk refuses.
/// Nothing is written unless every block is there.
pub fn extract(request: &Extract) -> Result<Extracted> {
    let outputs = request.code.iter().chain(&request.vars);
    for path in outputs.chain(request.blocks.iter().map(|(_, path)| path)) {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: path.clone() }.into());
        }
    }
    let mut input = request.input.clone();
    input
        .blocks
        .extend(request.blocks.iter().map(|(name, _)| name.clone()));
    let gathered = stream::gather(&input)?;
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
    let files = found
        .into_iter()
        .map(|(index, path)| write(&gathered, index, path))
        .collect::<Result<_>>()?;
    Ok(Extracted {
        schema: "flashmoor/saved-extract/1".into(),
        stream_complete: gathered.stopped.is_none(),
        files,
    })
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
        }
        .into());
    };
    if gathered.sha256(index).is_none() {
        return Err(Error::Incomplete {
            path: gathered.path.clone(),
            block: gathered
                .facts
                .blocks
                .get(index)
                .map_or_else(String::new, |block| block.name.clone()),
            source: gathered.stopped.clone(),
        }
        .into());
    }
    Ok(index)
}

/// Writes a whole block to the new file `path`.
pub(super) fn write(gathered: &Gathered, index: usize, path: &Path) -> Result<ExtractedFile> {
    let block = &gathered.facts.blocks[index];
    let new = NewFile::create(path)?;
    let mut at = 0;
    for piece in gathered.pieces(index).into_iter().flatten() {
        if piece.iter().any(|byte| *byte != 0) {
            new.file.write_all_at(piece, at).map_err(failed("write", path))?;
        }
        at += piece.len() as u64;
    }
    new.file
        .set_len(block.size_bytes)
        .map_err(failed("write", path))?;
    // Variables may be secret, CODE never is; libvirt makes its VARS files 0600 as well.
    if block.kind != BlockKind::Vars {
        let readable = std::fs::Permissions::from_mode(0o644);
        new.file
            .set_permissions(readable)
            .map_err(failed("write", path))?;
    }
    new.place(false)?;
    Ok(ExtractedFile {
        block: block.name.clone(),
        path: path.to_owned(),
        size_bytes: block.size_bytes,
        sha256: gathered
            .sha256(index)
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
    })
}
