//! What happens after the switch to postcopy, when a guest's memory lies at both ends and the connection breaks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fm_host::qmp::{self, Version};
use serde_json::{Value, json};

use super::{Drive, REPORT_EVERY, SETTLE_TIMEOUT, has_ended, status};
use crate::migrate::Error;

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
    refused: Option<String>,
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
    /// [`Drive::resume`].
    pub(super) fn heed(&mut self, cancel: &AtomicBool) -> Result<(), Error> {
        match cancel.load(Ordering::Relaxed) && self.tried {
            true => Err(Error::PostcopyBroken {
                refused: self.refused.take(),
            }),
            false => Ok(()),
        }
    }
}

impl Drive<'_> {
    /// Tries to make the connection again that broke after the switch to postcopy. The destination's main loop may stand,
    /// awaiting a page: then it greets no client either, and only who agreed on out-of-band commands before can tell
    /// it. Source: QEMU `docs/devel/migration/postcopy.rst`.
    pub(super) fn resume(
        &mut self,
        uri: &str,
        broken: &mut Broken,
        cancel: &AtomicBool,
    ) -> Result<(), Error> {
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
        let arguments = json!({ "uri": uri });
        let listens = self
            .destination
            .execute_out_of_band("migrate-recover", Some(arguments));
        let listens_already = |error: &qmp::Error| match error {
            // Before QEMU 7.1 that is said of whoever listens since an earlier attempt.
            qmp::Error::Refused { description, .. } => description.contains("triggered already"),
            _ => false,
        };
        if let Err(error) = listens
            && !listens_already(&error)
        {
            if has_ended(&error) {
                return Err(Error::DestinationDied);
            }
            // A destination that is silent now may answer at the next attempt.
            broken.refused = Some(words_of(error));
            // It may not have noticed. QEMU crashes where it is told so while it does (`migration/savevm.c`,
            // `postcopy_pause_incoming` closes the file before it changes the state), hence not at once nor twice.
            if broken.noticed_by.is_none_or(|deadline| Instant::now() > deadline) {
                if broken.noticed_by.is_some() {
                    let _ = self.destination.execute_out_of_band("migrate-pause", None);
                }
                broken.noticed_by = Some(Instant::now() + SETTLE_TIMEOUT);
            }
            return Ok(());
        }
        broken.noticed_by = None;
        self.source.drain_events();
        let arguments = json!({ "uri": uri, "resume": true });
        match self.source.execute("migrate", Some(arguments)) {
            Ok(_) => broken.refused = None,
            Err(error @ qmp::Error::Refused { .. }) => {
                broken.refused = Some(words_of(error));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        // To tell it again while it connects would break what it makes, and before QEMU 9.1 nothing tells that it failed.
        let is_here = uri.starts_with("unix:");
        let timeout = if is_here {
            CONNECT_HERE_TIMEOUT
        } else {
            CONNECT_TIMEOUT
        };
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline && !cancel.load(Ordering::Relaxed) {
            let event = self.source.event(Instant::now() + REPORT_EVERY)?;
            let event = event.filter(|event| event.name == "MIGRATION");
            let state = event.as_ref().and_then(|event| event.data.get("status"));
            if state.is_some_and(|state| state != "postcopy-paused") {
                // Should it break again, that is a new break.
                broken.since = Instant::now();
                break;
            }
        }
        Ok(())
    }

    /// Whether it was switched to postcopy, or may have been, before it failed.
    pub(super) fn was_switched(&mut self, asked: bool) -> bool {
        let said = self.source.drain_events();
        self.switched |= asked || said.iter().any(|event| is_postcopy(&event.data));
        self.switched
    }

    /// Whether the guest runs at the destination, or may, now that no more will be sent to it.
    pub(super) fn begins_there(&mut self) -> bool {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            if self.has_run_there() {
                return true;
            }
            match status(self.destination) {
                Ok(status) if status != "inmigrate" => return true,
                Ok(_) => {}
                Err(error) => return !has_ended(&error),
            }
            // From QEMU 9.1 on it stays, to be asked for the reason.
            let info = self.destination.execute("query-migrate", None);
            if info.is_ok_and(|info| info.get("status").is_some_and(|status| status == "failed")) {
                return false;
            }
            if Instant::now() > deadline {
                self.end_destination();
                return false;
            }
        }
    }

    /// Keeps the guest from going on at the source, which QEMU 10.0 lets it do by itself once it has told that it failed
    /// (`migration/migration.c`, `migration_iteration_finish`); [`Drive::recover`] lets it where it may.
    pub(super) fn stop_source(&mut self) {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        while status(self.source).is_ok_and(|here| here == "finish-migrate") && Instant::now() < deadline {
            let _ = self.source.event(Instant::now() + REPORT_EVERY / 10);
        }
        let _ = self.source.execute("stop", None);
    }
}

/// Whether a state of the migration, as a reply or event tells it, is one of postcopy.
pub(super) fn is_postcopy(said: &Value) -> bool {
    let status = said.get("status").and_then(Value::as_str);
    status.is_some_and(|status| status.starts_with("postcopy"))
}

/// QEMU's words where it refused; ours where it was silent.
fn words_of(error: qmp::Error) -> String {
    match error {
        qmp::Error::Refused { description, .. } => description,
        other => other.to_string(),
    }
}
