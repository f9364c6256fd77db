//! Compressed save images: undone by the very programs that libvirt runs to make and restore them.
//!
//! A host that can restore such an image has its program, and a program of its own decodes on another
//! processor while we parse. No format has to be built in, and hostile input is held in a process
//! whose only way to us is a pipe that we read no faster than we parse.

use std::fs::File;
use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// The program for a file that starts with `bytes`, and for libvirt's name of it.
pub fn for_magic(bytes: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 5] = [
        (&[0x1f, 0x8b], "gzip"),
        (b"BZh", "bzip2"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (&[0x89, b'L', b'Z', b'O', 0], "lzop"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    ];
    MAGICS
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
        .map(|(_, program)| *program)
}

/// So much may come out of any file: a guest with this much memory in use is read however well it is compressed.
const MIN_CAP_BYTES: u64 = 1 << 30;
/// And so many bytes for each that went in. Memory of guests comes down to a tenth or, if most of it is empty, to a
/// hundredth; only what was made to be large is beyond this.
const MAX_RATIO: u64 = 1 << 10;

/// As much is kept of what a program says on standard error.
const MAX_SAID_BYTES: u64 = 1 << 10;

/// A running decompressor; dropping it ends the program.
pub(super) struct Decompressor {
    program: &'static str,
    child: Child,
    output: ChildStdout,
    /// What it says is wrong, or the start of that.
    said: Option<JoinHandle<String>>,
    pump: Option<JoinHandle<()>>,
    /// What the program was given so far.
    given_bytes: Arc<AtomicU64>,
    produced_bytes: u64,
    min_cap_bytes: u64,
}

/// What the program reads.
pub(super) enum Compressed {
    /// A file, from where it stands.
    File(File),
    /// Bytes that were read already, then a pipe.
    Pipe(Vec<u8>, Box<dyn Read + Send>),
}

impl Decompressor {
    pub(super) fn start(program: &'static str, compressed: Compressed) -> io::Result<Self> {
        let given_bytes = Arc::new(AtomicU64::new(0));
        let (stdin, source) = match compressed {
            Compressed::File(file) => {
                given_bytes.store(file.metadata()?.len(), Ordering::Relaxed);
                (Stdio::from(file), None)
            }
            Compressed::Pipe(first, rest) => (Stdio::piped(), Some((first, rest))),
        };
        let mut child = Command::new(program)
            .arg("-dc")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe to the program"))?;
        let pump = source.zip(child.stdin.take()).map(|((first, rest), mut stdin)| {
            let given_bytes = Arc::clone(&given_bytes);
            std::thread::spawn(move || {
                // The program may well stop reading early; its own exit status tells of real trouble.
                let mut counted = Counted {
                    inner: io::Cursor::new(first).chain(rest),
                    bytes: given_bytes,
                };
                let _ = io::copy(&mut counted, &mut stdin);
            })
        });
        let said = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut said = Vec::new();
                let _ = (&mut stderr).take(MAX_SAID_BYTES).read_to_end(&mut said);
                // It must not wait for us to read the rest.
                let _ = io::copy(&mut stderr, &mut io::sink());
                String::from_utf8_lossy(&said).trim().to_owned()
            })
        });
        Ok(Self {
            program,
            child,
            output,
            said,
            pump,
            given_bytes,
            produced_bytes: 0,
            min_cap_bytes: MIN_CAP_BYTES,
        })
    }

    /// Whether more came out than any guest's memory would have become of what went in.
    fn is_above_cap(&self) -> bool {
        let given_bytes = self.given_bytes.load(Ordering::Relaxed);
        self.produced_bytes > self.min_cap_bytes.max(given_bytes.saturating_mul(MAX_RATIO))
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Read for Decompressor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        self.produced_bytes = self.produced_bytes.saturating_add(read as u64);
        if self.is_above_cap() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} bytes of `{} -dc` come of {} bytes: no guest's memory is like that",
                    self.produced_bytes,
                    self.program,
                    self.given_bytes.load(Ordering::Relaxed)
                ),
            ));
        }
        if read == 0 && !buffer.is_empty() {
            if let Some(pump) = self.pump.take() {
                let _ = pump.join();
            }
            let status = self.child.wait()?;
            if !status.success() {
                let said = self.said.take().and_then(|said| said.join().ok());
                return Err(io::Error::other(format!(
                    "`{} -dc` ended with {status}: {}",
                    self.program,
                    said.unwrap_or_default()
                )));
            }
        }
        Ok(read)
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // It ends with the program; the pump may wait for whoever feeds it, and is left.
        if let Some(said) = self.said.take() {
            let _ = said.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    /// `len_bytes` zeros, compressed.
    fn zeros(len_bytes: u64) -> File {
        let plain = tempfile::tempfile().unwrap();
        plain.set_len(len_bytes).unwrap();
        let mut packed = tempfile::tempfile().unwrap();
        let done = Command::new("zstd")
            .args(["-q", "-c"])
            .stdin(plain)
            .stdout(packed.try_clone().unwrap())
            .status();
        assert!(done.unwrap().success());
        packed.rewind().unwrap();
        packed
    }

    fn read(source: Compressed, min_cap_bytes: u64) -> (u64, io::Result<u64>) {
        let mut program = Decompressor::start("zstd", source).unwrap();
        program.min_cap_bytes = min_cap_bytes;
        let read = io::copy(&mut program, &mut io::sink());
        (program.produced_bytes, read)
    }

    #[test]
    fn what_a_few_bytes_swell_to_has_an_end_and_a_guests_memory_has_none() {
        let mut packed = zeros(64 << 20);
        let len_bytes = packed.metadata().unwrap().len();
        let cap_bytes = (len_bytes * MAX_RATIO).max(1 << 20);
        assert!(cap_bytes < 32 << 20, "{len_bytes}");
        let (produced_bytes, result) = read(Compressed::File(packed.try_clone().unwrap()), 1 << 20);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(produced_bytes < 2 * cap_bytes, "{produced_bytes}");
        packed.rewind().unwrap();
        let (_, result) = read(
            Compressed::Pipe(Vec::new(), Box::new(packed.try_clone().unwrap())),
            1 << 20,
        );
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
        packed.rewind().unwrap();
        let (_, result) = read(Compressed::File(packed), 64 << 20);
        assert_eq!(result.unwrap(), 64 << 20);
        let mut plain = tempfile::tempfile().unwrap();
        plain.write_all(b"no zstd").unwrap();
        plain.rewind().unwrap();
        assert!(read(Compressed::File(plain), 1 << 20).1.is_err());
    }
}
