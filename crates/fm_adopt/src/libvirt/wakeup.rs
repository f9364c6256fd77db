//! How the hook wakes the agent: something has happened. Which guests there are, the agent sees by itself.
//!
//! A note is a file that somebody opened to write and closed again. The hook's script can do that without starting a
//! program, and nobody who does it ever waits.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_store::Store;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::FOLDER;

/// The file, in the folder of a store's root.
pub(super) const NOTES: &str = "libvirt/notes";

/// Wakes the agent of this store; if there is none, nobody misses anything.
pub(super) fn notify_agent(store: &Path) {
    // Only the agent makes it: a store that is not there is not made for a note.
    let _ = OpenOptions::new().append(true).open(store.join(NOTES));
}

/// The agent's end.
#[derive(Debug)]
pub struct Wakeup {
    /// Nothing if the system has no more of these: then the agent looks when it would look anyway.
    inotify: Option<OwnedFd>,
}

/// Listens for notes to the agent of `store`.
pub fn wakeup(store: &Store) -> crate::Result<Wakeup> {
    let path: PathBuf = store.path().join(NOTES);
    let failed = |source| crate::Error::file("write", &path, source);
    fm_files::create_folders(&store.path().join(FOLDER))?;
    let file = OpenOptions::new().append(true).create(true).open(&path);
    drop(file.map_err(failed)?);
    let listen = || {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, &path, WatchFlags::CLOSE_WRITE)?;
        rustix::io::Result::Ok(inotify)
    };
    Ok(Wakeup {
        inotify: listen().ok(),
    })
}

impl Wakeup {
    /// Waits for a note, at most that long; whether one came. Many notes count as one.
    pub fn wait(&self, most: Duration) -> bool {
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(most);
            return false;
        };
        let most = most.max(Duration::from_millis(1)).try_into().ok();
        let _ = poll(&mut [PollFd::new(inotify, PollFlags::IN)], most.as_ref());
        let (mut events, mut came) = ([0; 4096], false);
        while rustix::io::read(inotify, &mut events).is_ok_and(|read| read > 0) {
            came = true;
        }
        came
    }

    /// A second end, to wake the agent from a thread of its own.
    pub fn waker(&self, store: &Store) -> impl Fn() + Send + 'static {
        let store = store.path().to_owned();
        move || notify_agent(&store)
    }
}
