//! What is done when a migration does not come to its end: where the guest is, and whether it may go on at the source.

use std::time::Instant;

use fm_host::qmp;
use fm_host::qmp::commands::{Cont, MigrateCancel, MigrationInfo, QueryMigrate, Quit, Stop};
use fm_host::qmp::{MigrationStatus, RunState};

use super::run_state::run_state;
use super::settings::Before;
use super::{MigrationDriver, REPORT_EVERY, SETTLE_TIMEOUT};
use crate::error::migrate::{BothEnds, Error, Reason};

impl MigrationDriver<'_> {
    /// The source said that it failed.
    pub(super) fn failed(&mut self, info: &MigrationInfo) -> Error {
        // QEMU does not wait for a connection that breaks before it has left `postcopy_start`, though the guest may run
        // by then (QEMU `migration/migration.c`).
        if self.may_be_in_postcopy() && self.was_running {
            self.stop_source();
            if self.begins_there() {
                return Error::PostcopyFailed {
                    reason: Reason::of(info.error_desc.clone(), None),
                };
            }
        }
        self.failure(Some(info))
    }

    /// Why the migration failed, in the words of whichever end has some; `info` is the source's.
    pub(super) fn failure(&mut self, info: Option<&MigrationInfo>) -> Error {
        let (destination_said, destination_alive) = match self.destination.ask(&QueryMigrate) {
            Ok(info) => (info.error_desc, true),
            Err(_) => (None, false),
        };
        Error::Failed {
            reason: Reason::of(info.and_then(|info| info.error_desc.clone()), destination_said),
            destination_alive,
        }
    }

    /// What it means that the destination's monitor failed after everything was sent.
    pub(super) fn classify_disconnect(&mut self, error: qmp::Error) -> Error {
        match has_ended(&error) {
            true => self.failure(None),
            false => error.into(),
        }
    }

    /// Settings as they were, and the guest running at the source if it ran before and certainly runs nowhere else.
    pub(super) fn make_safe(&mut self, error: Error, before: &Before) -> Error {
        // The guest is at neither end whole, or an end still works at it: it must not be told to run at the source.
        if matches!(
            error,
            Error::PostcopyBroken { .. }
                | Error::PostcopyFailed { .. }
                | Error::DestinationDied
                | Error::NotCancelled { .. }
                | Error::LeftInPostcopy { .. }
        ) {
            return error;
        }
        if let Error::Monitor(qmp::Error::Closed { socket, .. } | qmp::Error::Io { socket, .. }) = &error
            && socket == self.source.socket()
        {
            if self.seen.in_postcopy {
                return Error::SourceDiedInPostcopy;
            }
            let destination_status = run_state(self.destination).ok();
            return Error::SourceDied { destination_status };
        }
        let error = match error {
            Error::Monitor(monitor) if self.seen.in_postcopy => return Error::Unfollowed(monitor),
            other => other,
        };
        // Something on the way failed and not the migration itself: it must not go on without us.
        if !matches!(error, Error::Failed { .. } | Error::Cancelled) && !self.end_migration() {
            return Error::NotCancelled {
                ends: self.both_ends(),
                because: Some(Box::new(error)),
            };
        }
        before.source.restore(self.source);
        before.destination.restore(self.destination);
        let here = run_state(self.source).unwrap_or_default();
        let runs_elsewhere = match run_state(self.destination) {
            Ok(there) => there != RunState::InMigrate,
            // With all that it needs it may begin to run at any moment.
            Err(error) if here == RunState::PostMigrate && !has_ended(&error) => return Error::Unsettled,
            Err(_) if self.has_run_there() => return Error::DestinationDied,
            Err(_) => false,
        };
        if self.was_running && here.stands_for_migration() && !runs_elsewhere {
            let _ = self.source.ask(&Cont);
        }
        error
    }

    /// Cancels a migration that is under way; whether it is over then. A source that does not answer sends nothing that
    /// we could end.
    fn end_migration(&mut self) -> bool {
        if !self.is_under_way() {
            return true;
        }
        let _ = self.source.ask(&MigrateCancel);
        let deadline = Instant::now() + self.cancel_timeout;
        while self.is_under_way() {
            if Instant::now() > deadline {
                return false;
            }
            let _ = self.source.event(Instant::now() + REPORT_EVERY / 10);
        }
        true
    }

    fn is_under_way(&mut self) -> bool {
        let info = self.source.ask(&QueryMigrate);
        info.is_ok_and(|info| !info.status.is_over())
    }

    /// Where both ends stand, as far as they say.
    pub(super) fn both_ends(&mut self) -> BothEnds {
        BothEnds {
            source: run_state(self.source).ok(),
            migration: self.source.ask(&QueryMigrate).ok().map(|info| info.status),
            destination: run_state(self.destination).ok(),
        }
    }

    /// Ends a destination that must not begin to run when the source does.
    pub(super) fn end_destination(&mut self) {
        let _ = self.destination.ask(&Quit);
        let ended = Instant::now() + SETTLE_TIMEOUT;
        while Instant::now() < ended && self.destination.event(ended).is_ok() {}
    }

    /// Whether the guest has begun to run at the destination; what QEMU said before it ended or fell silent still counts.
    fn has_run_there(&mut self) -> bool {
        let soon = Instant::now() + REPORT_EVERY;
        while let Ok(Some(event)) = self.destination.event(soon) {
            self.seen.resume_seen |= event.name == "RESUME";
        }
        self.seen.resume_seen
    }

    /// Whether it was switched to postcopy, or may have been, before it failed.
    fn may_be_in_postcopy(&mut self) -> bool {
        let said = self.source.drain_events();
        let is_postcopy =
            |event: &qmp::Event| event.migration_status().is_some_and(|said| said.is_postcopy());
        self.seen.in_postcopy |= self.seen.postcopy_asked || said.iter().any(is_postcopy);
        self.seen.in_postcopy
    }

    /// Whether the guest runs at the destination, or may, now that no more will be sent to it.
    fn begins_there(&mut self) -> bool {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            if self.has_run_there() {
                return true;
            }
            match run_state(self.destination) {
                Ok(RunState::InMigrate) => {}
                Ok(_) => return true,
                Err(error) => return !has_ended(&error),
            }
            // From QEMU 9.1 on it stays, to be asked for the reason.
            let info = self.destination.ask(&QueryMigrate);
            if info.is_ok_and(|info| info.status == MigrationStatus::Failed) {
                return false;
            }
            if Instant::now() > deadline {
                self.end_destination();
                return false;
            }
        }
    }

    /// Keeps the guest from going on at the source, which QEMU 10.0 lets it do by itself once it has told that it failed
    /// (`migration/migration.c`, `migration_iteration_finish`); [`MigrationDriver::make_safe`] lets it where it may.
    fn stop_source(&mut self) {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        while run_state(self.source).is_ok_and(|here| here == RunState::FinishMigrate)
            && Instant::now() < deadline
        {
            let _ = self.source.event(Instant::now() + REPORT_EVERY / 10);
        }
        let _ = self.source.ask(&Stop);
    }
}

/// Whether there is no QEMU any more at the other end of a monitor.
pub(super) fn has_ended(error: &qmp::Error) -> bool {
    matches!(error, qmp::Error::Closed { .. } | qmp::Error::Io { .. })
}
