//! Whether the variables that arrive are those that the guest has when it stops at the source.
//!
//! QEMU sends a page again that the guest dirtied, and what a guest writes through the commands of a flash chip
//! dirties none: `pflash_data_write` (QEMU `hw/block/pflash_cfi01.c`) changes the chip's memory and marks
//! nothing. What is written to VARS after its pages were sent would stay behind without a word.

use fm_host::{Guest, GuestMemory, Region};
use fm_varstore::VarStore;

/// The variables of a guest that is about to migrate, as its process has them.
pub(super) struct Variables {
    source: View,
    /// Where they arrive, if that process can be read from here as well.
    destination: Option<View>,
    /// As they were when the stream began.
    before: Vec<u8>,
}

impl Variables {
    /// Opens both ends; nothing if the source's VARS cannot be read from here, or it has none.
    pub(super) fn open(source: Option<u32>, destination: Option<u32>) -> Option<Self> {
        Some(Self {
            source: View::open(source?)?,
            destination: destination.and_then(View::open),
            before: Vec::new(),
        })
    }

    /// To be called right before the stream begins.
    pub(super) fn begin(&mut self) {
        self.before = self.source.read().unwrap_or_default();
    }

    /// Whether what was sent is what the guest has, now that it stands still and before it goes on elsewhere.
    pub(super) fn have_arrived(&self) -> bool {
        let Some(now) = self.source.read() else {
            return false;
        };
        // A write before the first page was sent arrives well: then both ends are equal.
        now == self.before || self.destination.as_ref().and_then(View::read) == Some(now)
    }
}

/// VARS in one process.
struct View {
    guest: Guest,
    memory: GuestMemory,
    region: Region,
}

impl View {
    fn open(pid: u32) -> Option<Self> {
        let guest = fm_host::find(&pid.to_string()).ok()?;
        let memory = guest.memory().ok()?;
        let region = guest.flash_region(&memory, 1).ok()?;
        Some(Self {
            guest,
            memory,
            region,
        })
    }

    /// What lies in the chip behind the store is never written.
    fn read(&self) -> Option<Vec<u8>> {
        let bytes = VarStore::PREFIX_BYTES as u64;
        self.guest.read_region(&self.memory, 1, self.region, bytes).ok()
    }
}
