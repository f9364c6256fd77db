//! A build that this host lacks is asked for: the hook asks the agent of its store, over a socket, and nobody else.
//!
//! The agent answers when the build is in the store, or as soon as it knows that it will not be. Whoever asks waits no
//! longer than he said, and goes on as if there were no agent.
//!
//! ```text
//! want DIGEST SIZE MILLISECONDS [PEER]      SIZE is - where it is not known
//! have | lack
//! ```

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use fm_formats::Sha256;

pub use fm_libvirt::is_address;

/// The socket, in the folder of a store.
pub const SOCKET: &str = "libvirt/agent.sock";
/// No line is longer.
pub const MAX_LINE_BYTES: u64 = 256;
/// The answer that the build is there.
pub const HAVE: &str = "have";
/// The answer that it is not, and will not be.
pub const LACK: &str = "lack";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The digest of CODE.
    pub build: Sha256,
    /// How many bytes CODE has, where that is known: no more are fetched.
    pub code_bytes: Option<u64>,
    /// The agent of the host that the guest comes from, as `HOST:PORT`, where it says so.
    pub peer: Option<String>,
}

impl Wanted {
    /// The line that asks for it.
    fn line(&self, budget: Duration) -> String {
        let size = self
            .code_bytes
            .map_or_else(|| "-".to_owned(), |size| size.to_string());
        let peer = self
            .peer
            .as_deref()
            .map(|peer| format!(" {peer}"))
            .unwrap_or_default();
        format!("want {} {size} {}{peer}\n", self.build, budget.as_millis())
    }

    /// Reads such a line: what is wanted, and how long it is waited for.
    pub fn parse(line: &str) -> Option<(Self, Duration)> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        let mut wanted = match (words.next()?, words.next()?, words.next()?) {
            ("want", build, "-") => Self {
                build: build.parse().ok()?,
                code_bytes: None,
                peer: None,
            },
            ("want", build, size) => Self {
                build: build.parse().ok()?,
                code_bytes: Some(size.parse().ok()?),
                peer: None,
            },
            _ => return None,
        };
        let budget = Duration::from_millis(words.next()?.parse().ok()?);
        if let Some(peer) = words.next() {
            wanted.peer = Some(peer.to_owned()).filter(|peer| is_address(peer));
            wanted.peer.as_ref()?;
        }
        words.next().is_none().then_some((wanted, budget))
    }
}

/// Asks the agent of `store` for a build. Whether it is there now; without an agent that is known at once.
pub fn ask(store: &Path, wanted: &Wanted, budget: Duration) -> bool {
    let (tell, told) = mpsc::channel();
    let (path, line) = (store.join(SOCKET), wanted.line(budget));
    // On a thread: an agent that is stopped takes no connection, and nothing bounds the wait for it.
    std::thread::spawn(move || {
        let _ = tell.send(talk(&path, &line, budget));
    });
    matches!(told.recv_timeout(budget), Ok(Ok(true)))
}

fn talk(path: &Path, line: &str, budget: Duration) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(path)?;
    let budget = budget.max(Duration::from_millis(1));
    stream.set_read_timeout(Some(budget))?;
    stream.set_write_timeout(Some(budget))?;
    stream.write_all(line.as_bytes())?;
    let mut said = String::new();
    BufReader::new(std::io::Read::take(stream, MAX_LINE_BYTES)).read_line(&mut said)?;
    Ok(said.trim_end() == HAVE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn wanted(code_bytes: Option<u64>) -> Wanted {
        Wanted {
            build: Sha256::of(b"a build"),
            code_bytes,
            peer: None,
        }
    }

    #[test]
    fn what_is_asked_for_is_read_as_it_was_meant_and_nothing_else_is() {
        let budget = Duration::from_millis(900);
        for size in [None, Some(4 << 20)] {
            let line = wanted(size).line(budget);
            assert_eq!(Wanted::parse(&line), Some((wanted(size), budget)));
            assert!(line.len() as u64 <= MAX_LINE_BYTES, "{line}");
            assert_eq!(Wanted::parse(line.trim_end()), None, "it broke off");
        }
        let named = Wanted {
            peer: Some("node-a:7118".into()),
            ..wanted(None)
        };
        assert_eq!(Wanted::parse(&named.line(budget)), Some((named, budget)));
        let digest = Sha256::of(b"a build");
        for odd in ["node-a", "a:1 b:1", "a/b:1"] {
            assert_eq!(
                Wanted::parse(&format!("want {digest} - 1 {odd}\n")),
                None,
                "{odd}"
            );
        }
        for nonsense in ["", "\n", "want\n", "want x - 1\n", "want - - -\n", "have\n"] {
            assert_eq!(Wanted::parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn without_an_agent_or_with_one_that_says_nothing_the_build_is_not_there() {
        let store = tempfile::tempdir().unwrap();
        let long = Duration::from_secs(3600);
        assert!(!ask(store.path(), &wanted(None), long), "nobody listens");
        std::fs::create_dir(store.path().join("libvirt")).unwrap();
        let listener = UnixListener::bind(store.path().join(SOCKET)).unwrap();
        assert!(
            !ask(store.path(), &wanted(None), Duration::from_millis(1)),
            "nobody answers"
        );
        let agent = std::thread::spawn(move || {
            for answer in ["lack\n", "had\n", "have\n"] {
                let mut line = String::new();
                while Wanted::parse(&line).is_none_or(|(_, budget)| budget != long) {
                    line.clear();
                    let (stream, _) = listener.accept().unwrap();
                    let mut stream = BufReader::new(stream);
                    stream.read_line(&mut line).unwrap();
                    let _ = stream.get_mut().write_all(answer.as_bytes());
                }
            }
        });
        let answers = [(); 3].map(|()| ask(store.path(), &wanted(None), long));
        assert_eq!(answers, [false, false, true]);
        agent.join().unwrap();
    }
}
