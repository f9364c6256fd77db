//! The lock that an agent holds on its store: by it the next one is kept out, and others know who serves.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use fm_remedy::{Action, Misuse, Remedy};
use fm_store::Store;
use rustix::fs::{FlockOperation, flock};

use crate::{Error, Result};

/// The pid of the agent that serves this store, if one does.
pub fn serving(store: &Store) -> Option<u32> {
    let mut file = File::open(lock_path(store)).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).ok()?;
            pid.trim().parse().ok()
        }
    }
}

fn lock_path(store: &Store) -> PathBuf {
    store.path().join("libvirt").join("agent.lock")
}

/// One agent a store; the kernel lets go of it however the agent ends.
#[derive(Debug)]
pub struct AgentLock(#[expect(dead_code, reason = "held, and closed at the end")] File);

impl AgentLock {
    /// Takes the lock of this store.
    ///
    /// # Errors
    /// If another agent has it, or its file cannot be written.
    pub fn take(store: &Store) -> Result<Self> {
        let path = lock_path(store);
        let failed = |source| Error::file("write", &path, source);
        if let Some(folder) = path.parent() {
            fm_files::create_folders(folder)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        // Whoever may read it may lock it, and keep the agent out.
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(failed)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(Error::Usage(Misuse {
                message: format!("an agent (pid {}) serves this store already", pid.trim()),
                remedy: Remedy::new("one is enough; see how it stands", Action::LibvirtStatus),
            }));
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self(file))
    }
}
