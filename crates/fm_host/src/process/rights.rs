//! What the user of a process may see: whatever a process names is looked at with these rights, not with ours.
//!
//! A process says itself which files its firmware is in. Root would read any of them, and tell others what they hold.

use std::io;
use std::thread;

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The user that a process belongs to, and the groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Rights {
    /// From the text of `/proc/PID/status`. It is the real user who started it and says what it says, whatever its
    /// program may do in addition; the owner of its folder in /proc is root for a program that hides.
    pub(super) fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let number = |name| field(name)?.split_ascii_whitespace().next()?.parse().ok();
        let groups = field("Groups").unwrap_or_default().split_ascii_whitespace();
        Some(Self {
            uid: number("Uid")?,
            gid: number("Gid")?,
            groups: groups.filter_map(|group| group.parse().ok()).collect(),
        })
    }

    /// The user.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// What `look` sees with these rights. Whoever is not root has no others than his own anyway.
    ///
    /// # Errors
    /// As `look`, or the kernel's answer if the rights cannot be taken: nothing is looked at then.
    pub(crate) fn with<T: Send>(&self, look: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        if self.uid == 0 || !rustix::process::geteuid().is_root() {
            return look();
        }
        // The kernel has users for each thread; this one ends with what it became.
        thread::scope(|scope| {
            let looking = thread::Builder::new().spawn_scoped(scope, || {
                let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
                set_thread_groups(&groups)?;
                let gid = Gid::from_raw(self.gid);
                set_thread_res_gid(gid, gid, gid)?;
                let uid = Uid::from_raw(self.uid);
                set_thread_res_uid(uid, uid, uid)?;
                look()
            })?;
            match looking.join() {
                Ok(seen) => seen,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const STATUS: &str =
        "Name:\tqemu\nUid:\t64055\t0\t0\t0\nGid:\t108\t108\t108\t108\nFDSize:\t64\nGroups:\t5 36 108 \n";

    #[test]
    fn the_real_user_counts_and_not_what_a_program_may_become() {
        let rights = Rights::parse(STATUS).unwrap();
        assert_eq!((rights.uid, rights.gid), (64055, 108));
        assert_eq!(rights.groups, [5, 36, 108]);
        assert_eq!(Rights::parse("Name:\tqemu\n"), None);
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert_eq!(
            Rights::parse(&own).unwrap().uid,
            rustix::process::getuid().as_raw()
        );
    }

    #[test]
    fn with_the_rights_of_another_only_what_he_may_see_is_seen_and_ours_stay_ours() {
        if !rustix::process::geteuid().is_root() {
            return; // nobody else may become another
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let modes = [("secret", 0o600), ("group", 0o640), ("public", 0o644)];
        for (name, mode) in modes {
            fs::write(path(name), name).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::chown(path("group"), None, Some(4242)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let rights = |groups: &[u32]| Rights {
            uid: 65_534,
            gid: 65_534,
            groups: groups.to_vec(),
        };
        let sees = |rights: &Rights, name: &str| rights.with(|| File::open(path(name))).is_ok();
        for (name, expected) in [("secret", false), ("group", false), ("public", true)] {
            assert_eq!(sees(&rights(&[]), name), expected, "{name}");
        }
        assert!(sees(&rights(&[4242]), "group"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(
            !sees(&rights(&[]), "public"),
            "behind a folder that he may not enter"
        );
        assert!(File::open(path("secret")).is_ok());
    }
}
