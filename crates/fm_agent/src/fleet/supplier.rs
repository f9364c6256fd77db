//! Who answers the hook: builds that it needs now are fetched from the fleet, for as long as it waits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use fm_client::{Client, Identity};
use fm_store::Store;

use super::event::FleetEvent;
use super::fetch;
use crate::{Error, Result};
use fm_adopt::supply::{HAVE, LACK, MAX_LINE_BYTES, SOCKET, Wanted};

/// So many are answered at once; who comes then goes on without us.
const MAX_ASKING_COUNT: usize = 16;
/// Nobody waits longer.
const MAX_BUDGET: Duration = Duration::from_secs(10);
/// A line has to be here by then.
const LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the threads share.
#[derive(Debug)]
struct Supplier {
    store: Store,
    /// Where the identity is.
    folder: PathBuf,
    /// Whether the fleet answered last: while it does not, nobody is let wait for it.
    reached: Arc<AtomicBool>,
    tell: Sender<FleetEvent>,
    asking: AtomicUsize,
}

/// Begins to answer, on threads of its own. Only root and this process's own user are answered.
pub(super) fn serve(
    store: &Store,
    folder: &Path,
    reached: Arc<AtomicBool>,
    tell: Sender<FleetEvent>,
) -> Result<()> {
    let path = store.path().join(SOCKET);
    let failed = |source| Error::file("create", &path, source);
    // The agent has its lock: nobody else listens there.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let supplier = Arc::new(Supplier {
        store: store.clone(),
        folder: folder.to_owned(),
        reached,
        tell,
        asking: AtomicUsize::new(0),
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let supplier = Arc::clone(&supplier);
            if supplier.asking.fetch_add(1, Ordering::SeqCst) >= MAX_ASKING_COUNT || !is_ours(&stream) {
                supplier.asking.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            std::thread::spawn(move || {
                // Who has gone meanwhile went on without us.
                let _ = supplier.answer(stream);
                supplier.asking.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    Ok(())
}

fn is_ours(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

impl Supplier {
    fn answer(&self, mut stream: UnixStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(LINE_TIMEOUT))?;
        stream.set_write_timeout(Some(LINE_TIMEOUT))?;
        let mut line = String::new();
        BufReader::new((&stream).take(MAX_LINE_BYTES)).read_line(&mut line)?;
        let has =
            Wanted::parse(&line).is_some_and(|(wanted, budget)| self.supply(&wanted, budget.min(MAX_BUDGET)));
        let answer = if has { HAVE } else { LACK };
        stream.write_all(format!("{answer}\n").as_bytes())
    }

    /// Whether the build is in the store now.
    fn supply(&self, wanted: &Wanted, budget: Duration) -> bool {
        let done = match fetch::has(&self.store, &wanted.build) {
            Ok(false) => self.fetch(wanted, budget),
            other => other,
        };
        done.unwrap_or_else(|error| {
            self.not_fetched(wanted, &error);
            false
        })
    }

    /// The host that the guest comes from has the build; else the fleet may. Each gets its part of the time, and a fleet
    /// that did not answer last is not waited for.
    fn fetch(&self, wanted: &Wanted, budget: Duration) -> Result<bool> {
        let reached = self.reached.load(Ordering::SeqCst);
        if wanted.peer.is_none() && !reached {
            return Ok(false);
        }
        let identity = match Identity::load(&self.folder) {
            Err(fm_client::Error::NoIdentity { .. }) => return Ok(false),
            loaded => loaded?,
        };
        let until = Instant::now() + budget;
        if let Some(peer) = &wanted.peer {
            let part = if reached { budget / 2 } else { budget };
            // What arrives late is in the store all the same, for the next time.
            let asked = Client::of_peer(&identity, peer, part)
                .map_err(Error::from)
                .and_then(|client| fetch::fetch(&client, &self.store, wanted));
            match asked {
                Ok(true) => return Ok(self.fetched(wanted, Some(peer))),
                Ok(false) => {}
                Err(error) if reached => self.not_fetched(wanted, &error),
                Err(error) => return Err(error),
            }
        }
        let client = match until.saturating_duration_since(Instant::now()) {
            left if reached && !left.is_zero() => Client::new(&identity, left)?,
            _ => return Ok(false),
        };
        Ok(fetch::fetch(&client, &self.store, wanted)? && self.fetched(wanted, None))
    }

    fn fetched(&self, wanted: &Wanted, peer: Option<&str>) -> bool {
        let _ = self.tell.send(FleetEvent::Fetched {
            build: wanted.build.to_string(),
            peer: peer.map(str::to_owned),
        });
        true
    }

    fn not_fetched(&self, wanted: &Wanted, error: &Error) {
        let _ = self.tell.send(FleetEvent::NotFetched {
            build: wanted.build.to_string(),
            why: fm_remedy::one_line(error),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use fm_formats::Sha256;
    use fm_store::Import;

    use super::*;
    use fm_adopt::supply::ask;

    /// Longer than anybody waits.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn what_is_here_is_said_to_be_so_and_a_fleet_that_does_not_answer_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("libvirt")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let import = Import {
            code: b"a build",
            ..Import::default()
        };
        let stored = store.import(&import).unwrap();
        let (tell, told) = mpsc::channel();
        let reached = Arc::new(AtomicBool::new(false));
        let member = folder.path().join("fleet");
        serve(&store, &member, Arc::clone(&reached), tell).unwrap();
        let has = |build: Sha256| {
            let wanted = Wanted {
                build,
                code_bytes: None,
                peer: None,
            };
            ask(folder.path(), &wanted, LONG)
        };
        assert!(has(stored.id));
        assert!(!has(Sha256::of(b"another")));
        // An identity that cannot be read would be told of, if anybody looked at it.
        std::fs::create_dir(&member).unwrap();
        std::fs::write(member.join("fleet.json"), "nonsense").unwrap();
        assert!(!has(Sha256::of(b"another")));
        assert!(told.try_recv().is_err(), "nobody looked");
        reached.store(true, Ordering::SeqCst);
        assert!(!has(Sha256::of(b"another")));
        assert!(matches!(told.recv(), Ok(FleetEvent::NotFetched { .. })));
        let mut nonsense = UnixStream::connect(folder.path().join(SOCKET)).unwrap();
        nonsense.write_all(b"have\n").unwrap();
        let mut answer = String::new();
        nonsense.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "lack\n");
    }
}
