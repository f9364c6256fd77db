//! Other bytes in a stopped guest's flash: only what differs, read back and compared, and the old ones on any doubt.

use std::io;
use std::ops::Range;

/// Pages are exchanged whole: what lies within one goes over the bus together anyway.
const PAGE_BYTES: usize = 4096;
/// What is compared at once stays in a core's cache.
const CHUNK_BYTES: usize = 64 << 10;

/// A guest's flash, as bytes from 0.
pub(crate) trait Flash {
    /// Fills `bytes` from `offset`.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes `bytes` at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// The runs of pages in which two images of one length differ.
pub(crate) fn differing(old: &[u8], new: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let pages = old.chunks(PAGE_BYTES).zip(new.chunks(PAGE_BYTES));
    for (index, (one, other)) in pages.enumerate() {
        if one == other {
            continue;
        }
        let start = index * PAGE_BYTES;
        let end = start + one.len();
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// What came of an exchange that is not as it should be.
#[derive(Debug)]
pub(crate) struct Doubt {
    /// What gave rise to it.
    pub(crate) why: Why,
    /// Whether the old bytes are in place again, read back and compared.
    pub(crate) old_in_place: bool,
}

/// What gives rise to a doubt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    #[error("its memory cannot be written")]
    Write(#[source] io::Error),
    #[error("its memory cannot be read back")]
    Read(#[source] io::Error),
    #[error("what was read back from {0:#x} on is not what was written")]
    Differs(u64),
}

/// Writes `new` over `old` in these runs, and compares the whole. Tells how many bytes were written.
pub(crate) fn exchange(
    flash: &impl Flash,
    old: &[u8],
    new: &[u8],
    runs: &[Range<usize>],
) -> Result<u64, Doubt> {
    match write(flash, new, runs).and_then(|written| compare(flash, new).map(|()| written)) {
        Ok(written) => Ok(written),
        Err(why) => Err(Doubt {
            why,
            old_in_place: put_back(flash, old, runs),
        }),
    }
}

/// Puts the old bytes back in these runs; whether all of them are there then.
pub(crate) fn put_back(flash: &impl Flash, old: &[u8], runs: &[Range<usize>]) -> bool {
    write(flash, old, runs).and_then(|_| compare(flash, old)).is_ok()
}

fn write(flash: &impl Flash, bytes: &[u8], runs: &[Range<usize>]) -> Result<u64, Why> {
    let mut written = 0;
    for run in runs {
        let part = bytes.get(run.clone()).unwrap_or_default();
        flash.write(run.start as u64, part).map_err(Why::Write)?;
        written += part.len() as u64;
    }
    Ok(written)
}

/// Whether the flash holds exactly `bytes`.
pub(crate) fn compare(flash: &impl Flash, bytes: &[u8]) -> Result<(), Why> {
    let mut chunk = vec![0; CHUNK_BYTES];
    for (index, wanted) in bytes.chunks(CHUNK_BYTES).enumerate() {
        let offset = (index * CHUNK_BYTES) as u64;
        let read = chunk.get_mut(..wanted.len()).unwrap_or_default();
        flash.read(offset, read).map_err(Why::Read)?;
        if read != wanted {
            return Err(Why::Differs(offset));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// Memory that breaks at the write of a number, or reads back a wrong byte.
    struct Fake {
        bytes: RefCell<Vec<u8>>,
        writes: Cell<usize>,
        breaks_at: Option<usize>,
        lies_at: Option<usize>,
    }

    impl Fake {
        fn of(bytes: &[u8]) -> Self {
            Self {
                bytes: RefCell::new(bytes.to_vec()),
                writes: Cell::new(0),
                breaks_at: None,
                lies_at: None,
            }
        }
    }

    impl Flash for Fake {
        fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            let start = offset as usize;
            bytes.copy_from_slice(&self.bytes.borrow()[start..start + bytes.len()]);
            if let Some(at) = self
                .lies_at
                .filter(|at| (start..start + bytes.len()).contains(at))
            {
                bytes[at - start] ^= 1;
            }
            Ok(())
        }

        fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let count = self.writes.get();
            self.writes.set(count + 1);
            let start = offset as usize;
            let mut all = self.bytes.borrow_mut();
            if self.breaks_at == Some(count) {
                // Half of it got there.
                let half = bytes.len() / 2;
                all[start..start + half].copy_from_slice(&bytes[..half]);
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            all[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }
    }

    fn images() -> (Vec<u8>, Vec<u8>) {
        let old = vec![1; 40 * PAGE_BYTES];
        let mut new = old.clone();
        for page in [0, 1, 7, 20, 21, 39] {
            new[page * PAGE_BYTES + 5] = 2;
        }
        (old, new)
    }

    #[test]
    fn only_pages_that_differ_are_written_and_neighbours_together() {
        let (old, new) = images();
        let runs = differing(&old, &new);
        let pages = |range: Range<usize>| range.start * PAGE_BYTES..range.end * PAGE_BYTES;
        assert_eq!(runs, [pages(0..2), pages(7..8), pages(20..22), pages(39..40)]);
        let fake = Fake::of(&old);
        assert_eq!(exchange(&fake, &old, &new, &runs).unwrap(), 6 * PAGE_BYTES as u64);
        assert_eq!(*fake.bytes.borrow(), new);
        assert_eq!(differing(&old, &old), []);
        assert_eq!(differing(&[1; 10], &[2; 10]).first(), Some(&(0..10)));
    }

    #[test]
    fn a_write_that_breaks_anywhere_leaves_the_old_bytes() {
        let (old, new) = images();
        let runs = differing(&old, &new);
        for at in 0..runs.len() {
            let fake = Fake {
                breaks_at: Some(at),
                ..Fake::of(&old)
            };
            let doubt = exchange(&fake, &old, &new, &runs).unwrap_err();
            assert!(doubt.old_in_place && matches!(doubt.why, Why::Write(_)), "{at}");
            assert_eq!(*fake.bytes.borrow(), old, "{at}");
        }
    }

    #[test]
    fn what_reads_back_differently_is_taken_back_and_told_if_even_that_does_not_hold() {
        let (old, new) = images();
        let runs = differing(&old, &new);
        let fake = Fake {
            lies_at: Some(21 * PAGE_BYTES),
            ..Fake::of(&old)
        };
        let doubt = exchange(&fake, &old, &new, &runs).unwrap_err();
        assert!(matches!(doubt.why, Why::Differs(_)) && !doubt.old_in_place);
        assert_eq!(*fake.bytes.borrow(), old);
    }
}
