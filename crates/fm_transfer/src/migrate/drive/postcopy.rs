//! What happens after the switch to postcopy, when a guest's memory lies at both ends and the connection breaks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fm_host::qmp::commands::{Migrate, MigratePause, MigrateRecover, MigrationInfo};
use fm_host::qmp::{self, MigrationStatus, Version};

use super::failure::has_ended;
use super::phase::Phase;
use super::{MigrationDriver, REPORT_EVERY, SETTLE_TIMEOUT};
use crate::error::migrate::{Error, Reason};

/// How long a thread of QEMU's may take to find that a connection broke that another has found broken.
const BREAK_SETTLES: Duration = Duration::from_secs(1);

/// As long as Linux tries to reach a host that is silent (`tcp_syn_retries`), and a little more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(135);

/// A socket of the same host is reached at once or not at all.
const CONNECT_HERE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that broke after the switch to postcopy.
pub(super) struct Broken {
    since: Instant,
    /// Whether it was tried to make it again.
    tried: bool,
    /// What a QEMU said that refuses for now.
    refused: Option<Reason>,
    /// When the destination should have noticed that it broke.
    noticed_by: Option<Instant>,
}

impl Broken {
    pub(super) fn now() -> Self {
        Self {
            since: Instant::now(),
            tried: false,
            refused: None,
            noticed_by: None,
        }
    }

    /// Fails once somebody asked for the end and it was tried to make it again: nobody else may be able to, see
    /// [`MigrationDriver::reconnect`].
    fn check_cancelled(&mut self, cancel: &AtomicBool) -> Result<(), Error> {
        match cancel.load(Ordering::Relaxed) && self.tried {
            true => Err(Error::PostcopyBroken {
                refused: self.refused.take(),
            }),
            false => Ok(()),
        }
    }
}

impl MigrationDriver<'_> {
    /// The connection broke after the switch to postcopy: it is tried to make it again, until it is there or somebody asks
    /// for the end.
    pub(super) fn recovery(&mut self, info: &MigrationInfo, broken: &mut Broken) -> Result<Phase, Error> {
        broken.check_cancelled(self.cancel)?;
        // In another state it connects already.
        if info.status != MigrationStatus::PostcopyPaused {
            return self.wait(REPORT_EVERY, Phase::Recovery);
        }
        self.reconnect(broken)?;
        let wake = Instant::now() + REPORT_EVERY;
        while self.source.event(wake)?.is_some() && !self.cancel.load(Ordering::Relaxed) {}
        Ok(Phase::Recovery)
    }

    /// Tries to make the connection again that broke after the switch to postcopy. The destination's main loop may stand,
    /// awaiting a page: then it greets no client either, and only who agreed on out-of-band commands before can tell
    /// it. Source: QEMU `docs/devel/migration/postcopy.rst`.
    fn reconnect(&mut self, broken: &mut Broken) -> Result<(), Error> {
        // A thread of the source's closes what it reads from once it finds that the connection broke. Before QEMU 8.2
        // that may be the new one (`migration/migration.c`, `migration_release_dst_files`).
        let mended_in = Version {
            major: 8,
            minor: 2,
            micro: 0,
        };
        if self.source.version() < mended_in && broken.since.elapsed() < BREAK_SETTLES {
            return Ok(());
        }
        broken.tried = true;
        let listens = self
            .destination
            .ask_out_of_band(&MigrateRecover { uri: self.uri });
        if let Err(error) = listens
            && !listens_already(&error)
        {
            if has_ended(&error) {
                return Err(Error::DestinationDied);
            }
            // A destination that is silent now may answer at the next attempt.
            broken.refused = Some(Reason::at("destination", words_of(error)));
            // It may not have noticed. QEMU crashes where it is told so while it does (`migration/savevm.c`,
            // `postcopy_pause_incoming` closes the file before it changes the state), hence not at once nor twice.
            if broken.noticed_by.is_none_or(|deadline| Instant::now() > deadline) {
                if broken.noticed_by.is_some() {
                    let _ = self.destination.ask_out_of_band(&MigratePause);
                }
                broken.noticed_by = Some(Instant::now() + SETTLE_TIMEOUT);
            }
            return Ok(());
        }
        broken.noticed_by = None;
        self.source.drain_events();
        let resume = Migrate {
            uri: self.uri,
            resume: true,
        };
        match self.source.ask(&resume) {
            Ok(_) => broken.refused = None,
            Err(error @ qmp::Error::Refused { .. }) => {
                broken.refused = Some(Reason::at("source", words_of(error)));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        // To tell it again while it connects would break what it makes, and before QEMU 9.1 nothing tells that it failed.
        let is_here = self.uri.starts_with("unix:");
        let timeout = if is_here {
            CONNECT_HERE_TIMEOUT
        } else {
            CONNECT_TIMEOUT
        };
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline && !self.cancel.load(Ordering::Relaxed) {
            let event = self.source.event(Instant::now() + REPORT_EVERY)?;
            let status = event.and_then(|event| event.migration_status());
            if status.is_some_and(|status| status != MigrationStatus::PostcopyPaused) {
                // Should it break again, that is a new break.
                broken.since = Instant::now();
                break;
            }
        }
        Ok(())
    }
}

/// Whether a destination listens since an earlier attempt, which QEMU before 7.1 refuses to do again; later ones let go of
/// the old connection and listen anew. All of the command's refusals have the class `GenericError`, and a destination
/// whose main loop stands answers no other question: nothing but the text tells.
///
/// Source: QEMU 7.0 `migration/migration.c`, `qmp_migrate_recover`.
fn listens_already(error: &qmp::Error) -> bool {
    match error {
        qmp::Error::Refused { description, .. } => description == "Migrate recovery is triggered already",
        _ => false,
    }
}

/// QEMU's words where it refused; ours where it was silent.
fn words_of(error: qmp::Error) -> String {
    match error {
        qmp::Error::Refused { description, .. } => description,
        other => other.to_string(),
    }
}
