//! Builds for a guest's own next reset: updates of its memory, and where they stand.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fm_api::v1::fleet::Digest;
use fm_api::v1::update::RefusalReason;
use fm_check::Wording;
use fm_store::Store;
use fm_update::build::Build;
use fm_update::decide::Vouched;
use fm_update::moment::Moment;
use fm_update::{Options, Request, State};

use super::ground::{Given, Update};
use crate::Result;

/// How long a guest may stand still.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What keeps a guest from it now, and may not in a moment.
const PASSING: [RefusalReason; 5] = [
    RefusalReason::BootInProgress,
    RefusalReason::InFirmware,
    RefusalReason::JobRuns,
    RefusalReason::RunState,
    RefusalReason::Suspended,
];

/// The command that puts right what an update leaves whose process is killed: of this store, for this record.
pub type WatcherCommand = fn(&Path, &str) -> Command;

/// Updates of guests of this host.
pub(super) struct Updates<'a> {
    pub(super) store: &'a Store,
    pub(super) uri: Option<&'a str>,
    /// Without it an update that is killed is put right by whoever comes next.
    pub(super) watcher: Option<WatcherCommand>,
}

impl Updates<'_> {
    fn with<T>(&self, guest: &str, work: impl FnOnce(&Request<'_>) -> T) -> T {
        let watcher = self
            .watcher
            .map(|command| move |record: &str| command(self.store.path(), record));
        work(&Request {
            guest,
            options: Options {
                dry_run: false,
                monitor: None,
                libvirt_uri: self.uri,
                vouched: Vouched::default(),
                max_pause: MAX_PAUSE,
                moment: Moment::default(),
                wording: Wording::default(),
                watcher: watcher
                    .as_ref()
                    .map(|watcher| watcher as &dyn Fn(&str) -> Command),
            },
        })
    }

    /// Gives the guest's memory a build.
    pub(super) fn give(&self, guest: &str, build: &Digest) -> Result<Given> {
        let build = Build::find(self.store, build.as_str())?;
        let done = self.with(guest, |request| fm_update::update(self.store, request, &build))?;
        if done.state != State::Refused {
            return Ok(Given::Pending);
        }
        let reasons: Vec<String> = done
            .refusals
            .iter()
            .map(|refusal| format!("{} ({})", refusal.why, refusal.reason))
            .collect();
        let passes = done
            .refusals
            .iter()
            .all(|refusal| PASSING.contains(&refusal.reason));
        Ok(match passes {
            true => Given::Later(format!(
                "its reset cannot bring the build yet: {}",
                reasons.join("; ")
            )),
            false => Given::Not(format!(
                "its reset cannot bring the build: {}",
                reasons.join("; ")
            )),
        })
    }

    /// Where an update to this build stands; nothing if there was none.
    pub(super) fn given(&self, guest: &str, build: &Digest) -> Result<Option<Update>> {
        let status = match fm_update::status(self.store, Some(guest), Wording::default()) {
            Ok(status) => status,
            Err(
                fm_update::Error::NoUpdate { .. } | fm_update::Error::Host(fm_host::Error::NoGuest { .. }),
            ) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = status.updates.iter().find(|update| update.to == build.as_str());
        Ok(found.map(|update| match update.state {
            State::PendingReset | State::Interrupted => Update::Pending,
            State::Done => Update::Done,
            State::Planned | State::Reverted | State::Refused | State::Undone | State::Overtaken => {
                Update::Gone
            }
        }))
    }

    /// Gives it back what it had.
    pub(super) fn take_back(&self, guest: &str) -> Result<()> {
        self.with(guest, |request| fm_update::revert(self.store, request))?;
        Ok(())
    }
}
