//! The end of a migration that sent everything: the destination takes the guest over, or is found unable to.

use std::time::{Duration, Instant};

use fm_host::qmp::commands::{Cont, MigrationInfo, QueryMigrate};
use fm_host::qmp::{MigrationStatus, RunState};

use super::progress::Statistics;
use super::run_state::run_state;
use super::{MigrationDriver, REPORT_EVERY, SETTLE_TIMEOUT};
use crate::error::migrate::Error;

impl MigrationDriver<'_> {
    /// Waits for the guest at the destination; `stood_since` is when it was stopped for that.
    pub(super) fn arrival(&mut self, stood_since: Option<Instant>) -> Result<Statistics, Error> {
        let mut destination_status = self.wait_for_arrival()?;
        let mut stood_ms = None;
        if let Some(stopped) = stood_since {
            // What it then says of its state tells whether it goes on.
            let _ = self.destination.ask(&Cont);
            destination_status = run_state(self.destination)?;
            stood_ms = u64::try_from(stopped.elapsed().as_millis()).ok();
        }
        // A source that has ended meanwhile has nothing more to say, and the guest is there.
        let end = self.account().unwrap_or_default();
        Ok(Statistics {
            total_time_ms: end.total_time_ms,
            downtime_ms: stood_ms.unwrap_or(end.downtime_ms),
            bytes: end.ram.transferred_bytes,
            destination_status,
            processors: self.seen.processors,
        })
    }

    /// The source has sent everything; wait until the destination has left the incoming state. It may still find that it
    /// cannot load a device, of which the source hears nothing: then it ends, or stays as it was, and the guest has
    /// to go on at the source.
    fn wait_for_arrival(&mut self) -> Result<RunState, Error> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            match run_state(self.destination) {
                Ok(RunState::InMigrate) => {}
                Ok(state) => return Ok(state),
                Err(error) => return Err(self.classify_disconnect(error)),
            }
            let info = self.destination.ask(&QueryMigrate);
            let info = info.map_err(|error| self.classify_disconnect(error))?;
            if info.status == MigrationStatus::Failed {
                return Err(self.failure(None));
            }
            if Instant::now() > deadline {
                let error = self.failure(None);
                self.end_destination();
                return Err(error);
            }
            let wake = deadline.min(Instant::now() + REPORT_EVERY);
            let event = self.destination.event(wake);
            let event = event.map_err(|error| self.classify_disconnect(error))?;
            self.seen.resume_seen |= event.is_some_and(|event| event.name == "RESUME");
        }
    }

    /// The source's account of a completed migration. QEMU 7.2 says completed before it sets the times; they
    /// are set once the source's run state is `postmigrate` (QEMU `migration/migration.c`,
    /// `migration_iteration_finish`).
    fn account(&mut self) -> Result<MigrationInfo, Error> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        while run_state(self.source)? != RunState::PostMigrate && Instant::now() < deadline {
            self.source
                .event(deadline.min(Instant::now() + Duration::from_millis(2)))?;
        }
        Ok(self.source.ask(&QueryMigrate)?)
    }
}
