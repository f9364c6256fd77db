//! One writer at a time: an advisory lock on the store's lock file, waited for within a bound.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::time::{Duration, Instant};

use fm_files::Folder;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Error, Result};

pub(crate) const NAME: &str = "lock";

/// The right to change the store, until it is dropped; the kernel gives it back if the process dies.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock, waiting at most `patience`.
    pub(crate) fn take(root: &Folder, lock_timeout: Duration) -> Result<Self> {
        Self::wait(root.lock_file(NAME)?, root, lock_timeout)
    }

    /// Takes the lock of a layout that builds are exported into: a store's own, or the folder itself, so that nothing
    /// is left in somebody else's layout.
    pub(crate) fn take_target(root: &Folder, lock_timeout: Duration) -> Result<Self> {
        if root.stat(NAME)?.is_some() {
            return Self::take(root, lock_timeout);
        }
        Self::wait(root.as_file()?, root, lock_timeout)
    }

    fn wait(mut file: File, root: &Folder, lock_timeout: Duration) -> Result<Self> {
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < lock_timeout => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    let mut pid = String::new();
                    let _ = file.take(16).read_to_string(&mut pid);
                    return Err(Error::Busy {
                        path: root.path().to_owned(),
                        pid: pid.trim().parse().ok(),
                        waited_ms: u64::try_from(lock_timeout.as_millis()).unwrap_or(u64::MAX),
                    });
                }
                Err(errno) => {
                    return Err(Error::Io {
                        action: "lock",
                        path: root.join(NAME),
                        source: errno.into(),
                    });
                }
            }
        }
        // Only for the message of whoever waits: a disk too full for it does not matter. What is no lock of ours stays.
        let mut held = Vec::new();
        let read = (&mut file).take(16).read_to_end(&mut held);
        if read.is_err() || !held.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\n') {
            return Ok(Self(file));
        }
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}
