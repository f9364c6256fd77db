//! How long this host has been up: what the age of a landing is counted in, because the clock on the wall may be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of this host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Uptime {
    /// Which start of the host it belongs to.
    boot: String,
    /// How long the host had been up.
    seconds: u64,
}

impl Uptime {
    /// Now; nothing where `/proc` does not say.
    pub(crate) fn now() -> Option<Self> {
        let boot = fm_host::boot_id()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let (seconds, _) = uptime.split_once('.')?;
        Some(Self {
            boot,
            seconds: seconds.parse().ok()?,
        })
    }

    /// How long ago `then` was, at least: of what is from before the host's last start only that is known for certain.
    pub(crate) fn since(&self, then: &Self) -> Duration {
        let before = if then.boot == self.boot { then.seconds } else { 0 };
        Duration::from_secs(self.seconds.checked_sub(before).unwrap_or(self.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_this_start_of_the_host_has_an_age_and_the_rest_is_as_old_as_that_at_least() {
        let at = |boot: &str, seconds| Uptime {
            boot: boot.into(),
            seconds,
        };
        let now = at("b", 100);
        assert_eq!(now.since(&at("b", 60)), Duration::from_secs(40));
        assert_eq!(now.since(&at("a", 60)), Duration::from_secs(100));
        // A container that was started anew, under the same kernel.
        assert_eq!(now.since(&at("b", 5000)), Duration::from_secs(100));
        assert!(Uptime::now().is_some());
    }
}
