//! Whether a running program has a file open for writing: QEMU's image locks, and what /proc shows.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::image_lock::{PERM_BASE, SHARED_BASE, query};

/// Who has `file` open for writing, if anybody but this process does.
#[must_use]
pub fn holder(file: &File) -> Option<String> {
    if let Some(by_proc) = writer_in_proc(file) {
        return Some(by_proc);
    }
    image_lock(file)
}

/// What is known of another process's QEMU lock on `file`. QEMU's are locks of an open file, which belong to no
/// process: their pid reads -1, which is why rustix's query is not used.
pub(crate) fn image_lock(file: &File) -> Option<String> {
    // It also finds the locks of processes that could not have locks of open files.
    let mut query = query(libc::F_WRLCK, PERM_BASE, SHARED_BASE);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut query)).ok()?;
    if i32::from(query.l_type) == libc::F_UNLCK {
        return None;
    }
    Some(match query.l_pid {
        pid @ 1.. => format!("a process that holds QEMU's image lock (pid {pid})"),
        _ => "a process that holds QEMU's image lock".into(),
    })
}

/// The first process whose descriptor is this very file, opened for writing.
fn writer_in_proc(file: &File) -> Option<String> {
    let own = file.metadata().ok()?;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name();
        let Some(pid) = pid
            .to_str()
            .filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        if pid == std::process::id().to_string() {
            continue;
        }
        // Others' descriptors are not ours to see without privilege; the locks still tell.
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let same = fs::metadata(descriptor.path()).is_ok_and(|other| is_same(&own, &other));
            if same && is_writable(pid, &descriptor.file_name().to_string_lossy()) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(format!("{} (pid {pid})", name.trim_end()));
            }
        }
    }
    None
}

/// A device has many names, each a file of its own, and one number.
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    if one.file_type().is_block_device() {
        return other.file_type().is_block_device() && one.rdev() == other.rdev();
    }
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// `flags` of fdinfo is octal; the two low bits are the access mode.
fn is_writable(pid: &str, descriptor: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"))
        .ok()
        .and_then(|info| {
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
            u64::from_str_radix(flags.trim(), 8).ok()
        })
        .is_some_and(|flags| flags & 3 != 0)
}
