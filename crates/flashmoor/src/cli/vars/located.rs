//! Where the store that is named lies, and where its backups go.

use std::path::{Path, PathBuf};

use fm_variables::Journal;

use super::{Context, Result};

/// The file or device that is meant, and how much of it is a guest's flash where that is known: `pve:100` is what Proxmox
/// guest 100 of this node has its variables on.
pub(super) fn located(named: &Path) -> Result<(PathBuf, Option<u64>)> {
    let id = named
        .to_str()
        .and_then(|text| text.strip_prefix("pve:")?.parse().ok());
    match id {
        Some(id) => {
            let volume = fm_pve::vars_volume(&crate::cli::pve::cluster(), id)?;
            Ok((volume.path, Some(volume.size_bytes)))
        }
        None => Ok((named.to_owned(), None)),
    }
}

/// Where backups of block devices are kept; nothing if the store cannot be used, which does not matter to files.
pub(super) fn journal(context: &Context) -> Option<Journal> {
    context.store().ok().map(|store| Journal::in_store(store.path()))
}

/// The store to be read, and a word about a write to it that was interrupted: it holds half of that.
pub(super) fn to_read(context: &Context, named: &Path) -> Result<PathBuf> {
    let (path, _) = located(named)?;
    // Who may not look into the backups' folder is not told.
    let pending = journal(context).and_then(|journal| journal.pending_at(&path).ok()?);
    if let Some(pending) = pending {
        context.output.remark(format_args!(
            "a write of {} to {} was interrupted: the next command that changes it finishes or undoes it",
            pending.since,
            path.display()
        ));
    }
    Ok(path)
}
