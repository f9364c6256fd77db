//! Another process's memory: small pieces through `/proc/PID/mem`, large ones straight from page to page.
//!
//! The kernel copies what is read from `/proc/PID/mem` twice, page by page, and what `process_vm_readv` reads
//! once. That call takes a pid, though, which may be another process by now: only the open file stays with
//! the memory that it was opened for, so each large reading is followed by a small one of that file.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::Error;
use crate::process::Process;

/// Below this the second call costs more than the first one saves.
const LARGE_BYTES: usize = 16 << 10;

/// Bits of an entry of the list of pages (kernel `Documentation/admin-guide/mm/pagemap.rst`).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;

/// The memory of a process, open for reading.
#[derive(Debug)]
pub(super) struct Memory {
    file: File,
    pid: Option<Pid>,
    /// Where pages may not have come yet, and the list of those that have.
    awaited: Option<(Vec<Range<u64>>, File)>,
}

impl Memory {
    /// The memory of `process`.
    pub(super) fn open(process: &Process) -> Result<Self, Error> {
        let awaited = process.awaited()?;
        Ok(Self {
            file: process.open_memory()?,
            pid: i32::try_from(process.pid()).ok().map(Pid::from_raw),
            awaited: match awaited.is_empty() {
                true => None,
                false => Some((awaited, process.open_pages()?)),
            },
        })
    }

    /// Reads as much as there is at `address`, at most `bytes` of it.
    pub(super) fn read_at(&self, bytes: &mut [u8], address: u64) -> io::Result<usize> {
        self.expect_there(address, bytes.len() as u64)?;
        if self.read_large(bytes, address) {
            return Ok(bytes.len());
        }
        self.file.read_at(bytes, address)
    }

    /// Fills `bytes` from `address`.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], address: u64) -> io::Result<()> {
        self.expect_there(address, bytes.len() as u64)?;
        if self.read_large(bytes, address) {
            return Ok(());
        }
        self.file.read_exact_at(bytes, address)
    }

    /// `WouldBlock` if a page has not come yet: reading it would wait for it, and for ever where the migration is broken.
    fn expect_there(&self, address: u64, len: u64) -> io::Result<()> {
        let Some((awaited, pages)) = &self.awaited else {
            return Ok(());
        };
        let page_bytes = rustix::param::page_size() as u64;
        let end = address.saturating_add(len);
        for range in awaited {
            let first = range.start.max(address) / page_bytes;
            let behind = range.end.min(end).div_ceil(page_bytes);
            let count = behind.saturating_sub(first);
            let mut entries = vec![0; usize::try_from(count.saturating_mul(8)).unwrap_or(usize::MAX)];
            pages.read_exact_at(&mut entries, first.saturating_mul(8))?;
            let is_there = |entry: &[u8; 8]| u64::from_le_bytes(*entry) & (PRESENT | SWAPPED) != 0;
            if !entries.as_chunks().0.iter().all(is_there) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        Ok(())
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
        Self {
            file,
            pid: None,
            awaited: None,
        }
    }
}

#[cfg(test)]
impl Memory {
    /// `file` is `/proc/PID/mem` of the process `pid`.
    fn new(file: File, pid: u32) -> Self {
        Self {
            pid: i32::try_from(pid).ok().map(Pid::from_raw),
            ..Self::from(file)
        }
    }

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
