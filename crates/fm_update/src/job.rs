//! One exchange that was decided, under the guest's lock: stopped, looked at again, written, read back, let go on.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fm_host::Guest;
use fm_host::processors::Processors;
use fm_store::Store;

use crate::decide::{self, Facts};
use crate::error::TurnedUp;
use crate::exchange;
use crate::journal::{Journal, Record, Step, pin_of};
use crate::memory::{Code, Writable};
use crate::monitor::Monitor;
use crate::request::Options;
use crate::watch::Watch;
use crate::{Error, Result};

/// What is exchanged, where, and by whom the guest is stopped.
pub(crate) struct Job<'a> {
    pub(crate) store: &'a Store,
    pub(crate) options: &'a Options<'a>,
    pub(crate) guest: &'a Guest,
    pub(crate) facts: Facts,
    pub(crate) code: Code,
    pub(crate) monitor: Monitor,
    pub(crate) old: &'a [u8],
    pub(crate) new: &'a [u8],
    pub(crate) journal: &'a Journal,
}

/// How an exchange that did not come to its end leaves the guest.
enum Failed {
    /// As it was: old bytes, running or standing.
    AsItWas(Error),
    /// With bytes or in a state that somebody has to look at.
    Open(Error),
}

/// An exchange that was done.
struct Done {
    bytes_written: u64,
    pause: Option<Duration>,
}

impl Job<'_> {
    /// Does it; `record` leads to `done`. The builds stay pinned that the record names then, and no others.
    pub(crate) fn run(mut self, record: Record, done: Step) -> Result<Record> {
        let id = record.own_id();
        let flash = self.code.open(self.guest)?;
        let before = self.journal.read(&id)?;
        let watch = match self.options.watcher {
            Some(command) => {
                let mut command = command(&id);
                let program = PathBuf::from(command.get_program());
                let watch = Watch::start(&mut command);
                Some(watch.map_err(|source| Error::file("start", &program, source))?)
            }
            None => None,
        };
        let record = Record {
            previous: before
                .clone()
                .filter(|before| record.step == Step::Writing && before.step.is_in_place())
                .map(Box::new),
            ..record
        };
        self.journal.write(&record)?;
        let runs = exchange::differing(self.old, self.new);
        let (record, result) = match self.swap(record.was_running, &flash, &runs) {
            Ok(exchanged) => {
                let record = Record {
                    pause_us: exchanged.pause.map(micros),
                    bytes_written: exchanged.bytes_written,
                    held: None,
                    previous: None,
                    ..record.at(done)
                };
                (record, Ok(()))
            }
            // The journal says what it said before.
            Err(Failed::AsItWas(error)) => {
                let undone = || {
                    Record {
                        previous: None,
                        ..record
                    }
                    .at(Step::Undone)
                };
                (before.unwrap_or_else(undone), Err(error))
            }
            Err(Failed::Open(error)) => {
                // The record stays open. Who watches takes over when monitor and lock are free, which is soon.
                if let Some(watch) = watch {
                    watch.hand_over();
                }
                return Err(error);
            }
        };
        self.journal.write(&record)?;
        if let Some(watch) = watch {
            watch.dismiss();
        }
        if let Err(error) = self.store.unpin_others(&pin_of(&id), &record.builds()) {
            // They stay until the guest is updated again or gone.
            tracing::warn!(%error, "builds that are not needed any more stay pinned");
        }
        result.map(|()| record)
    }

    /// Stops the guest, looks again, exchanges, and lets it go on if it was this that stopped it and its flash is whole.
    fn swap(&mut self, was_running: bool, flash: &Writable, runs: &[Range<usize>]) -> Result<Done, Failed> {
        let state = self.monitor.run_state().map_err(Failed::AsItWas)?;
        if state != if was_running { "running" } else { "paused" } {
            return Err(Failed::AsItWas(self.turned_up(TurnedUp::RunState(state))));
        }
        let begun = Instant::now();
        if was_running {
            match self.monitor.stop() {
                Ok(true) => {}
                // Somebody did so a moment before: it is theirs to let it go on.
                Ok(false) => {
                    let why = TurnedUp::RunState("paused".into());
                    return Err(Failed::AsItWas(self.turned_up(why)));
                }
                Err(error) => return Err(Failed::Open(error)),
            }
        }
        let written = match self.exchange(flash, runs, was_running.then_some(begun)) {
            Err(error) if leaves_doubt(&error) => return Err(Failed::Open(error)),
            written => written,
        };
        if was_running {
            self.monitor.cont().map_err(|error| {
                Failed::Open(Error::NotResumed {
                    guest: self.guest.label(),
                    source: Box::new(error),
                })
            })?;
        }
        Ok(Done {
            bytes_written: written.map_err(Failed::AsItWas)?,
            pause: was_running.then(|| begun.elapsed()),
        })
    }

    /// The exchange itself, while the guest stands still, `since` then if that is for it. An error leaves the old bytes, unless
    /// it says otherwise.
    fn exchange(&mut self, flash: &Writable, runs: &[Range<usize>], since: Option<Instant>) -> Result<u64> {
        if let Some(why) = self.monitor.migration()? {
            return Err(self.turned_up(TurnedUp::Migration(why)));
        }
        // A guest that stands still cannot answer once more.
        if self.facts.processors != Processors::SystemAnswers {
            let seen = self.monitor.processors(self.guest.arch());
            if let Some(refusal) = decide::processors(seen, self.options.vouched) {
                return Err(self.turned_up(TurnedUp::Processors(refusal)));
            }
        }
        let written = exchange::exchange(flash, self.old, self.new, runs).map_err(|doubt| Error::Doubt {
            guest: self.guest.label(),
            old_in_place: doubt.old_in_place,
            source: Box::new(doubt.why),
        })?;
        let bound = self.options.max_pause;
        if let Some(took) = since.map(|since| since.elapsed()).filter(|took| *took > bound) {
            return Err(Error::TooLong {
                guest: self.guest.label(),
                took_us: micros(took),
                bound_us: micros(bound),
                old_in_place: exchange::put_back(flash, self.old, runs),
            });
        }
        // One that began meanwhile has sent pages of which nobody knows whether they were old or new.
        let error = match self.monitor.migration() {
            Ok(None) => return Ok(written),
            Ok(Some(why)) => self.turned_up(TurnedUp::MigrationSince(why)),
            Err(error) => error,
        };
        Err(match exchange::put_back(flash, self.old, runs) {
            true => error,
            false => Error::Doubt {
                guest: self.guest.label(),
                old_in_place: false,
                source: Box::new(error),
            },
        })
    }

    fn turned_up(&self, why: TurnedUp) -> Error {
        Error::LookedAgain {
            guest: self.guest.label(),
            why,
        }
    }
}

/// Whether the guest may hold a part of both, and so must not go on.
fn leaves_doubt(error: &Error) -> bool {
    matches!(
        error,
        Error::Doubt {
            old_in_place: false,
            ..
        } | Error::TooLong {
            old_in_place: false,
            ..
        }
    )
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
