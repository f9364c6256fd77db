//! Reads memory that a running guest may be writing, so that what is returned existed at one instant.
//!
//! The region is read twice. A page that reads the same both times held still in between; a page that
//! changed is hot. Hot pages are then read between two readings of all others until they read the same
//! twice in a row: at the instant between those two readings every page was as returned. (Flash does not
//! change and change back within microseconds: writes only clear bits, an erase rewrites a block.)

use std::io;

use super::reading::Memory;

const PAGE_BYTES: usize = 4096;
const CHUNK_BYTES: usize = 64 << 10;
/// Readings of the whole region before giving up.
pub(super) const MAX_READING_COUNT: u32 = 256;
/// Readings of the hot pages between two of the whole.
const MAX_HOT_READING_COUNT: u32 = 128;
/// With more hot pages than this the guest is rewriting the region: all is read anew.
const MAX_HOT_PAGE_COUNT: usize = 64;

/// The `len_bytes` bytes at `address` as they were at one instant, or nothing if they did not hold still.
pub(super) fn read(memory: &Memory, address: u64, len_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; len_bytes];
    let mut hot: Vec<usize> = Vec::new();
    for _ in 0..MAX_READING_COUNT {
        memory.read_exact_at(&mut bytes, address)?;
        let still = read_hot(memory, address, &mut bytes, &hot)?;
        let changed = changed_pages(memory, address, &bytes)?;
        let surprised = changed.iter().any(|page| !hot.contains(page));
        if still && !surprised {
            return Ok(Some(bytes));
        }
        hot.extend(changed);
        hot.sort_unstable();
        hot.dedup();
        if hot.len() > MAX_HOT_PAGE_COUNT {
            hot.clear();
        }
    }
    Ok(None)
}

/// Reads the hot pages into `bytes` until they read the same twice in a row; whether they did.
fn read_hot(memory: &Memory, address: u64, bytes: &mut [u8], hot: &[usize]) -> io::Result<bool> {
    let mut page_bytes = [0; PAGE_BYTES];
    for _ in 0..MAX_HOT_READING_COUNT {
        let mut same = true;
        for page in hot {
            let offset = page.saturating_mul(PAGE_BYTES);
            let end = offset.saturating_add(PAGE_BYTES).min(bytes.len());
            let Some(known) = bytes.get_mut(offset..end) else {
                continue;
            };
            let Some(now) = page_bytes.get_mut(..known.len()) else {
                continue;
            };
            memory.read_exact_at(now, address.saturating_add(offset as u64))?;
            if now != known {
                known.copy_from_slice(now);
                same = false;
            }
        }
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads all again; the pages that differ from `bytes`.
fn changed_pages(memory: &Memory, address: u64, bytes: &[u8]) -> io::Result<Vec<usize>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut changed = Vec::new();
    for (index, known) in bytes.chunks(CHUNK_BYTES).enumerate() {
        let offset = index.saturating_mul(CHUNK_BYTES);
        let Some(now) = chunk.get_mut(..known.len()) else {
            continue;
        };
        memory.read_exact_at(now, address.saturating_add(offset as u64))?;
        if now == known {
            continue;
        }
        let pages = now.chunks(PAGE_BYTES).zip(known.chunks(PAGE_BYTES));
        let first = offset / PAGE_BYTES;
        changed.extend(
            pages
                .enumerate()
                .filter(|(_, (now, known))| now != known)
                .map(|(page, _)| first.saturating_add(page)),
        );
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn memory_that_holds_still_is_read_as_it_is() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..200_001u32).map(|i| (i % 251) as u8).collect();
        file.write_all_at(&bytes, 0x10000).unwrap();
        let memory = Memory::from(file);
        assert_eq!(read(&memory, 0x10000, bytes.len()).unwrap().unwrap(), bytes);
        assert!(read(&memory, 0x10000, bytes.len() + 1).is_err(), "behind the end");
    }

    #[test]
    fn two_pages_that_a_writer_keeps_in_step_are_never_read_out_of_step() {
        // The writer counts up at the front, then at the back: the back is never ahead, and at most one
        // behind. Reading once would see the back ahead of the front.
        let file = tempfile::tempfile().unwrap();
        let len_bytes = 64 * PAGE_BYTES;
        let back = (63 * PAGE_BYTES) as u64;
        file.set_len(len_bytes as u64).unwrap();
        let memory = Memory::from(file.try_clone().unwrap());
        let stop = AtomicBool::new(false);
        let mut settled = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut count = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    file.write_all_at(&count.to_le_bytes(), 0).unwrap();
                    file.write_all_at(&count.to_le_bytes(), back).unwrap();
                    if count.is_multiple_of(16) {
                        // what a guest's own computing is between its writes
                        std::thread::sleep(std::time::Duration::from_micros(100));
                    }
                }
            });
            for _ in 0..200 {
                if let Some(bytes) = read(&memory, 0, len_bytes).unwrap() {
                    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
                    let (front, back) = (number(0), number(63 * PAGE_BYTES));
                    assert!(front == back || front == back + 1, "front {front}, back {back}");
                    settled += 1;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(settled > 0, "never held still");
    }
}
