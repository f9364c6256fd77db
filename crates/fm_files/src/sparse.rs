//! Copying that leaves holes where the content is zero.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;

/// Copies `from` into `to` from `start` on, same length, leaving holes where `from` is zero.
///
/// # Errors
/// The kernel's answer.
pub fn copy_sparse(from: &mut File, to: &mut File, start: u64) -> io::Result<()> {
    let len = from.metadata()?.len();
    to.set_len(len.max(to.metadata()?.len()))?;
    let mut buffer = vec![0u8; 1 << 20];
    let mut at = start;
    while at < len {
        // Holes of the old file are skipped without reading them.
        at = match rustix::fs::seek(from.as_fd(), rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => at,
        };
        from.seek(SeekFrom::Start(at))?;
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        let chunk = &buffer[..read];
        if chunk.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(chunk)?;
        }
        at += read as u64;
    }
    Ok(())
}
