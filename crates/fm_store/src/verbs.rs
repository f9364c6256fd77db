//! The store's verbs, and which store a command means.

mod contents;
mod exchange;
mod upkeep;
mod uses;

use std::env;
use std::path::{Path, PathBuf};

use fm_remedy::{Input, Misuse, Remedy};

pub use contents::{landings, list, show};
pub use exchange::{ExportForm, Import, ImportFrom, export, import};
pub use upkeep::{GcRequest, forget, gc, pin, unpin, verify};
pub use upkeep::{collect_unneeded, forget_placeholders};

use crate::{Error, Result, Store};

/// Where the store is if no other is named: `/var/lib/flashmoor` for root, the XDG data folder otherwise.
///
/// # Errors
/// [`Error::Usage`] if there is neither a data folder nor a home.
pub fn default_dir() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/flashmoor".into());
    }
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("flashmoor"))
        .ok_or_else(|| {
            Error::Usage(Misuse {
                message: "there is no place for a store: neither XDG_DATA_HOME nor HOME is set".into(),
                remedy: Remedy::give("name one", [Input::StoreFolder]),
            })
        })
}

/// The store in `dir`, or the default one. Its paths are absolute, as others are told them.
///
/// # Errors
/// If there is no default, or the folder is something else.
pub fn open(dir: Option<&Path>) -> Result<Store> {
    let dir = dir.map_or_else(default_dir, |dir| Ok(dir.to_owned()))?;
    let dir = std::path::absolute(&dir).map_err(|source| Error::Io {
        action: "find",
        path: dir,
        source,
    })?;
    Store::open(dir)
}
