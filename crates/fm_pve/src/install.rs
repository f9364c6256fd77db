//! The hookscript on this node.

use std::path::{Path, PathBuf};

use fm_files::{Place, create_folders};

use crate::{Error, Result, tools};

/// The hookscript's volume: the same on every node, because every node has a `local`.
pub(crate) const VOLUME: &str = "local:snippets/flashmoor";

/// Puts the hookscript in place, which calls `program`; not in a dry run. Gives back its path.
///
/// # Errors
/// If the storage has no snippets, or the file cannot be written.
pub fn install(program: &Path, dry_run: bool) -> Result<PathBuf> {
    let path = PathBuf::from(tools::path(VOLUME)?);
    if !path.is_absolute() {
        return Err(Error::NotLocal {
            volume: VOLUME.into(),
            path: path.display().to_string(),
        });
    }
    if dry_run {
        return Ok(path);
    }
    let script = format!(
        "#!/bin/sh\n# Puts the firmware of adopted guests in place before they start, then calls the hookscript that was \
         there before.\nexec {} pve hook \"$1\" \"$2\"\n",
        fm_files::quote(&program.display().to_string())
    );
    create_folders(path.parent().unwrap_or(Path::new("/")))?;
    Place::at(&path)?.write(script.as_bytes(), 0o755)?;
    Ok(path)
}
