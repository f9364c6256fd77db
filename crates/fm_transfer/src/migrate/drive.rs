//! Drives one migration over two monitors: settings, the stream, cancelling, and the guest's safety after a failure.

mod postcopy;
mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fm_host::qmp::{self, Client, Version};
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::postcopy::{Broken, is_postcopy};
use self::settings::{Before, Settings};
use super::Error;
use super::variables::Variables;

/// How often the source is asked how far it is. Its end is an event and needs no asking.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How long one end may take to settle after the other said that it is done.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

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

/// How far a migration is, from the source's `query-migrate`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Progress {
    /// QEMU's own word for the state, such as `active`.
    pub status: String,
    /// Bytes sent so far.
    pub transferred_bytes: u64,
    /// Bytes of guest memory still to send.
    pub remaining_bytes: u64,
    /// Bytes of guest memory altogether.
    pub total_bytes: u64,
    /// Bytes a second on the wire.
    pub rate_bytes_per_second: u64,
    /// Bytes a second that the guest writes anew.
    pub dirty_bytes_per_second: u64,
    /// Which pass over memory this is, from 1.
    pub pass: u64,
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
    /// Milliseconds left at the present rate, if there is one.
    pub eta_ms: Option<u64>,
}

/// What a completed migration took, by QEMU's own account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    pub(super) total_time_ms: u64,
    pub(super) downtime_ms: u64,
    pub(super) bytes: u64,
    /// The run state at the destination.
    pub(super) destination_status: String,
}

/// The two ends and what was changed at them.
pub(super) struct Drive<'a> {
    pub(super) source: &'a mut Client,
    pub(super) destination: &'a mut Client,
    pub(super) options: &'a Options,
    /// Whether the guest ran when we started.
    pub(super) was_running: bool,
    /// Its variables, if they can be watched.
    pub(super) variables: Option<Variables>,
    /// Whether it was switched to postcopy: it runs at the destination before all its memory is there.
    pub(super) switched: bool,
    /// Whether the destination said that it let the guest run.
    pub(super) resumed: bool,
}

impl Drive<'_> {
    /// Sends the guest over `uri` and returns once it runs (or stands, if it stood) at the destination.
    /// Setting `cancel` ends the attempt with the guest at the source.
    pub(super) fn run(
        mut self,
        uri: &str,
        cancel: &AtomicBool,
        report: &mut dyn FnMut(&Progress),
    ) -> Result<Statistics, Error> {
        let before = Before {
            source: Settings::read(self.source)?,
            destination: Settings::read(self.destination)?,
        };
        match self.attempt(uri, &before, cancel, report) {
            Ok(statistics) => {
                // The guest's next migration may be driven by somebody who knows nothing of ours, and would wait for
                // ever where it is told to pause.
                before.destination.restore(self.destination);
                before.source.restore(self.source);
                Ok(statistics)
            }
            Err(error) => Err(self.recover(error, &before)),
        }
    }

    fn attempt(
        &mut self,
        uri: &str,
        before: &Before,
        cancel: &AtomicBool,
        report: &mut dyn FnMut(&Progress),
    ) -> Result<Statistics, Error> {
        let capabilities = self.capabilities(&before.source);
        let parameters = self.parameters();
        for end in [&mut *self.destination, &mut *self.source] {
            end.execute("migrate-set-capabilities", Some(capabilities.clone()))?;
            end.execute("migrate-set-parameters", Some(parameters.clone()))?;
        }
        let mut incoming = json!({ "uri": uri });
        if let Some(arguments) = incoming.as_object_mut()
            && self.destination.version()
                >= (Version {
                    major: 9,
                    minor: 1,
                    micro: 0,
                })
        {
            // QEMU then stays, so that its reason can be asked for.
            arguments.insert("exit-on-error".into(), false.into());
        }
        self.destination
            .execute("migrate-incoming", Some(incoming))
            .map_err(|error| match error {
                source @ qmp::Error::Refused { .. } => Error::NotListening {
                    uri: uri.into(),
                    source,
                },
                other => other.into(),
            })?;
        let stopped = (self.options.stop_first && self.was_running).then(Instant::now);
        if stopped.is_some() {
            self.source.execute("stop", None)?;
        }
        if let Some(variables) = &mut self.variables {
            variables.begin();
        }
        self.source.execute("migrate", Some(json!({ "uri": uri })))?;
        self.follow(uri, cancel, report)?;
        let mut destination_status = self.wait_for_arrival()?;
        let mut stood_ms = None;
        if let Some(stopped) = stopped {
            // What it then says of its state tells whether it goes on.
            let _ = self.destination.execute("cont", None);
            destination_status = status(self.destination)?;
            stood_ms = u64::try_from(stopped.elapsed().as_millis()).ok();
        }
        // A source that has ended meanwhile has nothing more to say, and the guest is there.
        let end = self.account().unwrap_or_default();
        Ok(Statistics {
            total_time_ms: number(&end, &["total-time"]),
            downtime_ms: stood_ms.unwrap_or_else(|| number(&end, &["downtime"])),
            bytes: number(&end, &["ram", "transferred"]),
            destination_status,
        })
    }

    /// Follows the source until it says how it ended.
    fn follow(
        &mut self,
        uri: &str,
        cancel: &AtomicBool,
        report: &mut dyn FnMut(&Progress),
    ) -> Result<(), Error> {
        let (mut cancelling, mut switching, mut continued) = (false, false, false);
        let mut broken = None;
        loop {
            let info = self.source.execute("query-migrate", None)?;
            let progress = progress(&info);
            self.switched |= is_postcopy(&info);
            match progress.status.as_str() {
                "completed" => {
                    // It runs there, whatever became of the event that said so.
                    self.resumed |= self.switched;
                    return Ok(());
                }
                "cancelled" => return Err(Error::Cancelled),
                // QEMU does not wait for a connection that breaks before it has left `postcopy_start`, though the guest
                // may run by then (QEMU `migration/migration.c`).
                "failed" if self.was_switched(switching) && self.was_running => {
                    self.stop_source();
                    return Err(match self.begins_there() {
                        true => Error::PostcopyFailed {
                            source_said: reason(&info),
                        },
                        false => self.failure(&info),
                    });
                }
                "failed" => return Err(self.failure(&info)),
                // The guest stands still, and goes on elsewhere only when we say so.
                "pre-switchover" if !cancelling && !continued => {
                    if self
                        .variables
                        .as_ref()
                        .is_some_and(|variables| !variables.have_arrived())
                    {
                        return Err(Error::VariablesWritten);
                    }
                    let state = json!({ "state": "pre-switchover" });
                    self.source.execute("migrate-continue", Some(state))?;
                    continued = true;
                }
                "postcopy-paused" => {
                    report(&progress);
                    let broken = broken.get_or_insert_with(Broken::now);
                    broken.heed(cancel)?;
                    self.resume(uri, broken, cancel)?;
                    let wake = Instant::now() + REPORT_EVERY;
                    while self.source.event(wake)?.is_some() && !cancel.load(Ordering::Relaxed) {}
                    continue;
                }
                // From QEMU 9.1 on it connects in a state of its own.
                "postcopy-recover-setup" => {
                    report(&progress);
                    if let Some(broken) = &mut broken {
                        broken.heed(cancel)?;
                    }
                }
                // Others come and go between releases; whatever is not an end is on the way to one.
                _ => {
                    broken = None;
                    report(&progress);
                }
            }
            if cancel.load(Ordering::Relaxed) && !cancelling && !switching && !self.switched {
                self.source.execute("migrate_cancel", None)?;
                cancelling = true;
            }
            // The first pass sends what would be fetched page by page otherwise.
            if self.options.postcopy && !switching && !self.switched && !cancelling && progress.pass > 1 {
                self.source.execute("migrate-start-postcopy", None)?;
                switching = true;
            }
            // Wakes at the next change of state or pass, or in time for the next report or cancellation.
            let wake = Instant::now()
                + if cancelling {
                    REPORT_EVERY / 10
                } else {
                    REPORT_EVERY
                };
            while let Some(event) = self.source.event(wake)? {
                self.switched |= is_postcopy(&event.data);
                if matches!(event.name.as_str(), "MIGRATION" | "MIGRATION_PASS")
                    || cancel.load(Ordering::Relaxed)
                {
                    break;
                }
            }
        }
    }

    /// The source's account of a completed migration. QEMU 7.2 says completed before it sets the times; they
    /// are set once the source's run state is `postmigrate` (QEMU `migration/migration.c`,
    /// `migration_iteration_finish`).
    fn account(&mut self) -> Result<Value, Error> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        while status(self.source)? != "postmigrate" && Instant::now() < deadline {
            self.source
                .event(deadline.min(Instant::now() + Duration::from_millis(2)))?;
        }
        Ok(self.source.execute("query-migrate", None)?)
    }

    /// Why the migration failed, in the words of whichever end has some.
    fn failure(&mut self, info: &Value) -> Error {
        let (destination, alive) = match self.destination.execute("query-migrate", None) {
            Ok(info) => (reason(&info), true),
            Err(_) => (None, false),
        };
        Error::Failed {
            source_said: reason(info),
            destination_said: destination,
            destination_alive: alive,
        }
    }

    /// The source has sent everything; wait until the destination has left the incoming state. It may still find that it
    /// cannot load a device, of which the source hears nothing: then it ends, or stays as it was, and the guest has
    /// to go on at the source.
    fn wait_for_arrival(&mut self) -> Result<String, Error> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            match status(self.destination) {
                Ok(status) if status != "inmigrate" => return Ok(status),
                Ok(_) => {}
                Err(error) => return Err(self.lost(error)),
            }
            let info = self.destination.execute("query-migrate", None);
            let info = info.map_err(|error| self.lost(error))?;
            if progress(&info).status == "failed" {
                return Err(self.failure(&Value::Null));
            }
            if Instant::now() > deadline {
                let error = self.failure(&Value::Null);
                self.end_destination();
                return Err(error);
            }
            let wake = deadline.min(Instant::now() + REPORT_EVERY);
            let event = self.destination.event(wake).map_err(|error| self.lost(error))?;
            self.resumed |= event.is_some_and(|event| event.name == "RESUME");
        }
    }

    /// Ends a destination that must not begin to run when the source does.
    fn end_destination(&mut self) {
        let _ = self.destination.execute("quit", None);
        let ended = Instant::now() + SETTLE_TIMEOUT;
        while Instant::now() < ended && self.destination.event(ended).is_ok() {}
    }

    /// What it means that the destination's monitor failed after everything was sent.
    fn lost(&mut self, error: qmp::Error) -> Error {
        match has_ended(&error) {
            true => self.failure(&Value::Null),
            false => error.into(),
        }
    }

    /// After a failure: settings as they were, and the guest running at the source if it ran before
    /// and certainly runs nowhere else.
    fn recover(&mut self, error: Error, before: &Before) -> Error {
        // The guest is at neither end whole, and must not run at the source again.
        if matches!(
            error,
            Error::PostcopyBroken { .. } | Error::PostcopyFailed { .. } | Error::DestinationDied
        ) {
            return error;
        }
        if let Error::Monitor(qmp::Error::Closed { socket, .. } | qmp::Error::Io { socket, .. }) = &error
            && socket == self.source.socket()
        {
            if self.switched {
                return Error::SourceDiedInPostcopy;
            }
            let destination_status = status(self.destination).ok();
            return Error::SourceDied { destination_status };
        }
        let error = match error {
            Error::Monitor(monitor) if self.switched => return Error::Unfollowed(monitor),
            other => other,
        };
        // Something on the way failed and not the migration itself: it must not go on without us.
        if !matches!(error, Error::Failed { .. } | Error::Cancelled) && self.is_under_way() {
            let _ = self.source.execute("migrate_cancel", None);
            let deadline = Instant::now() + SETTLE_TIMEOUT;
            while self.is_under_way() && Instant::now() < deadline {
                let _ = self.source.event(Instant::now() + REPORT_EVERY / 10);
            }
        }
        before.source.restore(self.source);
        before.destination.restore(self.destination);
        let here = status(self.source).unwrap_or_default();
        let stands = matches!(here.as_str(), "postmigrate" | "paused" | "finish-migrate");
        let runs_elsewhere = match status(self.destination) {
            Ok(there) => there != "inmigrate",
            // With all that it needs it may begin to run at any moment.
            Err(error) if here == "postmigrate" && !has_ended(&error) => return Error::Unsettled,
            Err(_) if self.has_run_there() => return Error::DestinationDied,
            Err(_) => false,
        };
        if self.was_running && stands && !runs_elsewhere {
            let _ = self.source.execute("cont", None);
        }
        error
    }

    /// Whether the guest has begun to run at the destination; what QEMU said before it ended or fell silent still counts.
    fn has_run_there(&mut self) -> bool {
        let soon = Instant::now() + REPORT_EVERY;
        while let Ok(Some(event)) = self.destination.event(soon) {
            self.resumed |= event.name == "RESUME";
        }
        self.resumed
    }

    fn is_under_way(&mut self) -> bool {
        let info = self.source.execute("query-migrate", None);
        let status = info.ok().map(|info| progress(&info).status);
        !matches!(
            status.as_deref(),
            None | Some("" | "none" | "completed" | "failed" | "cancelled")
        )
    }

    /// What both ends must agree on: whatever the source has on already, and what was asked for.
    fn capabilities(&self, before: &Settings) -> Value {
        let mut wanted = before.enabled.clone();
        wanted.extend(["events".into(), "pause-before-switchover".into()]);
        if self.options.multifd_channels.is_some() || self.options.multifd_compression.is_some() {
            wanted.push("multifd".into());
        }
        if self.options.postcopy {
            wanted.push("postcopy-ram".into());
        }
        let list: Vec<Value> = wanted
            .iter()
            .map(|name| json!({"capability": name, "state": true}))
            .collect();
        json!({ "capabilities": list })
    }

    fn parameters(&self) -> Value {
        let options = self.options;
        let mut parameters = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                parameters.insert(name.into(), value);
            }
        };
        set("max-bandwidth", options.max_bandwidth.map(Into::into));
        set("downtime-limit", options.downtime_limit_ms.map(Into::into));
        set("multifd-channels", options.multifd_channels.map(Into::into));
        set(
            "multifd-compression",
            options.multifd_compression.clone().map(Into::into),
        );
        Value::Object(parameters)
    }
}

/// Whether there is no QEMU any more at the other end of a monitor.
fn has_ended(error: &qmp::Error) -> bool {
    matches!(error, qmp::Error::Closed { .. } | qmp::Error::Io { .. })
}

fn status(client: &mut Client) -> Result<String, qmp::Error> {
    let reply = client.execute("query-status", None)?;
    Ok(reply
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned())
}

/// Why a migration failed, in QEMU's words.
fn reason(info: &Value) -> Option<String> {
    let words = info.get("error-desc").and_then(Value::as_str);
    words.map(ToOwned::to_owned)
}

fn number(value: &Value, path: &[&str]) -> u64 {
    let found = path.iter().try_fold(value, |value, key| value.get(key));
    found.and_then(Value::as_u64).unwrap_or(0)
}

fn progress(info: &Value) -> Progress {
    let ram = |key: &str| number(info, &["ram", key]);
    // QEMU gives megabits a second as a floating-point number.
    let megabits = info
        .get("ram")
        .and_then(|ram| ram.get("mbps"))
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // `as` saturates, and a rate needs no more
    let rate = (megabits * 1e6 / 8.0) as u64;
    let remaining_bytes = ram("remaining");
    Progress {
        status: info
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        transferred_bytes: ram("transferred"),
        remaining_bytes,
        total_bytes: ram("total"),
        rate_bytes_per_second: rate,
        dirty_bytes_per_second: ram("dirty-pages-rate").saturating_mul(ram("page-size")),
        pass: ram("dirty-sync-count"),
        elapsed_ms: number(info, &["total-time"]),
        eta_ms: remaining_bytes.saturating_mul(1000).checked_div(rate),
    }
}

#[cfg(test)]
mod tests;
