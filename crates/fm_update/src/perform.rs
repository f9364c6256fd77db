//! `update` and its way back, from the first look to the record of what the guest holds.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fm_api::v1::update::{Guest as GuestDocument, Refusal as RefusalDocument, State, Update, Verdict, Way};
use fm_check::Wording;
use fm_formats::Sha256;
use fm_host::Guest;
use fm_judge::Outcome;
use fm_store::{Import, Store};

use crate::build::Build;
use crate::decide::{self, Facts, Refusal, Vouched, decide};
use crate::error::TurnedUp;
use crate::exchange::{self, Doubt};
use crate::journal::{self, Journal, Record, Step};
use crate::memory::Code;
use crate::moment::{self, Moment};
use crate::monitor::Monitor;
use crate::processors::Processors;
use crate::watch::Watch;
use crate::{Error, Result, boots, gather, judged, recover};

/// What to do to which guest.
#[derive(Debug)]
pub struct Request<'a> {
    /// The guest: a pid, name, uuid, domain or QMP socket.
    pub guest: &'a str,
    /// How.
    pub options: Options<'a>,
}

/// How a guest is updated.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Judge and decide, touch nothing.
    pub dry_run: bool,
    /// A QMP socket of the guest that nobody else is connected to.
    pub monitor: Option<&'a PathBuf>,
    /// libvirt's URI; the system's if absent.
    pub libvirt_uri: Option<&'a str>,
    /// What the user vouches for.
    pub vouched: Vouched,
    /// How long the guest may stand still.
    pub max_pause: Duration,
    /// When it is done.
    pub moment: Moment,
    /// How findings and remedies are put into words.
    pub wording: Wording,
    /// The command that recovers the guest of this record if we are killed.
    pub watcher: Option<&'a dyn Fn(&str) -> Command>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("dry_run", &self.dry_run)
            .field("monitor", &self.monitor)
            .field("vouched", &self.vouched)
            .finish_non_exhaustive()
    }
}

/// Why a build of this update is kept.
pub(crate) fn pin_of(record_id: &str) -> String {
    format!("update of the guest of process {record_id}")
}

/// Gives the guest `build` at its next reset.
///
/// # Errors
/// If it could not be looked at, judged or written; what it holds then is part of the error. That it must not be done
/// is no error: [`State::Refused`].
pub fn update(store: &Store, request: &Request<'_>, build: &Build) -> Result<Update> {
    let options = &request.options;
    let guest = fm_host::find(request.guest)?;
    recover::if_open(store, &guest)?;
    if let Err(fm_host::Error::NoFlash { firmware, .. }) = guest.flash() {
        let refusals = decide(&gather::without_flash(firmware), Way::InPlace);
        return Ok(refused(&guest, None, build, None, &refusals, options.wording));
    }
    if !options.dry_run {
        // What is looked at below is looked at when it is done.
        let lacks = moment::wait(&guest, &options.moment, options.libvirt_uri)?;
        if !lacks.is_empty() {
            return Ok(refused(&guest, None, build, None, &lacks, options.wording));
        }
    }
    let code = Code::find(&guest)?;
    let old = code.read(&guest)?;
    let from = Sha256::of(&old);
    let (outcome, verdict) = judged::judge(store, &guest, build, options.wording)?;
    let mut facts = gather::of_process(&guest, &code, from == build.id, build, outcome, options.vouched)?;
    let place = gather::place(
        &guest,
        options.monitor.map(PathBuf::as_path),
        request.guest,
        options.libvirt_uri,
        &mut facts,
    )?;
    let mut monitor = gather::connect(place.as_ref())?;
    if let Some(monitor) = &mut monitor {
        gather::of_monitor(&guest, monitor, &mut facts)?;
    }
    let refusals = decide(&facts, Way::InPlace);
    let Some(monitor) = monitor.filter(|_| refusals.is_empty()) else {
        return Ok(refused(
            &guest,
            Some(from),
            build,
            Some(verdict),
            &refusals,
            options.wording,
        ));
    };
    let begun = journal::begun(&guest, from, build.id, Way::InPlace);
    if options.dry_run {
        return Ok(Update {
            state: State::Planned,
            since: None,
            bytes_written: bytes_of(&exchange::differing(&old, &build.bytes)),
            verdict: Some(verdict),
            ..begun.document()
        });
    }
    let pin = pin_of(&begun.own_id());
    for bytes in [&old, &build.bytes] {
        store.import(&Import {
            code: bytes,
            pin: Some(&pin),
            ..Import::default()
        })?;
    }
    let record = Record {
        was_running: facts.run_state.as_deref() == Some("running"),
        place,
        boots: boots::of_guest(&guest, &code.memory),
        ..begun
    };
    let mut job = Job {
        guest: &guest,
        code: &code,
        facts: &facts,
        monitor,
        options,
        journal: Journal::make(store)?,
    };
    let record = job.run(record, [&old, &build.bytes], Step::Written)?;
    Ok(Update {
        verdict: Some(verdict),
        ..record.document()
    })
}

/// Gives the guest back what it had before its last update: at once if it has not reset since, else at its next reset.
///
/// # Errors
/// [`Error::NoUpdate`], [`Error::Overtaken`], and as [`update`].
pub fn revert(store: &Store, request: &Request<'_>) -> Result<Update> {
    let options = &request.options;
    let guest = fm_host::find(request.guest)?;
    recover::if_open(store, &guest)?;
    let no_update = || Error::NoUpdate { guest: guest.label() };
    let id = Record::id(&guest);
    let journal = Journal::open(store)?.ok_or_else(no_update)?;
    let record = journal.read(&id)?.ok_or_else(no_update)?;
    if matches!(record.step, Step::Reverted | Step::Undone) {
        return Err(no_update());
    }
    let old = Build::stored(store, &record.from.to_string())?;
    let code = Code::find(&guest)?;
    let held = code.read(&guest)?;
    if Sha256::of(&held) != record.to {
        return Err(Error::Overtaken {
            guest: guest.label(),
            found: Sha256::of(&held).to_string(),
        });
    }
    let booted = recover::has_booted(&guest, &code.memory, &record);
    if record.step == Step::Done || booted == Some(true) {
        // It runs what it was given: going back is an update as any other.
        return update(store, request, &old);
    }
    // What it runs is what it had before, which goes with its variables: they were written by it.
    let mut facts = gather::of_process(&guest, &code, false, &old, Outcome::Compatible, options.vouched)?;
    facts.s3 = false;
    let place = gather::place(
        &guest,
        options.monitor.map(PathBuf::as_path),
        request.guest,
        options.libvirt_uri,
        &mut facts,
    )?;
    // That the guest's processors are emulated mattered when it was updated.
    facts.vouched.moves_before_reset = true;
    let mut monitor = gather::connect(place.as_ref())?;
    if let Some(monitor) = &mut monitor {
        gather::of_monitor(&guest, monitor, &mut facts)?;
    }
    let refusals = decide(&facts, Way::InPlace);
    let Some(monitor) = monitor.filter(|_| refusals.is_empty()) else {
        let held = record.to;
        return Ok(refused(
            &guest,
            Some(held),
            &old,
            None,
            &refusals,
            options.wording,
        ));
    };
    if options.dry_run {
        return Ok(Update {
            state: State::Planned,
            bytes_written: bytes_of(&exchange::differing(&held, &old.bytes)),
            ..record.document()
        });
    }
    let record = Record {
        was_running: facts.run_state.as_deref() == Some("running"),
        place,
        ..record
    }
    .at(Step::Reverting);
    let mut job = Job {
        guest: &guest,
        code: &code,
        facts: &facts,
        monitor,
        options,
        journal,
    };
    Ok(job.run(record, [&held, &old.bytes], Step::Reverted)?.document())
}

fn bytes_of(runs: &[std::ops::Range<usize>]) -> u64 {
    runs.iter().map(|run| run.len() as u64).sum()
}

/// The document of a refusal.
pub(crate) fn refused(
    guest: &Guest,
    from: Option<Sha256>,
    build: &Build,
    verdict: Option<Verdict>,
    refusals: &[Refusal],
    wording: Wording,
) -> Update {
    Update {
        schema: fm_api::Schema::default(),
        guest: GuestDocument {
            pid: guest.pid(),
            name: guest.name().map(str::to_owned),
            uuid: guest.uuid().map(str::to_owned),
        },
        from: from.map(|digest| digest.to_string()).unwrap_or_default(),
        to: build.id.to_string(),
        state: State::Refused,
        way: Way::InPlace,
        since: None,
        pause_us: None,
        bytes_written: 0,
        verdict,
        refusals: refusals.iter().map(|one| refusal(one, wording)).collect(),
        remarks: Vec::new(),
    }
}

/// One reason, for documents.
pub(crate) fn refusal(refusal: &Refusal, wording: Wording) -> RefusalDocument {
    RefusalDocument {
        reason: refusal.reason(),
        why: refusal.to_string(),
        remedy: refusal.remedy().as_ref().map(wording.remedy),
        path: match refusal {
            Refusal::MappedFile(path) => Some(path.into()),
            _ => None,
        },
    }
}

/// One exchange that was decided.
struct Job<'a> {
    guest: &'a Guest,
    code: &'a Code,
    facts: &'a Facts,
    monitor: Monitor,
    options: &'a Options<'a>,
    journal: Journal,
}

impl Job<'_> {
    /// Exchanges the first image for the second. The record leads to `done`.
    fn run(&mut self, record: Record, images: [&[u8]; 2], done: Step) -> Result<Record> {
        let id = record.own_id();
        let _lock = self.journal.lock(&id, journal::LOCK_TIMEOUT)?;
        let [old, new] = images;
        // Looked at under the lock: what it held when it was judged is what is taken away.
        if self.code.digest()? != Sha256::of(old) {
            return Err(Error::Overtaken {
                guest: self.guest.label(),
                found: self.code.digest()?.to_string(),
            });
        }
        let runs = exchange::differing(old, new);
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
        self.journal.write(&record)?;
        let begun = Instant::now();
        let swapped = self.swap(&record, begun, |bound| {
            let written = exchange::exchange(&flash, old, new, &runs)?;
            if begun.elapsed() > bound {
                return Ok(Err(exchange::put_back(&flash, old, &runs)));
            }
            Ok(Ok(written))
        });
        let pause_us = record.was_running.then(|| micros(begun.elapsed()));
        let (record, result) = match swapped {
            Ok(bytes_written) => {
                let record = Record {
                    pause_us,
                    bytes_written,
                    ..record.at(done)
                };
                self.journal.write(&record)?;
                (record, Ok(()))
            }
            Err(error) => {
                if !leaves_doubt(&error) {
                    // Nothing has changed: the journal says what it said before.
                    match &before {
                        Some(before) => self.journal.write(before)?,
                        None => self.journal.write(&record.clone().at(Step::Undone))?,
                    }
                }
                (record, Err(error))
            }
        };
        if let Some(watch) = watch {
            watch.dismiss();
        }
        result.map(|()| record)
    }

    /// Stops the guest, looks again, lets `exchange` work and lets the guest go on unless its flash is in doubt.
    fn swap(
        &mut self,
        record: &Record,
        begun: Instant,
        exchange: impl FnOnce(Duration) -> Result<Result<u64, bool>, Doubt>,
    ) -> Result<u64> {
        let done = self.stopped(record, begun, exchange);
        if record.was_running && !done.as_ref().is_err_and(leaves_doubt) {
            self.monitor.cont().map_err(|error| Error::NotResumed {
                guest: self.guest.label(),
                source: Box::new(error),
            })?;
        }
        done
    }

    fn stopped(
        &mut self,
        record: &Record,
        begun: Instant,
        exchange: impl FnOnce(Duration) -> Result<Result<u64, bool>, Doubt>,
    ) -> Result<u64> {
        if record.was_running {
            self.monitor.stop()?;
        }
        let guest = || self.guest.label();
        if let Some(why) = self.monitor.migration()? {
            return Err(Error::LookedAgain {
                guest: guest(),
                why: TurnedUp::Migration(why),
            });
        }
        if self.facts.processors != Processors::SystemAnswers {
            let seen = self.monitor.processors(self.guest.arch());
            if let Some(refusal) = decide::processors(seen) {
                return Err(Error::LookedAgain {
                    guest: guest(),
                    why: TurnedUp::Processors(refusal),
                });
            }
        }
        let bound = self.options.max_pause;
        match exchange(bound) {
            Ok(Ok(written)) => Ok(written),
            Ok(Err(old_in_place)) => Err(Error::TooLong {
                guest: guest(),
                took_us: micros(begun.elapsed()),
                bound_us: micros(bound),
                old_in_place,
            }),
            Err(doubt) => Err(Error::Doubt {
                guest: guest(),
                old_in_place: doubt.old_in_place,
                source: Box::new(doubt.why),
            }),
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
