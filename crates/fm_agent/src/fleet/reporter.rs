//! The thread that reports: on change, as a sign of life in between, and in full regularly or when it is asked to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use fm_api::v1::fleet::{GuestProgress, HostId, HostTargets, HostView, Mark, ProgressState, ReportAnswer};
use fm_client::{Client, Identity, Precondition};
use fm_remedy::one_line;
use fm_store::Store;

use super::event::FleetEvent;
use super::gather::{Fingerprint, fingerprint, scan};
use super::labels::labels;
use super::needs::needs;
use super::outbox::Outbox;
use super::rows::Rows;
use super::{chore, fetch, renewal, supplier};
use crate::{Error, Result};
use fm_adopt::libvirt::DEFINITIONS;
use fm_adopt::supply::Wanted;
use fm_formats::Sha256;
use fm_rollout_host::{Domains, WatcherCommand, Work};

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_secs(5);
/// How often a host says that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// How often everything is looked at, whether something seems to have changed or not.
const FULL: Duration = Duration::from_secs(600);
/// The longest rest after failures.
const MAX_REST: Duration = Duration::from_secs(120);
/// A guest that left is needed here so long unless its new host was heard of before: a migration ends sooner, and a
/// guest that was shut down needs nothing.
const DEPARTURE: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(60);
/// A scan may bring the next one about; one that always does is not followed for ever.
const MAX_ROUND_COUNT: usize = 4;

/// The thread's other end.
#[derive(Debug)]
pub struct Reporter {
    wake: Sender<()>,
    events: Receiver<FleetEvent>,
}

impl Reporter {
    /// Something happened: look now.
    pub fn wake(&self) {
        // A thread that has ended has told why.
        let _ = self.wake.send(());
    }

    /// What happened since this was asked last.
    pub fn events(&self) -> impl Iterator<Item = FleetEvent> + '_ {
        self.events.try_iter()
    }
}

/// Starts the thread. As long as this host is no member of a fleet it looks now and then whether it has become one.
#[must_use]
pub fn spawn(store: &Store, folder: &Path, uri: Option<&str>, watcher: Option<WatcherCommand>) -> Reporter {
    let (wake, woken) = mpsc::channel();
    let (tell, events) = mpsc::channel();
    let (store, folder, uri) = (store.clone(), folder.to_owned(), uri.map(str::to_owned));
    let reached = Arc::new(AtomicBool::new(true));
    if let Err(error) = supplier::serve(&store, &folder, Arc::clone(&reached), tell.clone()) {
        // The hook goes on without: a guest lands as it would without a fleet.
        let _ = tell.send(FleetEvent::Lost {
            why: one_line(&error),
        });
    }
    std::thread::spawn(move || {
        let open = || Session::open(&store, &folder, uri.as_deref(), watcher);
        run(&open, &woken, &tell, &reached);
    });
    Reporter { wake, events }
}

/// Reports once, in full, does what the fleet asks for, and reports again if that was a scan. Nothing happens on a host
/// that is no member.
///
/// # Errors
/// If the fleet cannot be reached or refuses.
pub fn report_once(
    store: &Store,
    folder: &Path,
    uri: Option<&str>,
    watcher: Option<WatcherCommand>,
) -> Result<Vec<FleetEvent>> {
    let mut told = Vec::new();
    if let Some(mut session) = Session::open(store, folder, uri, watcher)? {
        // What is wanted is heard with the first answer.
        session.round(&mut |event| told.push(event))?;
        session.greet(&mut |event| told.push(event))?;
        if session.roll()? {
            session.round(&mut |event| told.push(event))?;
        }
        session.fetch(&mut |event| told.push(event))?;
        if session.heard.is_none() {
            // Nothing new to tell: whether this host is still taken is seen all the same.
            session.greet(&mut |event| told.push(event))?;
        }
        told.push(FleetEvent::Reached {
            host: session.host.to_string(),
        });
    }
    Ok(told)
}

fn run(
    open: &dyn Fn() -> Result<Option<Session>>,
    woken: &Receiver<()>,
    tell: &Sender<FleetEvent>,
    reached: &AtomicBool,
) {
    let mut session: Option<Session> = None;
    let mut failures = 0_u32;
    let mut last: Option<FleetEvent> = None;
    let mut say = |event: FleetEvent| {
        // The same is told once; a build is told each time.
        if last.as_ref() != Some(&event) {
            if !matches!(event, FleetEvent::Uploaded { .. } | FleetEvent::Fetched { .. }) {
                last = Some(event.clone());
            }
            let _ = tell.send(event);
        }
    };
    loop {
        let done = match &mut session {
            Some(session) if session.is_current() => session.turn(&mut say),
            _ => open().and_then(|opened| {
                session = opened;
                session.as_mut().map_or(Ok(()), |session| session.turn(&mut say))
            }),
        };
        reached.store(done.is_ok(), Ordering::SeqCst);
        let rest = match done {
            Ok(()) => {
                failures = 0;
                LOOK
            }
            Err(error) => {
                say(FleetEvent::Lost {
                    why: one_line(&error),
                });
                failures = failures.saturating_add(1);
                LOOK.saturating_mul(1 << failures.min(5)).min(MAX_REST)
            }
        };
        match woken.recv_timeout(rest) {
            Err(RecvTimeoutError::Disconnected) => return,
            // After a failure a busy host does not try at each of its events.
            Ok(()) if failures > 0 => std::thread::sleep(LOOK),
            _ => while woken.try_recv().is_ok() {},
        }
    }
}

/// A member of a fleet at work.
struct Session {
    store: Store,
    folder: PathBuf,
    identity: Identity,
    host: HostId,
    client: Client,
    outbox: Outbox,
    boot_id: String,
    seen: Option<Fingerprint>,
    full: Option<Instant>,
    heard: Option<Instant>,
    left: Option<Instant>,
    uri: Option<String>,
    watcher: Option<WatcherCommand>,
    began: Instant,
    work: Work,
    /// What the fleet wants here, as it was last read.
    targets: Option<HostTargets>,
    /// The revision that the last answer named.
    targets_revision: Option<u64>,
    rollouts: Vec<GuestProgress>,
}

impl Session {
    /// Nothing if this host is no member.
    fn open(
        store: &Store,
        folder: &Path,
        uri: Option<&str>,
        watcher: Option<WatcherCommand>,
    ) -> Result<Option<Self>> {
        let identity = match Identity::load(folder) {
            Ok(identity) => identity,
            Err(fm_client::Error::NoIdentity { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Self {
            host: identity.name.parse().map_err(|_| Error::NotReported)?,
            client: Client::new(&identity, TIMEOUT)?,
            outbox: Outbox::open(folder)?,
            boot_id: fm_host::boot_id().unwrap_or_default(),
            store: store.clone(),
            folder: folder.to_owned(),
            identity,
            seen: None,
            full: None,
            heard: None,
            left: None,
            uri: uri.map(str::to_owned),
            watcher,
            began: Instant::now(),
            work: Work::default(),
            targets: None,
            targets_revision: None,
            rollouts: Vec::new(),
        }))
    }

    /// Whether the identity is still the one on disk: a host may join anew while its agent runs.
    fn is_current(&self) -> bool {
        Identity::load(&self.folder).is_ok_and(|now| now.certificate == self.identity.certificate)
    }

    /// One turn: a round if something changed or it is time, and else maybe a sign of life.
    fn turn(&mut self, say: &mut dyn FnMut(FleetEvent)) -> Result<()> {
        let now = fingerprint(&self.store)?;
        let is_due = self.full.is_none_or(|last| last.elapsed() >= FULL);
        let has_left = self.left.is_some_and(|since| since.elapsed() >= DEPARTURE);
        let has_moved = self.roll()?;
        if self.seen.as_ref() != Some(&now) || is_due || has_left || has_moved || self.outbox.is_pending() {
            if has_left {
                self.outbox.forget_departures(|_| true);
                self.left = None;
            }
            self.round(say)?;
            self.fetch(say)?;
            self.seen = Some(now);
            self.full = Some(Instant::now());
        } else if self
            .heard
            .is_none_or(|last| last.elapsed() >= self.sign_of_life())
        {
            self.greet(say)?;
        }
        say(FleetEvent::Reached {
            host: self.host.to_string(),
        });
        if renewal::renew_if_due(&self.client, &self.identity, &self.folder)? {
            // The next turn finds the new certificate.
            self.full = None;
        }
        Ok(())
    }

    /// Takes guests further that rollouts want something of. Whether that is to be told. Without the fleet it goes on
    /// with what was wanted last.
    fn roll(&mut self) -> Result<bool> {
        let known = self.targets.as_ref().map(|targets| targets.revision);
        if self.targets_revision.is_some() && self.targets_revision != known {
            let path = format!("/api/v1/hosts/{}/targets", self.host);
            self.targets = Some(self.client.get(&path)?);
        }
        if self.heard.is_some() && self.targets_revision.is_none() {
            // The fleet was heard, and has never wanted anything.
            self.targets = None;
            if self.rollouts.is_empty() {
                return Ok(false);
            }
        }
        let bring = |build: &Sha256| {
            bring(&self.client, &self.store, build).map_err(fm_rollout_host::Error::not_brought)
        };
        let domains = Domains::new(&self.store, &bring, self.uri.as_deref(), self.watcher, self.began);
        let rollouts = self
            .work
            .step(&domains, self.store.path(), self.targets.as_ref())?;
        let has_moved = rollouts != self.rollouts;
        self.rollouts = rollouts;
        Ok(has_moved)
    }

    /// How often it says that it is there: more often while a guest boots what it was given, since others wait for that.
    fn sign_of_life(&self) -> Duration {
        let boots = |progress: &GuestProgress| progress.state == ProgressState::Booting;
        match self.rollouts.iter().any(boots) {
            true => LOOK,
            false => SIGN_OF_LIFE,
        }
    }

    /// Says that this host is there, and does what it is asked for.
    fn greet(&mut self, say: &mut dyn FnMut(FleetEvent)) -> Result<()> {
        let answer: ReportAnswer = self.client.write(
            "POST",
            &format!("/api/v1/hosts/{}/alive", self.host),
            &serde_json::json!({}),
            Precondition::None,
        )?;
        self.heard = Some(Instant::now());
        self.outbox.answered(&answer, false)?;
        self.targets_revision = answer.targets_revision;
        if answer.scan.is_some() || answer.recorded.is_none() {
            self.rounds(answer.scan.clone(), say)?;
        }
        self.bring(&answer, say)
    }

    fn round(&mut self, say: &mut dyn FnMut(FleetEvent)) -> Result<()> {
        self.rounds(None, say)
    }

    /// Scans and reports; again if the answer asks for a scan, which acknowledges what it asked for.
    fn rounds(&mut self, mark: Option<Mark>, say: &mut dyn FnMut(FleetEvent)) -> Result<()> {
        let mut mark = mark;
        for _ in 0..MAX_ROUND_COUNT {
            // From here on: the scan begins after the mark was seen.
            let mut seen = scan(&self.store)?;
            seen.rollouts.clone_from(&self.rollouts);
            seen.labels = labels(&self.folder)?;
            let bare = Rows::of(&seen, &[]);
            self.outbox.add_departures(&bare);
            if self.outbox.departing().is_empty() {
                self.left = None;
            } else if self.left.is_none() {
                self.left = Some(Instant::now());
            }
            let rows = Rows::of(&seen, self.outbox.departing());
            let acknowledges = mark.take().filter(|_| seen.is_complete);
            if !self.outbox.set(rows, acknowledges)? {
                return Ok(());
            }
            let answer = self.send()?;
            self.bring(&answer, say)?;
            mark = answer.scan.clone();
            let is_settled = mark.is_none() && answer.recorded.is_some() && answer.arrived.is_empty();
            if is_settled || (mark.is_some() && !seen.is_complete) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<ReportAnswer> {
        let path = format!("/api/v1/hosts/{}/report", self.host);
        let report = self.outbox.report(&self.host, &self.boot_id)?;
        let answer: ReportAnswer = match self.client.write("PUT", &path, &report, Precondition::None) {
            Err(fm_client::Error::Refused { problem }) if problem.kind.ends_with(":stale") => {
                // This host's disk was set back: the records know a later number.
                let view: HostView = self.client.get(&format!("/api/v1/hosts/{}", self.host))?;
                self.outbox.skip_to(view.sequence)?;
                let report = self.outbox.report(&self.host, &self.boot_id)?;
                self.client.write("PUT", &path, &report, Precondition::None)?
            }
            answered => answered?,
        };
        self.heard = Some(Instant::now());
        self.outbox.answered(&answer, true)?;
        self.targets_revision = answer.targets_revision;
        Ok(answer)
    }

    /// Fetches builds that guests of this host will start from. One that cannot be had keeps no other from it.
    fn fetch(&mut self, say: &mut dyn FnMut(FleetEvent)) -> Result<()> {
        for wanted in needs(&self.store, Path::new(DEFINITIONS))? {
            if fetch::has(&self.store, &wanted.build)? {
                continue;
            }
            let build = wanted.build.to_string();
            match fetch::fetch(&self.client, &self.store, &wanted) {
                Ok(true) => say(FleetEvent::Fetched { build, peer: None }),
                Ok(false) => {}
                Err(error) => say(FleetEvent::NotFetched {
                    build,
                    why: one_line(&error),
                }),
            }
        }
        Ok(())
    }

    /// Brings the builds that the fleet lacks. One that cannot be brought keeps no other from it.
    fn bring(&self, answer: &ReportAnswer, say: &mut dyn FnMut(FleetEvent)) -> Result<()> {
        let mut failed = None;
        for build in &answer.upload {
            match chore::upload(&self.client, &self.store, build) {
                Ok(true) => say(FleetEvent::Uploaded {
                    build: build.to_string(),
                }),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Whether the store has a build, which comes from the fleet if need be.
fn bring(client: &Client, store: &Store, build: &Sha256) -> Result<bool> {
    let wanted = Wanted {
        build: *build,
        code_bytes: None,
        peer: None,
    };
    Ok(fetch::has(store, build)? || fetch::fetch(client, store, &wanted)?)
}
