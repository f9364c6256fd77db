//! Another process's memory: small pieces through `/proc/PID/mem`, large ones straight from page to page.
//!
//! The kernel copies what is read from `/proc/PID/mem` twice, page by page, and what `process_vm_readv` reads
//! once. That call takes a pid, though, which may be another process by now: only the open file stays with
//! the memory that it was opened for, so each large reading is followed by a small one of that file.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// Below this the second call costs more than the first one saves.
const LARGE_BYTES: usize = 16 << 10;

/// The memory of a process, open for reading.
#[derive(Debug)]
pub(super) struct Memory {
    file: File,
    pid: Option<Pid>,
}

impl Memory {
    /// `file` is `/proc/PID/mem` of the process `pid`.
    pub(super) fn new(file: File, pid: u32) -> Self {
        Self {
            file,
            pid: i32::try_from(pid).ok().map(Pid::from_raw),
        }
    }

    /// Reads as much as there is at `address`, at most `bytes` of it.
    pub(super) fn read_at(&self, bytes: &mut [u8], address: u64) -> io::Result<usize> {
        if self.read_large(bytes, address) {
            return Ok(bytes.len());
        }
        self.file.read_at(bytes, address)
    }

    /// Fills `bytes` from `address`.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], address: u64) -> io::Result<()> {
        if self.read_large(bytes, address) {
            return Ok(());
        }
        self.file.read_exact_at(bytes, address)
    }

    /// Whether all of `bytes` was read in one go, and from this very process. Whatever else happened,
    /// reading the file tells, or does what this call could not.
    fn read_large(&self, bytes: &mut [u8], address: u64) -> bool {
        let (Some(pid), Ok(base)) = (self.pid, usize::try_from(address)) else {
            return false;
        };
        let len = bytes.len();
        if len < LARGE_BYTES {
            return false;
        }
        let read = process_vm_readv(pid, &mut [IoSliceMut::new(bytes)], &[RemoteIoVec { base, len }]);
        read == Ok(len) && self.file.read_at(&mut [0], address).is_ok_and(|read| read == 1)
    }
}

#[cfg(test)]
impl From<File> for Memory {
    /// A file in the place of a process.
    fn from(file: File) -> Self {
        Self { file, pid: None }
    }
}

#[cfg(test)]
impl Memory {
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_reading_give_the_same_bytes() {
        let own = vec![0xa5; 3 * LARGE_BYTES];
        let address = own.as_ptr() as u64;
        let open = || File::open("/proc/self/mem").unwrap();
        let (fast, slow) = (Memory::new(open(), std::process::id()), Memory::from(open()));
        for memory in [&fast, &slow] {
            let mut bytes = vec![0; own.len()];
            memory.read_exact_at(&mut bytes, address).unwrap();
            assert_eq!(bytes, own);
        }
        let mut bytes = vec![0; own.len()];
        assert!(fast.read_large(&mut bytes, address));
        assert!(!slow.read_large(&mut bytes, address));
    }

    #[test]
    fn another_process_that_has_the_pid_by_now_is_not_read() {
        // the file is of a process that ended; the pid is ours, which lives
        let own = vec![0xa5; LARGE_BYTES];
        let mut ended = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let file = File::open(format!("/proc/{}/mem", ended.id())).unwrap();
        ended.kill().unwrap();
        ended.wait().unwrap();
        let memory = Memory::new(file, std::process::id());
        let mut bytes = vec![0; own.len()];
        assert_eq!(memory.read_at(&mut bytes, own.as_ptr() as u64).unwrap(), 0);
        assert!(memory.read_exact_at(&mut bytes, own.as_ptr() as u64).is_err());
    }

    #[test]
    fn a_reading_across_the_end_of_a_mapping_gives_what_is_there() {
        let memory = Memory::new(File::open("/proc/self/mem").unwrap(), std::process::id());
        let mut bytes = vec![0; LARGE_BYTES];
        assert!(
            memory.read_exact_at(&mut bytes, 0x10).is_err(),
            "nothing is mapped there"
        );
    }
}
