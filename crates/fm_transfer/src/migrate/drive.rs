//! Drives one migration over two monitors, phase by phase.
//!
//! The source is asked how far it is; its word ([`MigrationStatus`]) leads from one [`Phase`] to the next, and each phase
//! has a function that does what is to be done in it:
//!
//! ```text
//!                setup
//!                  |
//!                  v      pre-switchover              postcopy-*
//!  +----------- precopy ----------------> switchover -----------+
//!  |  cancel       |                       |   |                |
//!  v               +------- postcopy-* ----|---|---------> postcopy <--+ postcopy-recover
//! cancelling       |                       |   |            |   |      |
//!  |               |             completed |   |            |   +-> recovery
//!  | cancelled     | failed                v   | failed     |  postcopy-paused
//!  v               v                    arrival|            | completed
//! the guest is made safe <---------------------+            +-> arrival
//! ```
//!
//! Whatever does not end in [`arrival`] goes through [`failure`], which puts the settings back and lets the guest go on
//! at the source if it certainly runs nowhere else. Once somebody asked for the end, every wait has a deadline.

mod arrival;
mod failure;
mod phase;
mod postcopy;
mod progress;
mod run_state;
mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fm_host::processors::Processors;
use fm_host::qmp::commands::{
    Migrate, MigrateCancel, MigrateContinue, MigrateIncoming, MigrateStartPostcopy, MigrationInfo,
    QueryMigrate, Stop,
};
use fm_host::qmp::{self, Client, MigrationStatus, Version};

use self::phase::Phase;
use self::postcopy::Broken;
pub use self::progress::Progress;
use self::progress::Statistics;
use self::settings::Before;
use super::variables::Variables;
use crate::error::migrate::Error;

/// How often the source is asked how far it is. Its end is an event and needs no asking.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How long one end may take to settle after the other said that it is done.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the source may take to end what somebody asked to end. A guest in postcopy may get the rest of its memory in
/// that time.
pub(super) const CANCEL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an answer may take once somebody asked for the end.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the user may choose; nothing means QEMU's own default or what is set already.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Upper bound for the stream, in bytes a second.
    pub max_bandwidth: Option<u64>,
    /// How long the guest may stand still, in milliseconds.
    pub downtime_limit_ms: Option<u64>,
    /// Send pages over this many channels.
    pub multifd_channels: Option<u8>,
    /// How QEMU compresses multifd channels: `none`, `zlib`, `zstd` …
    pub multifd_compression: Option<String>,
    /// Let the guest run at the destination before all its memory is there.
    pub postcopy: bool,
    /// Stop the guest first and let it go on at the destination: whatever it wrote arrives.
    pub stop_first: bool,
}

/// The two ends, and what is known of the migration between them.
pub(super) struct MigrationDriver<'a> {
    pub(super) source: &'a mut Client,
    pub(super) destination: &'a mut Client,
    pub(super) options: &'a Options,
    /// Where the destination listens.
    pub(super) uri: &'a str,
    /// Where the source sends, if that is not the same.
    pub(super) source_uri: Option<String>,
    /// Whether somebody asks for the end.
    pub(super) cancel: &'a AtomicBool,
    /// How long the source may take to come to one then.
    pub(super) cancel_timeout: Duration,
    /// Whether the guest ran when we started.
    pub(super) was_running: bool,
    /// Its variables, if they can be watched.
    pub(super) variables: Option<Variables>,
    /// The guest's architecture, where its CODE is exchanged on the way: it may have reset meanwhile.
    pub(super) exchanged_of: Option<&'a str>,
    pub(super) seen: Seen,
}

/// What was asked for and seen on the way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether the source said that it switched to postcopy: the guest runs at the destination before all its memory is
    /// there.
    pub(super) in_postcopy: bool,
    /// Whether the source was told to switch.
    pub(super) postcopy_asked: bool,
    /// Whether the destination said that it let the guest run.
    pub(super) resume_seen: bool,
    /// Whether the source said that the guest has reset.
    pub(super) has_reset: bool,
    /// Where the guest's processors were when it left, if its CODE is exchanged.
    pub(super) processors: Processors,
    /// When we stop waiting for an end that somebody asked for.
    pub(super) give_up_at: Option<Instant>,
}

impl MigrationDriver<'_> {
    /// Sends the guest and returns once it runs (or stands, if it stood) at the destination.
    pub(super) fn run(mut self, report: &mut dyn FnMut(&Progress)) -> Result<Statistics, Error> {
        let before = Before::read(self.source, self.destination)?;
        let done = self.setup(&before).and_then(|stood_since| {
            self.follow(report)?;
            self.arrival(stood_since)
        });
        match done {
            Ok(statistics) => {
                // The guest's next migration may be driven by somebody who knows nothing of ours, and would wait for
                // ever where it is told to pause.
                before.destination.restore(self.destination);
                before.source.restore(self.source);
                Ok(statistics)
            }
            Err(error) => Err(self.make_safe(error, &before)),
        }
    }

    /// Settings at both ends, the destination listening, the source sending; when the guest was stopped for it, if it
    /// was.
    fn setup(&mut self, before: &Before) -> Result<Option<Instant>, Error> {
        let capabilities = self.options.capabilities(&before.source);
        let parameters = self.options.parameters();
        for end in [&mut *self.destination, &mut *self.source] {
            end.ask(&capabilities)?;
            end.ask(&parameters)?;
        }
        // QEMU then stays, so that its reason can be asked for.
        let stays_from = Version {
            major: 9,
            minor: 1,
            micro: 0,
        };
        let incoming = MigrateIncoming {
            uri: self.uri,
            exit_on_error: (self.destination.version() >= stays_from).then_some(false),
        };
        self.destination.ask(&incoming).map_err(|error| match error {
            source @ qmp::Error::Refused { .. } => Error::NotListening {
                uri: self.uri.into(),
                source,
            },
            other => other.into(),
        })?;
        let stood_since = (self.options.stop_first && self.was_running).then(Instant::now);
        if stood_since.is_some() {
            self.source.ask(&Stop)?;
        }
        if let Some(variables) = &mut self.variables {
            variables.begin();
        }
        self.source.ask(&Migrate {
            uri: self.source_uri.as_deref().unwrap_or(self.uri),
            resume: false,
        })?;
        Ok(stood_since)
    }

    /// Follows the source until it has sent everything.
    fn follow(&mut self, report: &mut dyn FnMut(&Progress)) -> Result<(), Error> {
        let mut phase = Phase::Precopy;
        let mut broken = None;
        loop {
            let info = self.source.ask(&QueryMigrate)?;
            self.seen.in_postcopy |= info.status.is_postcopy();
            let before = phase;
            phase = phase.after(&info.status);
            if phase != Phase::Recovery {
                broken = None;
            }
            let is_cancelled = match phase {
                Phase::Arrival | Phase::Cancelled | Phase::Failed => false,
                _ => {
                    report(&Progress::from(&info));
                    self.check_cancelled()?
                }
            };
            phase = match phase {
                Phase::Precopy | Phase::Switchover if is_cancelled && self.may_cancel() => {
                    self.begin_cancelling()?
                }
                Phase::Precopy => self.precopy(&info)?,
                Phase::Switchover if before != Phase::Switchover => self.switchover()?,
                Phase::Switchover | Phase::Postcopy => self.wait(REPORT_EVERY, phase)?,
                Phase::Cancelling => self.wait(REPORT_EVERY / 10, phase)?,
                Phase::Recovery => self.recovery(&info, broken.get_or_insert_with(Broken::now))?,
                Phase::Arrival => {
                    // It runs there, whatever became of the event that said so.
                    self.seen.resume_seen |= self.seen.in_postcopy;
                    return Ok(());
                }
                Phase::Cancelled => return Err(Error::Cancelled),
                Phase::Failed => return Err(self.failed(&info)),
            };
        }
    }

    /// Memory is sent while the guest runs. The first pass sends what would be fetched page by page otherwise, so postcopy
    /// begins after it.
    fn precopy(&mut self, info: &MigrationInfo) -> Result<Phase, Error> {
        let seen = &mut self.seen;
        if self.options.postcopy && !seen.postcopy_asked && !seen.in_postcopy && info.ram.pass > 1 {
            self.source.ask(&MigrateStartPostcopy)?;
            seen.postcopy_asked = true;
        }
        self.wait(REPORT_EVERY, Phase::Precopy)
    }

    /// The guest stands still, and goes on elsewhere only when we say so.
    fn switchover(&mut self) -> Result<Phase, Error> {
        let variables = self.variables.as_ref();
        if variables.is_some_and(|variables| !variables.have_arrived()) {
            return Err(Error::VariablesWritten);
        }
        if let Some(arch) = self.exchanged_of {
            self.seen.processors = Processors::look(self.source, arch);
            let events = self.source.drain_events();
            self.seen.has_reset |= events.iter().any(|event| event.name == "RESET");
            if self.seen.has_reset || self.seen.processors.use_flash() {
                return Err(Error::Booting);
            }
        }
        self.source.ask(&MigrateContinue {
            state: MigrationStatus::PreSwitchover,
        })?;
        self.wait(REPORT_EVERY, Phase::Switchover)
    }

    /// Tells the source to end it.
    fn begin_cancelling(&mut self) -> Result<Phase, Error> {
        self.source.ask(&MigrateCancel)?;
        self.wait(REPORT_EVERY / 10, Phase::Cancelling)
    }

    /// Whether the guest is still the source's alone.
    const fn may_cancel(&self) -> bool {
        !self.seen.postcopy_asked && !self.seen.in_postcopy
    }

    /// Whether somebody asked for the end.
    ///
    /// # Errors
    /// If that is so long ago that no end is to be expected from the source.
    fn check_cancelled(&mut self) -> Result<bool, Error> {
        if !self.cancel.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let now = Instant::now();
        let give_up_at = *self.seen.give_up_at.get_or_insert_with(|| {
            self.source.limit_timeout(LAST_ANSWER_TIMEOUT);
            self.destination.limit_timeout(LAST_ANSWER_TIMEOUT);
            now + self.cancel_timeout
        });
        if now < give_up_at {
            return Ok(true);
        }
        let ends = self.both_ends();
        Err(match self.may_cancel() {
            true => Error::NotCancelled { ends, because: None },
            false => Error::LeftInPostcopy { ends },
        })
    }

    /// Waits for the next change of state or pass, or until it is time for the next report or for an end; `phase` goes on.
    fn wait(&mut self, at_most: Duration, phase: Phase) -> Result<Phase, Error> {
        let wake = Instant::now() + at_most;
        while let Some(event) = self.source.event(wake)? {
            self.seen.in_postcopy |= event
                .migration_status()
                .is_some_and(|status| status.is_postcopy());
            self.seen.has_reset |= event.name == "RESET";
            if matches!(event.name.as_str(), "MIGRATION" | "MIGRATION_PASS")
                || self.cancel.load(Ordering::Relaxed)
            {
                break;
            }
        }
        Ok(phase)
    }
}

#[cfg(test)]
mod tests;
