//! `agent`: watches this host's guests and stores the firmware that they run.
//!
//! It looks at the process table, and so needs no help of libvirt's to see a guest that started or arrived;
//! the hook and libvirt's events only make it look at once. Whatever it misses while it does not run, it
//! sees when it starts again, because guests are still there.

mod arrivals;
mod belief;
mod captured;
mod events;
mod records;
mod settle;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fm_store::Store;

use self::records::Records;
use self::watch::{OnItsWay, Watch};
use crate::Result;
use crate::fleet::{self, FleetEvent};
use fm_adopt::agent_lock::AgentLock;
use fm_adopt::libvirt::wakeup;
use fm_rollout_host::WatcherCommand;

pub use crate::error::RecordsError;

/// How the agent works.
#[derive(Debug, Clone)]
pub struct Request {
    /// How long it rests when nothing wakes it.
    pub interval: Duration,
    /// The libvirt whose domains are stamped; nothing for the system's.
    pub uri: Option<String>,
    /// How long a build that the agent stored stays after the last guest that needed it.
    pub keep: Duration,
    /// Where other hosts of the fleet get builds from this one, as `HOST:PORT`; nothing if they do not.
    pub peer: Option<String>,
    /// What puts right an update of a guest's memory whose process is killed.
    pub watcher: Option<WatcherCommand>,
    /// Look once, do what is to be done, and end.
    pub once: bool,
}

/// What the agent did, for its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// It serves this store.
    Began {
        /// The store's folder.
        store: PathBuf,
    },
    /// It brought a landing's true bytes home.
    Harvested {
        /// Whose.
        guest: String,
        /// The build.
        build: String,
    },
    /// It stored what a guest runs.
    Captured {
        /// Whose.
        guest: String,
        /// The build.
        build: String,
    },
    /// It wrote into a domain which build it runs.
    Stamped {
        /// Which.
        guest: String,
        /// The build.
        build: String,
    },
    /// It removed a build that nobody needs.
    Collected {
        /// The build.
        build: String,
    },
    /// It removed a landing whose guest never came.
    Forgot {
        /// Which.
        landing: String,
    },
    /// Something between this host and its fleet.
    Fleet(FleetEvent),
    /// It finished a write to a block device that was interrupted.
    WriteFinished {
        /// The device.
        device: PathBuf,
    },
    /// It undid a write to a block device that was interrupted.
    WriteUndone {
        /// The device.
        device: PathBuf,
    },
    /// Something failed; it will be tried again.
    Failed {
        /// What and why, in one line.
        why: String,
    },
}

/// While a guest's firmware is still on its way, its memory is looked at this often.
const ARRIVING: Duration = Duration::from_millis(100);
/// How often what nobody needs is looked for.
const COLLECT: Duration = Duration::from_secs(3600);

/// Runs until the process is told to end; `report` gets what it does.
///
/// # Errors
/// If another agent serves the store, or the store can't be used at all.
pub fn run(store: &Store, request: &Request, report: &mut dyn FnMut(&AgentEvent)) -> Result<()> {
    let lock = AgentLock::take(store)?;
    let wakeup = wakeup(store)?;
    let records = Records::open(store)?;
    if !request.once {
        events::listen(request.uri.as_deref(), wakeup.waker(store));
    }
    let mut watch = Watch::new(store, records, request.uri.as_deref(), request.peer.clone());
    report(&AgentEvent::Began {
        store: store.path().to_owned(),
    });
    // Without systemd there is nobody to tell, and that is no fault.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut collected: Option<Instant> = None;
    let mut told = settle::Reported::default();
    let fleet_folder = fleet::folder(store.path());
    let reporter =
        (!request.once).then(|| fleet::spawn(store, &fleet_folder, request.uri.as_deref(), request.watcher));
    loop {
        told.settle(store, report);
        let mut did_something = false;
        let mut on_its_way = watch.look(&mut |event| {
            did_something = true;
            report(event);
        });
        if let Some(reporter) = &reporter {
            // Whatever woke it may have been a guest that went off, or came.
            reporter.wake();
            for event in reporter.events() {
                if let FleetEvent::Fetched { build, .. } = &event {
                    watch.fetched(build, report);
                }
                report(&AgentEvent::Fleet(event));
            }
        }
        if request.once && on_its_way != OnItsWay::default() {
            // One look cannot tell whether something still changes.
            std::thread::sleep(arrivals::SETTLE);
            on_its_way = watch.look(report);
        }
        if collected.is_none_or(|last| last.elapsed() > COLLECT) {
            watch.collect(request.keep, report);
            collected = Some(Instant::now());
        }
        if request.once {
            drop(lock);
            match fleet::report_once(store, &fleet_folder, request.uri.as_deref(), request.watcher) {
                Ok(events) => events
                    .into_iter()
                    .for_each(|event| report(&AgentEvent::Fleet(event))),
                Err(error) => report(&AgentEvent::Failed {
                    why: fm_remedy::one_line(&error),
                }),
            }
            return Ok(());
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        wakeup.wait(if on_its_way.landing {
            ARRIVING
        } else {
            request.interval
        });
    }
}
