//! Pipes: what is in one is seen before it is taken out, because a stream and a flash image are read otherwise.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fm_api::v1::inspect::ImageFormat;
use rustix::pipe::{self, PipeFlags, SpliceFlags};

use super::Kind;
use super::document::Inspected;
use super::input::{self, Flash};
use crate::{Error, Result};

/// `PIPEFS_MAGIC` (Linux `include/uapi/linux/magic.h`). A FIFO with a name would have to be opened once more
/// for a stream, which waits for ever when its writer is gone.
const PIPEFS: u64 = 0x5049_5045;

/// The flash image that comes through the pipe, or what is said of it instead. `None` where it is a stream,
/// or where it cannot be told without taking bytes out of it.
pub(super) fn flash(path: &Path) -> Result<Option<Result<Flash, Inspected>>> {
    let failed = |source| Error::file("read", path, source);
    let file = open(path).map_err(failed)?;
    let is_file = file.metadata().map_err(failed)?.is_file();
    // `flashmoor inspect - < FILE`, of which somebody may have read a part.
    let at = if is_file {
        (&file).stream_position().map_err(failed)?
    } else {
        0
    };
    let head = if is_file {
        let mut head = vec![0; input::HEAD_BYTES];
        let seen = file.read_at(&mut head, at).map_err(failed)?;
        head.truncate(seen);
        Some(head)
    } else {
        peek(&file)
    };
    if head.is_none_or(|head| input::kind_of(&head) != Kind::Raw) {
        return Ok(None);
    }
    if is_file && at == 0 {
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        return Flash::read(Path::new(&itself)).map(Some);
    }
    let mut bytes = Vec::new();
    (&file)
        .take(input::MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > input::MAX_BYTES {
        return Ok(Some(Err(input::too_large(path, bytes.len() as u64))));
    }
    Ok(Some(Ok(Flash::from_bytes(&bytes, ImageFormat::Raw))))
}

fn open(path: &Path) -> io::Result<File> {
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
    let seen = pipe::tee(file, &into, input::HEAD_BYTES, SpliceFlags::empty()).ok()?;
    drop(into);
    let mut head = vec![0; seen];
    File::from(out).read_exact(&mut head).ok()?;
    Some(head)
}
