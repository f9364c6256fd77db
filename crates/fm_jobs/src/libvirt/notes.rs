//! What the hook tells the agent: that something happened. Which guests there are, it sees by itself.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_store::Store;

use super::FOLDER;

fn path(store: &Path) -> PathBuf {
    store.join(FOLDER).join("agent.sock")
}

/// Wakes the agent of this store; if there is none, nobody misses anything.
pub(super) fn tell(store: &Path, what: &str) {
    let Ok(socket) = UnixDatagram::unbound() else {
        return;
    };
    if socket.set_nonblocking(true).is_ok() {
        let _ = socket.send_to(what.as_bytes(), path(store));
    }
}

/// The agent's end.
#[derive(Debug)]
pub(crate) struct Notes {
    socket: UnixDatagram,
}

/// Listens for notes to the agent of `store`.
pub(crate) fn notes(store: &Store) -> crate::Result<Notes> {
    let path = path(store.path());
    let failed = |source| crate::Error::file("listen at", &path, source);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // The caller holds the agent's lock: a socket that is there belongs to nobody.
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).map_err(failed)?;
    Ok(Notes { socket })
}

impl Notes {
    /// Waits for a note, at most that long. Many notes count as one.
    pub(crate) fn wait(&self, most: Duration) {
        let mut note = [0; 256];
        let most = most.max(Duration::from_millis(1));
        if self.socket.set_read_timeout(Some(most)).is_err() || self.socket.recv(&mut note).is_err() {
            return;
        }
        if self.socket.set_nonblocking(true).is_ok() {
            while self.socket.recv(&mut note).is_ok() {}
            let _ = self.socket.set_nonblocking(false);
        }
    }

    /// A second end, to wake the agent from a thread of its own.
    pub(crate) fn waker(&self, store: &Store) -> impl Fn() + Send + 'static {
        let store = store.path().to_owned();
        move || tell(&store, "event")
    }
}
