//! The CODE flash of a running guest, open for reading and writing.
//!
//! `/proc/PID/mem` writes through the protection of a mapping, and stays with the memory of the process that it was
//! opened for: what it writes never lands in another one that has the pid by then.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

use fm_formats::Sha256;
use fm_host::{Guest, GuestMemory, Region};

use crate::exchange::Flash;
use crate::{Error, Result};

/// CODE in a guest's process.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) memory: GuestMemory,
    pub(crate) region: Region,
}

impl Code {
    /// Finds it, for reading.
    pub(crate) fn find(guest: &Guest) -> Result<Self> {
        let memory = guest.memory()?;
        let region = guest.flash_region(&memory, 0)?;
        Ok(Self { memory, region })
    }

    /// Its bytes.
    pub(crate) fn read(&self, guest: &Guest) -> Result<Vec<u8>> {
        Ok(guest.read_region(&self.memory, 0, self.region, u64::MAX)?)
    }

    /// Its digest.
    pub(crate) fn digest(&self) -> Result<Sha256> {
        Ok(self.memory.digest(self.region)?)
    }

    /// The file that it is mapped from, if it is: other processes and the next start would see what is written.
    pub(crate) fn mapped_file(&self, guest: &Guest) -> Result<Option<String>> {
        let mappings = guest.process().mappings()?;
        let holds = |start: u64, end: u64| (start..end).contains(&self.region.address);
        let name = mappings
            .into_iter()
            .find(|mapping| holds(mapping.start, mapping.end))
            .map(|mapping| mapping.name);
        Ok(name.filter(|name| !name.is_empty() && !name.starts_with('[')))
    }

    /// The same for writing.
    pub(crate) fn open(&self, guest: &Guest) -> Result<Writable> {
        let path = guest.process().dir().join("mem");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| Error::file("open", &path, source))?;
        // The pid may have become another process's before it was opened, and not after that.
        if !guest.is_alive() {
            return Err(fm_host::Error::Gone { pid: guest.pid() }.into());
        }
        Ok(Writable {
            file,
            address: self.region.address,
        })
    }
}

/// CODE in a guest's process, open for writing.
#[derive(Debug)]
pub(crate) struct Writable {
    file: File,
    address: u64,
}

impl Flash for Writable {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file
            .read_exact_at(bytes, self.address.saturating_add(offset))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.address.saturating_add(offset))
    }
}
