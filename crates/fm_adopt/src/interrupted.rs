//! Writes to block devices that were interrupted: told by whoever lists guests, and settled before anything starts on
//! them.

use std::path::{Path, PathBuf};

use fm_variables::Journal;

/// A sentence for each, of the store at `store` or else the default one.
#[must_use]
pub fn remarks(store: Option<&Path>) -> Vec<String> {
    let Ok(store) = fm_store::verbs::open(store) else {
        return Vec::new();
    };
    // Who may not look into the folder of another user's store has no device to tell of either.
    let pending = Journal::in_store(store.path()).pending().unwrap_or_default();
    pending
        .into_iter()
        .map(|pending| {
            format!(
                "a write of {} to {} was interrupted: the next command that changes it, the agent or a hook finishes or \
                 undoes it",
                pending.since,
                pending.path.display()
            )
        })
        .collect()
}

/// Why a guest must not start whose definition names one of the devices: it holds half a store, and that can be neither
/// finished nor undone now.
pub fn in_the_way(store: &Path, names: impl Fn(&Path) -> bool) -> Option<(PathBuf, fm_variables::Error)> {
    let journal = Journal::in_store(store);
    let pending = journal.pending().unwrap_or_default().into_iter();
    pending
        .filter(|pending| names(&pending.path))
        .find_map(|pending| match journal.settle(&pending.path) {
            Ok(_) => None,
            Err(error) => Some((pending.path, error)),
        })
}
