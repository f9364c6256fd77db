//! A relay between the two ends of a migration that gives the guest other CODE on the way.
//!
//! ```text
//! source QEMU --- unix socket of ours ---> relay ---> where the destination listens
//!             <-------- return path, as it comes --------
//! ```
//!
//! It keeps nothing of guest memory but the buffer that is on its way ([`Replacer`] says what may go on). What it does
//! not understand it does not pass on: then it closes both ends, which fails the migration, and the guest stays at the
//! source.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use fm_stream::Replacer;

use crate::error::relay::Error;

/// As much as goes on at once. Larger ones leave the cache, smaller ones cost more calls.
const BUFFER_BYTES: usize = 256 << 10;

/// A relay that waits for the source, or is at work.
#[derive(Debug)]
pub(super) struct Relay {
    socket: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the relay's threads and its owner both see.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    ends: Mutex<Vec<Stream>>,
    failed: Mutex<Option<Error>>,
    pages_replaced: Mutex<u64>,
}

/// Where the destination listens, as far as a relay can connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Unix(PathBuf),
    Tcp(String),
}

impl Target {
    /// The target of a QEMU address; nothing for `exec:`, `fd:`, `rdma:` and the like.
    pub(super) fn parse(uri: &str) -> Option<Self> {
        if let Some(path) = uri.strip_prefix("unix:") {
            return Some(Self::Unix(path.into()));
        }
        // `tcp:HOST:PORT` may carry options of QEMU's behind a comma, which concern its own end.
        let address = uri.strip_prefix("tcp:")?.split(',').next()?;
        let (host, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        (!host.is_empty()).then(|| Self::Tcp(address.to_owned()))
    }

    fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl Relay {
    /// Listens at `socket`, which becomes `owner`'s, for one source; its CODE becomes `code` on the way to `target`.
    pub(super) fn start(
        socket: PathBuf,
        owner: (u32, u32),
        target: Target,
        code: Vec<u8>,
    ) -> Result<Self, Error> {
        let listener = UnixListener::bind(&socket).map_err(Error::Listen)?;
        let own = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        if owner != own {
            chown(&socket, Some(owner.0), Some(owner.1)).map_err(Error::Listen)?;
        }
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            if let Err(error) = serve(&listener, &target, code, &seen) {
                seen.failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
            seen.close();
        });
        Ok(Self {
            socket,
            shared,
            thread: Some(thread),
        })
    }

    /// The address for the source.
    pub(super) fn uri(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// Ends it, and says why it broke off, if it did; else how many pages it gave other content.
    pub(super) fn end(mut self) -> Result<u64, Error> {
        self.join();
        let failed = self
            .shared
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match failed {
            Some(error) => Err(error),
            None => Ok(*self
                .shared
                .pages_replaced
                .lock()
                .unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.close();
        // It may still wait for a source that will not come.
        let _ = UnixStream::connect(&self.socket);
        let _ = thread.join();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    /// Closes what is open, so that both QEMUs notice.
    fn close(&self) {
        for end in self.ends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            end.shutdown(Shutdown::Both);
        }
    }

    fn open(&self, end: &Stream) -> Result<(), Error> {
        let copy = end.copy().map_err(Error::Connect)?;
        self.ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(copy);
        Ok(())
    }
}

fn serve(listener: &UnixListener, target: &Target, code: Vec<u8>, shared: &Shared) -> Result<(), Error> {
    let (source, _) = listener.accept().map_err(Error::Listen)?;
    if shared.stop.load(Ordering::SeqCst) {
        return Ok(());
    }
    let source = Stream::Unix(source);
    shared.open(&source)?;
    let destination = target.connect().map_err(Error::Connect)?;
    shared.open(&destination)?;
    thread::scope(|scope| {
        let back = scope.spawn(|| {
            let (Ok(mut from), Ok(mut to)) = (destination.copy(), source.copy()) else {
                return;
            };
            // An end that closed says so by itself.
            let _ = io::copy(&mut from, &mut to);
            to.shutdown(Shutdown::Write);
        });
        let mut replacer = Replacer::new(code);
        let (Ok(mut from), Ok(mut to)) = (source.copy(), destination.copy()) else {
            shared.close();
            let _ = back.join();
            return Err(Error::Connect(io::ErrorKind::NotConnected.into()));
        };
        let done = forward(&mut from, &mut to, &mut replacer);
        *shared
            .pages_replaced
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = replacer.pages_replaced();
        match &done {
            Ok(()) => to.shutdown(Shutdown::Write),
            Err(_) => shared.close(),
        }
        let _ = back.join();
        // Whoever ends it ends its connections; a migration that was given up is told as what it is.
        match done {
            Err(Error::Broken(_)) if shared.stop.load(Ordering::SeqCst) => Ok(()),
            done => done,
        }
    })
}

/// Passes a stream on to its end.
fn forward(from: &mut impl Read, to: &mut impl Write, replacer: &mut Replacer) -> Result<(), Error> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut held = 0;
    loop {
        if held == buffer.len() {
            // One record is never longer than a page and a name, but what waits for its end may be.
            buffer.resize(buffer.len().saturating_mul(2), 0);
        }
        let free = buffer.get_mut(held..).unwrap_or_default();
        let read = match from.read(free) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(Error::Broken)?,
        };
        if read == 0 {
            let rest = buffer.get(..held).unwrap_or_default();
            return to.write_all(rest).map_err(Error::Broken);
        }
        let len = held.saturating_add(read);
        let filled = buffer.get_mut(..len).unwrap_or_default();
        let ready = replacer.push(filled, held)?;
        let mut sent = 0;
        let mut send = |bytes: Option<&[u8]>| to.write_all(bytes.unwrap_or_default()).map_err(Error::Broken);
        for insert in &ready.inserts {
            send(buffer.get(sent..insert.range.start))?;
            send(Some(&insert.with))?;
            sent = insert.range.end;
        }
        send(buffer.get(sent..ready.len))?;
        buffer.copy_within(ready.len..len, 0);
        held = len.saturating_sub(ready.len);
    }
}

/// One end of a connection.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn copy(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // What is closed already needs no closing.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(bytes),
            Self::Tcp(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_connects_to_sockets_and_to_nothing_else() {
        for (uri, target) in [
            ("unix:/run/a", Some(Target::Unix("/run/a".into()))),
            ("tcp:[::1]:4444", Some(Target::Tcp("[::1]:4444".into()))),
            ("tcp:host:4444,to=4446", Some(Target::Tcp("host:4444".into()))),
            ("tcp::4444", None),
            ("tcp:host:port", None),
            ("exec:cat", None),
            ("fd:7", None),
            ("rdma:host:4444", None),
            ("", None),
        ] {
            assert_eq!(Target::parse(uri), target, "{uri}");
        }
    }

    #[test]
    fn a_relay_that_no_source_comes_to_ends_without_a_complaint() {
        let folder = tempfile::tempdir().unwrap();
        let own = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let target = Target::Unix(folder.path().join("nobody"));
        let relay = Relay::start(folder.path().join("relay"), own, target, vec![1; 4096]).unwrap();
        assert_eq!(relay.end().unwrap(), 0);
    }

    #[test]
    fn what_is_no_stream_goes_nowhere_and_both_ends_are_closed() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        let listener = UnixListener::bind(&there).unwrap();
        let own = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let target = Target::Unix(there);
        let relay = Relay::start(folder.path().join("relay"), own, target, vec![1; 4096]).unwrap();
        let mut source = UnixStream::connect(folder.path().join("relay")).unwrap();
        let (mut destination, _) = listener.accept().unwrap();
        source.write_all(b"not a migration stream at all").unwrap();
        let mut arrived = Vec::new();
        destination.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived, b"");
        assert_eq!(source.read(&mut [0]).unwrap_or(0), 0);
        assert!(matches!(relay.end(), Err(Error::Stream(_))));
    }
}
