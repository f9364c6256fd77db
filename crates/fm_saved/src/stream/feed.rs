//! Moves bytes from a source into a parser: by reading, or by stepping over what it will not look at.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use fm_stream::{Event, Facts, Parser};

use super::vmstate::VmState;

/// Reads of about 128 KiB stay in the processor's cache and keep system calls rare. This many bytes end
/// right behind the header of a page's record, if all are pages of 4 KiB: that page is then stepped over.
const READ_BYTES: usize = 31 * (8 + 4096) + 8;
/// What the kernel copies from is aligned to pages; a copy to memory that is not takes four times as long.
const PAGE_BYTES: usize = 4096;

/// The first whole pages in `space`.
fn aligned(space: &mut [u8]) -> &mut [u8] {
    let at = space.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
    &mut space[at..][..READ_BYTES]
}

/// Where a stream's bytes come from.
pub(super) enum Feed {
    /// A file, from a position on.
    File {
        file: File,
        position: u64,
        len_bytes: u64,
    },
    /// Something that only moves forward.
    Pipe(Box<dyn Read>),
    /// A snapshot inside a qcow2 image.
    Snapshot(VmState),
}

impl Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::File { file, position, .. } => file.read_at(buffer, *position).inspect(|read| {
                    *position += *read as u64;
                }),
                Self::Pipe(pipe) => pipe.read(buffer),
                Self::Snapshot(state) => state.read(buffer),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Steps over up to `bytes` bytes and tells how many; 0 where there is no way but to read them.
    fn skip(&mut self, bytes: u64) -> u64 {
        match self {
            Self::File {
                position, len_bytes, ..
            } => {
                let done = bytes.min(len_bytes.saturating_sub(*position));
                *position += done;
                done
            }
            Self::Pipe(_) => 0,
            Self::Snapshot(state) => state.skip(bytes),
        }
    }

    /// How many bytes a stream that ended at `offset` leaves in its file or snapshot, if any.
    pub(super) fn behind(&self, offset: u64) -> Option<u64> {
        let end = match self {
            Self::File { len_bytes, .. } => *len_bytes,
            Self::Pipe(_) => return None,
            Self::Snapshot(state) => state.len_bytes(),
        };
        end.checked_sub(offset).filter(|left| *left > 0)
    }

    /// Reads to the end into `take`, which may stop it with an error.
    pub(super) fn drain<E: From<io::Error>>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut space = vec![0u8; READ_BYTES + PAGE_BYTES];
        let buffer = aligned(&mut space);
        loop {
            let read = self.read(buffer)?;
            if read == 0 {
                return Ok(());
            }
            take(&buffer[..read])?;
        }
    }
}

/// Why feeding stopped before the end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The source failed.
    Read(io::Error),
    /// The parser refused the bytes.
    Parse(fm_formats::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Feeds all of `feed` to `parser`; `first` is what was already read to recognise it.
pub(super) fn run(
    parser: &mut Parser,
    feed: &mut Feed,
    first: &[u8],
    out: &mut impl FnMut(&Facts, Event<'_>) -> fm_formats::Result<()>,
) -> Result<(), Stop> {
    parser.push(first, out).map_err(Stop::Parse)?;
    let mut space = vec![0u8; READ_BYTES + PAGE_BYTES];
    let buffer = aligned(&mut space);
    loop {
        let ahead = parser.skippable_bytes();
        if ahead > 0 {
            let done = feed.skip(ahead);
            if done > 0 {
                parser.skip(done);
                continue;
            }
        }
        let read = feed.read(buffer)?;
        if read == 0 {
            return parser.finish().map_err(Stop::Parse);
        }
        parser.push(&buffer[..read], out).map_err(Stop::Parse)?;
        if parser.facts().end_offset.is_some() {
            // Whoever writes into the pipe shall not fail, and a program that decompresses says last
            // that something was wrong.
            if matches!(feed, Feed::Pipe(_)) {
                feed.drain(|_| Ok::<_, Stop>(()))?;
            }
            return parser.finish().map_err(Stop::Parse);
        }
    }
}
