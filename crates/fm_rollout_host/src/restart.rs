//! When a guest was asked to shut down, and since when it boots: spans of this host's own time.

use std::collections::HashMap;
use std::time::Duration;

use fm_api::v1::fleet::GuestTarget;

use super::ground::Ground;
use super::record::{Journal, Record};
use crate::Result;

/// A guest that did not shut down in time is asked again after so long.
const AGAIN: Duration = Duration::from_secs(3600);

/// Spans that begin anew when the agent does.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    booting: HashMap<String, Duration>,
    asked: HashMap<String, Duration>,
}

impl Restarts {
    /// A guest's process has begun to run the build.
    pub(super) fn began(&mut self, record: &Record, now: Duration) {
        self.booting.insert(record.guest.clone(), now);
    }

    /// How long it has run, as far as this agent knows.
    pub(super) fn took(&mut self, record: &Record, now: Duration) -> Duration {
        let since = *self.booting.entry(record.guest.clone()).or_insert(now);
        now.saturating_sub(since)
    }

    pub(super) fn forget(&mut self, guest: &str) {
        self.booting.remove(guest);
        self.asked.remove(guest);
    }
}

/// Whether a minute of the day is in a window.
fn is_open((from, to): (u32, u32), minute: u32) -> bool {
    match from.cmp(&to) {
        std::cmp::Ordering::Equal => true,
        std::cmp::Ordering::Less => (from..to).contains(&minute),
        std::cmp::Ordering::Greater => minute >= from || minute < to,
    }
}

/// Shuts a guest down that runs, where that is allowed, and starts one that was shut down for this. Nothing is killed.
pub(super) fn restart(
    ground: &dyn Ground,
    journal: &Journal,
    restarts: &mut Restarts,
    record: &mut Record,
    target: &GuestTarget,
) -> Result<()> {
    let is_running = ground.process(&record.guest)?.is_some();
    if !is_running {
        if record.is_ours_to_start {
            ground.start(&record.guest)?;
            record.is_ours_to_start = false;
            journal.save(record)?;
        }
        return Ok(());
    }
    let Some(window) = &target.restart else {
        return Ok(());
    };
    let now = ground.monotonic();
    if let Some(asked) = restarts.asked.get(&record.guest) {
        let passed = now.saturating_sub(*asked);
        let limit = Duration::from_secs(window.shutdown_timeout_s);
        if passed >= limit && record.is_ours_to_start {
            record.is_ours_to_start = false;
            record.evidence = Some(format!("it did not shut down within {} s", limit.as_secs()));
            journal.save(record)?;
        }
        if passed < limit.max(AGAIN) {
            return Ok(());
        }
    }
    let own = ground
        .defined(&record.guest)?
        .and_then(|domain| domain.owner?.window);
    let open = own.unwrap_or((window.from_minute, window.to_minute));
    if !is_open(open, ground.minute_of_day()) {
        return Ok(());
    }
    // Written down before: whoever comes after a kill starts it again.
    record.is_ours_to_start = true;
    record.evidence = Some("it was asked to shut down".into());
    journal.save(record)?;
    restarts.asked.insert(record.guest.clone(), now);
    ground.shut_down(&record.guest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_have_midnight_in_it() {
        for (from, to, minute, open) in [
            (60, 120, 59, false),
            (60, 120, 60, true),
            (60, 120, 119, true),
            (60, 120, 120, false),
            (1380, 60, 1400, true),
            (1380, 60, 0, true),
            (1380, 60, 60, false),
            (0, 0, 700, true),
        ] {
            assert_eq!(is_open((from, to), minute), open, "{from} {to} {minute}");
        }
    }
}
