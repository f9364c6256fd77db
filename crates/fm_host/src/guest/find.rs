//! Which processes are guests, and which of them somebody means.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Guest;
use crate::Error;
use crate::process::{Process, read_bounded};
use crate::version;

const PROC: &str = "/proc";
const MAX_NET_UNIX_BYTES: u64 = 64 << 20;

/// The guests of this host, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every QEMU process, ascending by pid.
    pub guests: Vec<Guest>,
    /// One line for each process that may be a guest and could not be read, or only pretends to be one.
    pub remarks: Vec<String>,
}

/// All guests of this host. Processes that end meanwhile are left out without a word.
///
/// # Errors
/// [`Error::File`] if there is no process table to read.
pub fn guests() -> Result<Listing, Error> {
    guests_in(Path::new(PROC))
}

fn guests_in(proc_dir: &Path) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    for pid in Process::pids(proc_dir)? {
        // without a status it is no running process
        let Ok(process) = Process::open(proc_dir, pid) else {
            continue;
        };
        if !is_called_qemu(&process) {
            continue;
        }
        match guest(process) {
            Ok(guest) => listing.guests.push(guest),
            Err(Error::Gone { .. }) => {}
            Err(error) => listing.remarks.push(fm_remedy::one_line(&error)),
        }
    }
    Ok(listing)
}

/// The guest of `process`, once its program is known to be QEMU, as far as that may be looked at.
fn guest(process: Process) -> Result<Guest, Error> {
    let pid = process.pid();
    match version::of(&process) {
        Ok(Some(_)) => {}
        // whose program may not be looked at is taken by its name
        Err(Error::Denied { .. }) if is_called_qemu(&process) => {}
        Ok(None) => {
            return Err(Error::NotQemu {
                pid,
                why: "its program holds no QEMU version".to_owned(),
            });
        }
        Err(error) => return Err(error),
    }
    let guest = Guest::of(process)?;
    if guest.command.program.is_empty() {
        return Err(Error::Gone { pid });
    }
    Ok(guest)
}

/// By its program's file name, or where that may not be read, by the names that everybody sees: the one that
/// the process may set (`-name …,process=`), and the one that it was called by.
fn is_called_qemu(process: &Process) -> bool {
    let is_one = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("qemu-system") || matches!(&*name, "kvm" | "qemu-kvm")
    };
    match process.exe() {
        Ok(exe) => is_one(&exe),
        Err(_) => {
            let called = || Some(process.arguments().ok()?.first()?.clone());
            process.comm().is_ok_and(|comm| is_one(Path::new(&comm)))
                || called().is_some_and(|called| is_one(Path::new(&called)))
        }
    }
}

/// The guest that `selector` means: a pid, a name, a uuid, or the path of a QMP socket.
///
/// # Errors
/// [`Error::NoGuest`], [`Error::Several`], [`Error::NotQemu`], or the kernel's answer.
pub fn find(selector: &str) -> Result<Guest, Error> {
    find_in(Path::new(PROC), selector)
}

fn find_in(proc_dir: &Path, selector: &str) -> Result<Guest, Error> {
    let listing = guests_in(proc_dir)?;
    if let Ok(pid) = selector.parse::<u32>() {
        if let Some(guest) = listing.guests.iter().find(|guest| guest.pid() == pid) {
            return Ok(guest.clone());
        }
        // a guest may be called by a number; a process of that number that is no guest comes after
        if listing.guests.iter().all(|guest| guest.name() != Some(selector)) {
            return match Process::open(proc_dir, pid) {
                Ok(process) => guest(process),
                Err(_) => Err(no_guest(selector)),
            };
        }
    }
    let path = Path::new(selector);
    let socket_inodes = match fs::metadata(path) {
        Ok(status) if !status.is_dir() => bound_at(proc_dir, path),
        _ => Vec::new(),
    };
    let meant: Vec<&Guest> = listing
        .guests
        .iter()
        .filter(|guest| {
            guest.name() == Some(selector)
                || guest
                    .uuid()
                    .is_some_and(|uuid| uuid.eq_ignore_ascii_case(selector))
                || listens_at(guest, path, &socket_inodes)
        })
        .collect();
    match meant.as_slice() {
        [] => Err(no_guest(selector)),
        [guest] => Ok((*guest).clone()),
        several => Err(Error::Several {
            selector: selector.to_owned(),
            candidates: several.iter().map(|guest| guest.label()).collect(),
        }),
    }
}

fn no_guest(selector: &str) -> Error {
    Error::NoGuest {
        selector: selector.to_owned(),
    }
}

/// Whether the guest's QMP is the socket at `path`: named on its command line, or held by its process.
fn listens_at(guest: &Guest, path: &Path, socket_inodes: &[String]) -> bool {
    let identity = |path: &Path| {
        let status = fs::metadata(path).ok()?;
        Some((status.dev(), status.ino()))
    };
    let wanted = identity(path);
    let root = guest.process.root().ok();
    let named = guest.qmp_sockets.iter().any(|socket| {
        let there = root.as_ref().and_then(|root| root.identity(socket).ok());
        socket == path || (there.is_some() && there == wanted)
    });
    let is_wanted = |target: &Path| socket_inodes.iter().any(|inode| target.to_str() == Some(inode));
    let holds = || {
        guest
            .process
            .open_files()
            .is_ok_and(|files| files.iter().any(|file| is_wanted(&file.target)))
    };
    named || (!socket_inodes.is_empty() && holds())
}

/// What the kernel calls the sockets bound at `path`: `socket:[INODE]`. A socket that was bound by a relative
/// path is known by that alone, so `path` only has to end so.
fn bound_at(proc_dir: &Path, path: &Path) -> Vec<String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    unix_sockets(&proc_dir.join("net/unix"))
        .into_iter()
        .filter(|(_, bound)| *bound == absolute || (bound.is_relative() && absolute.ends_with(bound)))
        .map(|(inode, _)| format!("socket:[{inode}]"))
        .collect()
}

/// Where the Unix socket behind descriptor `fd` of `process` is bound.
pub(super) fn socket_path(process: &Process, fd: u32) -> Option<PathBuf> {
    let target = fs::read_link(process.fd_path(fd)).ok()?;
    let inode = target
        .to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .to_owned();
    unix_sockets(&process.dir().join("net/unix"))
        .into_iter()
        .find(|(known, _)| *known == inode)
        .map(|(_, path)| path)
}

/// The bound sockets in `/proc/net/unix`: inode and path, from the seventh and eighth column.
fn unix_sockets(table: &Path) -> Vec<(String, PathBuf)> {
    let bytes = read_bounded(table, MAX_NET_UNIX_BYTES)
        .ok()
        .flatten()
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .skip(1)
        .filter_map(|line| {
            // the path is the eighth field, and may hold blanks; `@` starts a name that is no path
            let inode = line.split_ascii_whitespace().nth(6)?;
            let path = line.split_once(&format!(" {inode} "))?.1;
            (!path.starts_with('@')).then(|| (inode.to_owned(), PathBuf::from(path)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A process table: pid, program's name, what the program holds, arguments.
    fn table(processes: &[(u32, &str, &str, &str)]) -> tempfile::TempDir {
        let table = tempfile::tempdir().unwrap();
        for (pid, program, holds, arguments) in processes {
            let dir = table.path().join(pid.to_string());
            fs::create_dir_all(dir.join("fd")).unwrap();
            let stat = format!("{pid} ({program}) S {} 77 0", ["0"; 18].join(" "));
            fs::write(dir.join("stat"), stat).unwrap();
            fs::write(dir.join("comm"), program).unwrap();
            fs::write(dir.join("cmdline"), arguments.replace(' ', "\0")).unwrap();
            let exe = table.path().join(format!("bin{pid}")).join(program);
            fs::create_dir_all(exe.parent().unwrap()).unwrap();
            fs::write(&exe, holds).unwrap();
            symlink(&exe, dir.join("exe")).unwrap();
        }
        table
    }

    const V: &str = "..QEMU emulator version 7.2.22 (Debian)\n..";

    #[test]
    fn names_uuids_and_pids_find_their_guest_and_nothing_else_does() {
        let table = table(&[
            (
                10,
                "qemu-system-x86_64",
                V,
                "q -name web -uuid AB000000-0000-0000-0000-000000000001",
            ),
            (11, "kvm", V, "kvm -name 10"),
            (12, "bash", "", "bash -c qemu-system-x86_64"),
        ]);
        let pid = |selector: &str| find_in(table.path(), selector).map(|guest| guest.pid());
        assert_eq!(pid("web").unwrap(), 10);
        assert_eq!(pid("ab000000-0000-0000-0000-000000000001").unwrap(), 10);
        assert_eq!(pid("10").unwrap(), 10, "a pid comes before a name");
        assert_eq!(pid("11").unwrap(), 11);
        assert!(matches!(pid("12"), Err(Error::NotQemu { pid: 12, .. })));
        assert!(matches!(pid("13"), Err(Error::NoGuest { .. })));
        assert!(matches!(pid("we"), Err(Error::NoGuest { .. })));
    }

    #[test]
    fn two_guests_of_one_name_are_both_listed() {
        let table = table(&[(10, "kvm", V, "q -name a"), (11, "kvm", V, "q -name a")]);
        let error = find_in(table.path(), "a").unwrap_err();
        let Error::Several { selector, candidates } = error else {
            panic!("{error:?}")
        };
        assert_eq!(selector, "a");
        assert_eq!(candidates, ["guest a (pid 10)", "guest a (pid 11)"]);
    }

    #[test]
    fn a_process_that_is_called_qemu_and_is_none_is_said_and_not_listed() {
        let table = table(&[(
            10,
            "qemu-system-x86_64",
            "#!/bin/sh",
            "qemu-system-x86_64 -name x",
        )]);
        let listing = guests_in(table.path()).unwrap();
        assert!(listing.guests.is_empty());
        assert_eq!(
            listing.remarks,
            ["process 10 is not QEMU: its program holds no QEMU version"]
        );
    }

    #[test]
    fn entries_that_lie_cost_one_line_and_not_the_listing() {
        let table = table(&[
            (10, "qemu-system-x86_64", V, "q -name a"),
            (11, "kvm", V, "q -name b"),
        ]);
        fs::remove_file(table.path().join("10/cmdline")).unwrap();
        fs::create_dir(table.path().join("10/cmdline")).unwrap();
        fs::create_dir(table.path().join("999")).unwrap();
        let listing = guests_in(table.path()).unwrap();
        assert_eq!(listing.guests.len(), 1);
        assert_eq!(listing.remarks.len(), 1);
        assert!(listing.remarks[0].starts_with("cannot read the command line of process 10: "));
    }

    #[test]
    fn whose_program_may_not_be_looked_at_is_known_by_either_of_its_names() {
        let table = table(&[
            (
                10,
                "renamed",
                V,
                "/usr/bin/qemu-system-x86_64 -name x,process=renamed",
            ),
            (11, "qemu-system-x86", V, "what"),
            (12, "bash", V, "bash qemu-system-x86_64"),
        ]);
        let called = |pid| {
            fs::remove_file(table.path().join(format!("{pid}/exe"))).unwrap();
            is_called_qemu(&Process::open(table.path(), pid).unwrap())
        };
        assert!(called(10) && called(11) && !called(12));
    }

    #[test]
    fn a_guest_that_vanishes_is_no_error() {
        let table = table(&[(10, "kvm", V, "q -name a")]);
        fs::remove_file(table.path().join("10/cmdline")).unwrap();
        let listing = guests_in(table.path()).unwrap();
        assert!(listing.guests.is_empty() && listing.remarks.is_empty());
    }
}
