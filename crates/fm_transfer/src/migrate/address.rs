//! Where the stream goes: the address that was given, or a private Unix socket that both QEMUs see.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::{fs, io};

use fm_host::monitor::Description;
use tempfile::TempDir;

use crate::error::migrate::Error;

/// The socket of a relay, in the private folder.
const RELAY: &str = "relay";

/// Where the stream goes, and the private folder that vanishes with it.
pub(super) struct Address {
    pub(super) uri: String,
    /// The socket of a relay for the source, and the user and group that it is for.
    pub(super) relay: Option<(PathBuf, (u32, u32))>,
    folder: Option<TempDir>,
}

impl Address {
    /// The given address, or a Unix socket in a folder that only the user of both QEMUs can enter: what
    /// nobody asked to be on a network does not get there.
    pub(super) fn choose(given: Option<&str>, from: &Description, to: &Description) -> Result<Self, Error> {
        if let Some(uri) = given {
            return Ok(Self {
                uri: uri.to_owned(),
                relay: None,
                folder: None,
            });
        }
        let no = |why: String| Error::NoUri { why };
        let (Some(source), Some(destination)) = (from.pid, to.pid) else {
            return Err(no("one of the two QEMUs does not run on this host".into()));
        };
        let owner = |pid: u32| fs::metadata(proc_of(pid)).map(|process| (process.uid(), process.gid()));
        let (Ok(owner), Ok(other)) = (owner(source), owner(destination)) else {
            return Err(no("one of the two QEMUs has just ended".into()));
        };
        if owner != other {
            return Err(no(format!(
                "the two QEMUs run as different users ({} and {})",
                owner.0, other.0
            )));
        }
        let folder =
            private_folder(owner).map_err(|error| no(format!("no private folder can be made: {error}")))?;
        for (pid, end) in [(source, "source"), (destination, "destination")] {
            sees(pid, folder.path()).map_err(|why| no(format!("the {end}'s QEMU (pid {pid}) {why}")))?;
        }
        Ok(Self {
            uri: format!("unix:{}", folder.path().join("stream").display()),
            relay: Some((folder.path().join(RELAY), owner)),
            folder: Some(folder),
        })
    }

    /// The same with a socket for a relay, which the source has to see.
    pub(super) fn with_relay(
        given: Option<&str>,
        from: &Description,
        to: &Description,
    ) -> Result<Self, Error> {
        let mut address = Self::choose(given, from, to)?;
        if address.folder.is_some() {
            return Ok(address);
        }
        let no = |why: String| Error::NoUri { why };
        let source = from
            .pid
            .ok_or_else(|| no("the relay has to run on the source's host, and this is another".into()))?;
        let owner = fs::metadata(proc_of(source))
            .map(|process| (process.uid(), process.gid()))
            .map_err(|_| no("the source's QEMU has just ended".into()))?;
        let folder =
            private_folder(owner).map_err(|error| no(format!("no private folder can be made: {error}")))?;
        sees(source, folder.path()).map_err(|why| no(format!("the source's QEMU (pid {source}) {why}")))?;
        address.relay = Some((folder.path().join(RELAY), owner));
        address.folder = Some(folder);
        Ok(address)
    }
}

fn proc_of(pid: u32) -> PathBuf {
    format!("/proc/{pid}").into()
}

/// A folder that only this user and group can enter.
fn private_folder((uid, gid): (u32, u32)) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("flashmoor-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    let own = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if (uid, gid) != own {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    Ok(folder)
}

/// Fails where a process finds another folder under this path than we do, or none: it has another root, or another mount
/// namespace, as a service with a private `/tmp` has.
fn sees(pid: u32, folder: &Path) -> Result<(), String> {
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let relative = folder.strip_prefix("/").unwrap_or(folder);
    match (
        identity(&proc_of(pid).join("root").join(relative)),
        identity(folder),
    ) {
        (Ok(there), Ok(here)) if there == here => Ok(()),
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => Err(format!(
            "may see another file system than this command, which may not look: {error}"
        )),
        _ => Err(format!(
            "sees another file system than this command: its root or mount namespace has no {}",
            folder.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_of_the_same_root_sees_the_folder_and_one_that_has_ended_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(sees(child.id(), folder.path()), Ok(()));
        let other = folder.path().join("none");
        assert!(
            sees(child.id(), &other)
                .unwrap_err()
                .contains("another file system")
        );
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(sees(child.id(), folder.path()).is_err());
    }
}
