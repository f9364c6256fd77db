//! Compressed save images: undone by the very programs that libvirt runs to make and restore them.
//!
//! A host that can restore such an image has its program, and a program of its own decodes on another
//! processor while we parse. No format has to be built in, and hostile input is held in a process
//! whose only way to us is a pipe that we read no faster than we parse.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
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
        let (stdin, source) = match compressed {
            Compressed::File(file) => (Stdio::from(file), None),
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
        let pump = source
            .zip(child.stdin.take())
            .map(|((first, mut rest), mut stdin)| {
                std::thread::spawn(move || {
                    // The program may well stop reading early; its own exit status tells of real trouble.
                    let _ = stdin
                        .write_all(&first)
                        .and_then(|()| io::copy(&mut rest, &mut stdin).map(drop));
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
        })
    }
}

impl Read for Decompressor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
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
