//! Finds a stream that starts further on in its file: QEMU's `file:PATH,offset=N` leaves what is before as it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// How every stream of a machine type since 2.4 starts: magic, version, and the section of its configuration.
const START: &[u8] = b"QEVM\0\0\0\x03\x07";
/// Who puts something before a stream puts a header there; zeros may be more, and holes, which cost nothing, of any length.
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_ZERO_BYTES: u64 = 1 << 20;
const CHUNK_BYTES: usize = 64 << 10;

/// Where in the file, `base` or further on, a stream starts: behind zeros, or within what a header may take.
///
/// # Errors
/// If the file cannot be read.
pub fn offset(file: &File, base: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0u8; CHUNK_BYTES + START.len()];
    let (mut at, mut zeros) = (base, 0u64);
    loop {
        at = behind_hole(file, at);
        let read = file.read_at(&mut chunk, at)?;
        let Some(first) = chunk[..read].iter().position(|byte| *byte != 0) else {
            zeros += read as u64;
            if read == 0 || zeros > MAX_ZERO_BYTES {
                return Ok(None);
            }
            at += read as u64;
            continue;
        };
        at += first as u64;
        break;
    }
    let mut head = vec![0u8; MAX_HEADER_BYTES + START.len()];
    let read = file.read_at(&mut head, at)?;
    let found = head[..read].windows(START.len()).position(|bytes| bytes == START);
    Ok(found.map(|found| at + found as u64))
}

/// Where data follows a hole at `at`; `at` itself where there is none, or the file system knows of none.
fn behind_hole(file: &File, at: u64) -> u64 {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.max(at),
        Err(Errno::NXIO) => file.metadata().map_or(at, |file| file.len().max(at)),
        Err(_) => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_stream_is_found_behind_holes_zeros_and_headers_and_nowhere_else() {
        for (hole, before, found) in [
            (0u64, vec![], true),
            (5 << 30, vec![], true),
            (4096, vec![0; 70_000], true),
            (0, vec![7; 4096], true),
            (1 << 20, vec![7; 300], true),
            (0, vec![7; 65_535], true),
            (0, vec![7; 80_000], false),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.set_len(hole).unwrap();
            io::Seek::seek(&mut file, io::SeekFrom::End(0)).unwrap();
            file.write_all(&[&before[..], START, &[1; 50]].concat()).unwrap();
            let expected = found.then_some(hole + before.len() as u64);
            assert_eq!(offset(&file, 0).unwrap(), expected, "{hole} {}", before.len());
        }
        assert_eq!(offset(&tempfile::tempfile().unwrap(), 0).unwrap(), None);
    }
}
