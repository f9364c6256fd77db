//! Pipes: what is in one is seen before it is taken out, because a stream and a flash image are read otherwise.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::pipe::{self, PipeFlags, SpliceFlags};

use super::input::{self, Flash};
use super::{InspectDocument, Kind};
use crate::{Error, Result};

/// `PIPEFS_MAGIC` (Linux `include/uapi/linux/magic.h`). A FIFO with a name would have to be opened once more
/// for a stream, which waits for ever when its writer is gone.
const PIPEFS: u64 = 0x5049_5045;
/// As much as tells a stream from everything else.
const HEAD_BYTES: usize = 4096;

/// The flash image that comes through the pipe, or what is said of it instead. `None` where it is a stream,
/// or where it cannot be told without taking bytes out of it.
pub(super) fn flash(path: &Path) -> Result<Option<Result<Flash, InspectDocument>>> {
    let failed = |source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_file() {
        // `flashmoor inspect - < FILE`.
        let itself = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let (kind, _) = input::sniff(Path::new(&itself))?;
        return match kind {
            Kind::Raw => Flash::read(Path::new(&itself)).map(Some),
            Kind::Qcow2 | Kind::Stream => Ok(None),
        };
    }
    match peek(&file) {
        Some(head) if input::kind_of(&head) == Kind::Raw => {}
        _ => return Ok(None),
    }
    let mut bytes = Vec::new();
    (&file)
        .take(input::MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > input::MOST_BYTES {
        return Ok(Some(Err(input::too_large(path, bytes.len() as u64))));
    }
    Ok(Some(Ok(Flash::from_bytes(&bytes, "raw"))))
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::fd::AsFd as _;
    match path == Path::new("-") {
        true => Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
        false => File::open(path),
    }
}

/// The first bytes of a pipe, which stay in it; waits for the first of them.
fn peek(file: &File) -> Option<Vec<u8>> {
    if u64::try_from(rustix::fs::fstatfs(file).ok()?.f_type) != Ok(PIPEFS) {
        return None;
    }
    let (out, into) = pipe::pipe_with(PipeFlags::CLOEXEC).ok()?;
    let seen = pipe::tee(file, &into, HEAD_BYTES, SpliceFlags::empty()).ok()?;
    drop(into);
    let mut head = vec![0; seen];
    File::from(out).read_exact(&mut head).ok()?;
    Some(head)
}
