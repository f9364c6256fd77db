//! Firmware builds by digest in an OCI image layout on disk, and the landings of guests to come.
//!
//! ```text
//! STORE/
//!   oci-layout  index.json  blobs/sha256/<hex>   the layout: skopeo and oras read and copy it
//!   builds/sha256-<hex>/CODE.fd                  hard link of the blob: the path for QEMU
//!                       VARS.fd descriptor.json  the build's template and firmware descriptor, if known
//!                       VARS-sha256-<hex>.fd     every template that guests of it were made from
//!   landings/<landing>/CODE.fd landing.json      where an incoming guest's CODE lands
//!   tmp/  lock                                   work in progress, one writer at a time
//! ```
//!
//! Every change is made in `tmp/`, synced, and renamed into place: blobs first, then the build's folder,
//! the index last. A process that dies in between leaves at worst something that nothing refers to, which
//! the next writer or [`Store::collect`] clears away.

#![forbid(unsafe_code)]

mod aside;
mod build;
#[cfg(test)]
mod crash;
mod error;
mod export;
mod gc;
mod gc_root;
mod import;
mod landing;
mod layout;
mod lock;
mod oci;
mod pin;
mod pull;
mod tar_stream;
mod uptime;
pub mod verbs;
mod verify;

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use build::{Build, StoredFile, Unreadable, build_of_path, code_path};
pub use error::Error;
pub use gc::{Collect, Collected, Kept, Removed};
pub use gc_root::{GcRoot, GcRoots};
pub use import::{Import, Imported};
pub use landing::{Landing, NewLanding};
pub use verify::{Finding, Severity, Verification};

pub use fm_formats::image::MAX_FLASH_BYTES;

use fm_files::Folder;
use layout::Layout;
use lock::Lock;

/// What every operation of the store returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The largest firmware descriptor that is accepted; real ones have some 1 KiB.
pub const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;

pub(crate) const BUILDS: &str = "builds";
pub(crate) const LANDINGS: &str = "landings";
pub(crate) const TMP: &str = "tmp";
/// What other rooms keep in a store's folder, maybe before there is a build: names of builds, what may be lost
/// at any time, what the agent and the hook write down, backups of variables that lie on block devices, and CODE of
/// Proxmox's guests, room for which a migration may need on a node that has stored nothing yet.
pub(crate) const NEIGHBOURS: [&str; 9] = [
    "catalogue.tsv",
    "cache",
    "fleet",
    "server",
    "libvirt",
    "variables",
    "pve",
    UPDATES,
    GUARD_MEMORY,
];
/// Records of updates of running guests, one file a guest.
pub const UPDATES: &str = "updates";
/// What the guard remembers from before an upgrade for after it.
pub const GUARD_MEMORY: &str = "guard.json";

/// A store in a folder. The folder comes into being with the first write; until then the store is empty.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    lock_timeout: Duration,
    is_dry_run: bool,
}

/// The store as a change finds it.
pub(crate) enum Access {
    /// To be changed.
    Change(Writer),
    /// For a dry run, to be looked at alone; nothing if it is empty and was never written.
    Look(Option<Layout>),
}

impl Access {
    pub(crate) fn layout(&self) -> Option<&Layout> {
        match self {
            Self::Change(writer) => Some(&writer.layout),
            Self::Look(layout) => layout.as_ref(),
        }
    }

    pub(crate) fn writer(&self) -> Option<&Writer> {
        match self {
            Self::Change(writer) => Some(writer),
            Self::Look(_) => None,
        }
    }

    /// A folder of the store; nothing if a dry run finds none.
    pub(crate) fn folder(&self, name: &str) -> Result<Option<Folder>> {
        Ok(match self {
            Self::Change(writer) => Some(writer.layout.root.sub_or_create(name)?),
            Self::Look(layout) => match layout {
                Some(layout) => layout.root.sub(name)?,
                None => None,
            },
        })
    }
}

/// The store while this process may change it.
pub(crate) struct Writer {
    pub(crate) layout: Layout,
    pub(crate) tmp: Folder,
    _lock: Lock,
}

impl Store {
    /// The store in the folder `path`, which need not exist yet.
    ///
    /// # Errors
    /// [`Error::NotAStore`] if the folder holds other things, [`Error::OpenToAll`] if anyone may write to it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let store = Self {
            path: path.into(),
            lock_timeout: Duration::from_secs(10),
            is_dry_run: false,
        };
        store.reader()?;
        Ok(store)
    }

    /// The same store, waiting at most `patience` for other writers instead of ten seconds.
    #[must_use]
    pub fn with_lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.lock_timeout = lock_timeout;
        self
    }

    /// The same store; in a dry run, what changes it checks and tells what it would do, and does nothing.
    #[must_use]
    pub fn with_dry_run(mut self, is_dry_run: bool) -> Self {
        self.is_dry_run = is_dry_run;
        self
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    /// The store's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The layout for reading; nothing if the store is empty and was never written.
    pub(crate) fn reader(&self) -> Result<Option<Layout>> {
        let Some(root) = Folder::open(&self.path)? else {
            return Ok(None);
        };
        if root.is_open_to_all()? {
            return Err(Error::OpenToAll {
                path: self.path.clone(),
            });
        }
        match Layout::open(root)? {
            Ok(layout) => Ok(Some(layout)),
            Err(root) => {
                // A writer that died while it made the store leaves some of these and no mark; neighbours
                // may have moved in before there was a store.
                let ours = [BUILDS, LANDINGS, TMP, lock::NAME, layout::INDEX, layout::BLOBS];
                // So may what one of them had not finished when it was killed.
                let foreign = root.names()?.into_iter().any(|found| {
                    !fm_files::is_unfinished(&found)
                        && !ours.iter().chain(&NEIGHBOURS).any(|name| found == *name)
                });
                if foreign {
                    Err(Error::NotAStore {
                        path: self.path.clone(),
                    })
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// The store for a change, or for saying what one would do.
    pub(crate) fn access(&self) -> Result<Access> {
        Ok(match self.is_dry_run {
            true => Access::Look(self.reader()?),
            false => Access::Change(self.writer()?),
        })
    }

    /// The store for writing: made if need be, locked, and cleared of what a dead writer left half-way.
    pub(crate) fn writer(&self) -> Result<Writer> {
        if self.is_dry_run {
            return Err(Error::DryRun);
        }
        self.reader()?;
        let root = match Folder::open(&self.path)? {
            Some(root) => root,
            None => self.make()?,
        };
        let lock = Lock::take(&root, self.lock_timeout)?;
        let tmp = root.sub_or_create(TMP)?;
        aside::recover(&root, &tmp)?;
        for entry in tmp.entries()? {
            tmp.remove_all(&entry)?;
        }
        let layout = Layout::create(root, &tmp)?;
        Ok(Writer {
            layout,
            tmp,
            _lock: lock,
        })
    }

    fn make(&self) -> Result<Folder> {
        let failed = |source| Error::Io {
            action: "create",
            path: self.path.clone(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.path)
            .map_err(failed)?;
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&self.path, readable).map_err(failed)?;
        Folder::open(&self.path)?.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
    }
}

/// Now, in the form of RFC 3339 with whole seconds.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}
