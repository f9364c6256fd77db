//! `update` and its way back: looked at and decided twice, the second time under the lock.

use std::path::PathBuf;

use fm_api::v1::update::{Guest as GuestDocument, Refusal as RefusalDocument, State, Update, Verdict, Way};
use fm_check::Wording;
use fm_formats::Sha256;
use fm_host::Guest;
use fm_judge::Outcome;
use fm_store::{Import, Store};

use crate::build::Build;
use crate::decide::{Facts, Refusal, decide};
use crate::job::Job;
use crate::journal::{self, Journal, Record, Step, pin_of};
use crate::memory::Code;
use crate::moment;
use crate::monitor::{Monitor, Place};
use crate::request::{Options, Request};
use crate::{Error, Result, boots, exchange, gather, judged, recover};

/// Gives the guest `build` at its next reset. A guest that waits for another build's reset waits for this one then; what
/// it runs is given to it by the way back, because that is what its variables were written by.
///
/// # Errors
/// If it could not be looked at, judged or written; what it holds then is part of the error. That it must not be done
/// is no error: [`State::Refused`].
pub fn update(store: &Store, request: &Request<'_>, build: &Build) -> Result<Update> {
    let guest = fm_host::find(request.guest)?;
    if let Some(interrupted) = interrupted(store, &guest, &request.options)? {
        return Ok(interrupted);
    }
    if let Err(fm_host::Error::NoFlash { firmware, .. }) = guest.flash() {
        let refusals = decide(&gather::without_flash(firmware), Way::InPlace);
        return Ok(refused(
            &guest,
            None,
            build,
            None,
            &refusals,
            request.options.wording,
        ));
    }
    if recover::surely_waiting(store, &guest)?.is_some_and(|waits| waits.from == build.id) {
        return take_back(store, request, &guest);
    }
    give(store, request, &guest, build)
}

/// Gives the guest back what it runs if it has not reset since its last update, at once; else what it had before, at its
/// next reset.
///
/// # Errors
/// [`Error::NoUpdate`], [`Error::Overtaken`], and as [`update`].
pub fn revert(store: &Store, request: &Request<'_>) -> Result<Update> {
    let guest = fm_host::find(request.guest)?;
    if let Some(interrupted) = interrupted(store, &guest, &request.options)? {
        return Ok(interrupted);
    }
    if recover::surely_waiting(store, &guest)?.is_some() {
        return take_back(store, request, &guest);
    }
    let no_update = || Error::NoUpdate { guest: guest.label() };
    let journal = Journal::open(store)?.ok_or_else(no_update)?;
    let record = journal.read(&Record::id(&guest))?.ok_or_else(no_update)?;
    if matches!(record.step, Step::Reverted | Step::Undone) {
        return Err(no_update());
    }
    expect_held(&guest, Code::find(&guest)?.digest()?, record.to)?;
    // It runs what it was given, or may: going back is an update as any other.
    give(
        store,
        request,
        &guest,
        &Build::stored(store, &record.from.to_string())?,
    )
}

/// What an update that was interrupted left is put right; a dry run only tells of it.
fn interrupted(store: &Store, guest: &Guest, options: &Options<'_>) -> Result<Option<Update>> {
    if !options.dry_run {
        recover::if_open(store, guest)?;
        return Ok(None);
    }
    let journal = Journal::open(store)?;
    let record = journal
        .map(|journal| journal.read(&Record::id(guest)))
        .transpose()?;
    Ok(record
        .flatten()
        .filter(|record| record.step.is_open())
        .map(|record| Update {
            remarks: vec![
                "the next update of it, and the next look at where updates stand, puts that right first"
                    .into(),
            ],
            ..record.document()
        }))
}

fn expect_held(guest: &Guest, found: Sha256, expected: Sha256) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::Overtaken {
            guest: guest.label(),
            found: found.to_string(),
        }),
    }
}

/// Another build than the one that it runs.
fn give(store: &Store, request: &Request<'_>, guest: &Guest, build: &Build) -> Result<Update> {
    let options = &request.options;
    let lacks = not_the_moment(guest, options)?;
    if !lacks.is_empty() {
        let held = Code::find(guest)?.digest()?;
        return Ok(refused(guest, Some(held), build, None, &lacks, options.wording));
    }
    let (outcome, verdict) = judged::judge(store, guest, build, options.wording)?;
    let plan = Plan {
        guest,
        build,
        outcome,
        is_way_back: false,
    };
    let look = plan.look(request)?;
    let held = look.held();
    let refusals = decide(&look.facts, Way::InPlace);
    let document = |refusals: &[Refusal]| {
        let verdict = Some(verdict.clone());
        refused(guest, Some(held), build, verdict, refusals, options.wording)
    };
    if !refusals.is_empty() {
        return Ok(document(&refusals));
    }
    if options.dry_run {
        return Ok(Update {
            verdict: Some(verdict),
            ..planned(guest, &look, build)
        });
    }
    let id = Record::id(guest);
    let pin = pin_of(&id);
    // They are pinned under the lock, with the record that lets go of them.
    for bytes in [&look.bytes, &build.bytes] {
        store.import(&Import {
            code: bytes,
            ..Import::default()
        })?;
    }
    drop(look);
    let journal = Journal::make(store)?;
    let lock = journal.lock(&id, journal::LOCK_TIMEOUT)?;
    let given = give_under_lock(store, request, &plan, &journal, held);
    if !matches!(given, Ok(Ok(_))) {
        // What was not given is not needed either.
        let record = journal.read(&id)?;
        store.unpin_others(&pin, &record.map(|record| record.builds()).unwrap_or_default())?;
    }
    drop(lock);
    Ok(match given? {
        Ok(record) => Update {
            verdict: Some(verdict),
            ..record.document()
        },
        Err(refusals) => document(&refusals),
    })
}

/// The same, judged and kept, with everything else looked at once more: whoever had the lock may have stopped the guest, or
/// given it another build.
fn give_under_lock(
    store: &Store,
    request: &Request<'_>,
    plan: &Plan<'_>,
    journal: &Journal,
    held: Sha256,
) -> Result<Result<Record, Vec<Refusal>>> {
    let Plan { guest, build, .. } = *plan;
    let options = &request.options;
    recover::under_lock(store, journal, guest)?;
    let look = plan.look(request)?;
    let refusals = decide(&look.facts, Way::InPlace);
    if !refusals.is_empty() {
        return Ok(Err(refusals));
    }
    expect_held(guest, look.held(), held)?;
    let pin = pin_of(&Record::id(guest));
    for kept in [held, build.id] {
        store.pin(&kept, &pin)?;
    }
    let waits = recover::surely_waiting(store, guest)?;
    let is_over = look.facts.processors.are_in_system() || options.vouched.has_booted;
    let begun = journal::begun(guest, held, build.id, Way::InPlace);
    let record = match waits {
        Some(waits) => Record {
            from: waits.from,
            held: Some(held),
            boots: waits.boots,
            ..begun
        },
        None => Record {
            boots: boots::at_most(guest, &look.code.memory, is_over),
            ..begun
        },
    };
    plan.perform(store, options, look, journal, record, Step::Written)
        .map(Ok)
}

/// What it runs, so that its next reset runs it again.
fn take_back(store: &Store, request: &Request<'_>, guest: &Guest) -> Result<Update> {
    let options = &request.options;
    let no_update = || Error::NoUpdate { guest: guest.label() };
    let waits = recover::surely_waiting(store, guest)?.ok_or_else(no_update)?;
    let build = Build::stored(store, &waits.from.to_string())?;
    expect_held(guest, Code::find(guest)?.digest()?, waits.to)?;
    let lacks = not_the_moment(guest, options)?;
    let plan = Plan {
        guest,
        build: &build,
        // Its variables were written by what it runs.
        outcome: Outcome::Compatible,
        is_way_back: true,
    };
    let document =
        |refusals: &[Refusal]| refused(guest, Some(waits.to), &build, None, refusals, options.wording);
    if !lacks.is_empty() {
        return Ok(document(&lacks));
    }
    let look = plan.look(request)?;
    let refusals = decide(&look.facts, Way::InPlace);
    if !refusals.is_empty() {
        return Ok(document(&refusals));
    }
    if options.dry_run {
        return Ok(planned(guest, &look, &build));
    }
    drop(look);
    let journal = Journal::open(store)?.ok_or_else(no_update)?;
    let _lock = journal.lock(&Record::id(guest), journal::LOCK_TIMEOUT)?;
    recover::under_lock(store, &journal, guest)?;
    let look = plan.look(request)?;
    let refusals = decide(&look.facts, Way::InPlace);
    if !refusals.is_empty() {
        return Ok(document(&refusals));
    }
    // It may have reset while the lock or the moment was waited for: what it runs is another build then.
    let waits = recover::surely_waiting(store, guest)?
        .filter(|now| now.from == waits.from)
        .ok_or_else(no_update)?;
    expect_held(guest, look.held(), waits.to)?;
    let record = waits.at(Step::Reverting);
    let done = plan.perform(store, options, look, &journal, record, Step::Reverted)?;
    Ok(done.document())
}

/// What was asked for and does not hold, after it was waited for; a dry run does not wait.
fn not_the_moment(guest: &Guest, options: &Options<'_>) -> Result<Vec<Refusal>> {
    match options.dry_run {
        true => Ok(Vec::new()),
        false => moment::wait(guest, &options.moment, options.libvirt_uri),
    }
}

/// Which build a guest is to hold.
#[derive(Clone, Copy)]
struct Plan<'a> {
    guest: &'a Guest,
    build: &'a Build,
    outcome: Outcome,
    /// Whether it is what the guest runs.
    is_way_back: bool,
}

/// What was seen of the guest at one moment, with the monitor at which it was seen.
struct Look {
    code: Code,
    bytes: Vec<u8>,
    facts: Facts,
    place: Option<Place>,
    monitor: Option<Monitor>,
}

impl Look {
    fn held(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }
}

impl Plan<'_> {
    fn look(&self, request: &Request<'_>) -> Result<Look> {
        let Self { guest, build, .. } = *self;
        let options = &request.options;
        let code = Code::find(guest)?;
        let bytes = code.read(guest)?;
        let same_build = bytes == build.bytes;
        let mut facts = gather::of_process(guest, &code, same_build, build, self.outcome, options.vouched)?;
        if self.is_way_back {
            // What it wakes up through is what put it to sleep, and what was translated is of these very bytes.
            facts.s3 = false;
            facts.vouched.moves_before_reset = true;
        }
        let named = options.monitor.map(PathBuf::as_path);
        let place = gather::place(guest, named, request.guest, options.libvirt_uri, &mut facts)?;
        let mut monitor = gather::connect(place.as_ref(), guest)?;
        if let Some(monitor) = &mut monitor {
            gather::of_monitor(guest, monitor, &mut facts)?;
        }
        Ok(Look {
            code,
            bytes,
            facts,
            place,
            monitor,
        })
    }

    /// Exchanges what was seen for the build; `record` leads to `done`.
    fn perform(
        &self,
        store: &Store,
        options: &Options<'_>,
        look: Look,
        journal: &Journal,
        record: Record,
        done: Step,
    ) -> Result<Record> {
        let guest = self.guest;
        // Without one it was refused.
        let monitor = look
            .monitor
            .ok_or_else(|| Error::NoUpdate { guest: guest.label() })?;
        let record = Record {
            was_running: look.facts.run_state.as_deref() == Some("running"),
            place: look.place,
            ..record
        };
        let job = Job {
            store,
            options,
            guest,
            facts: look.facts,
            code: look.code,
            monitor,
            old: &look.bytes,
            new: &self.build.bytes,
            journal,
        };
        job.run(record, done)
    }
}

fn planned(guest: &Guest, look: &Look, build: &Build) -> Update {
    let differing = exchange::differing(&look.bytes, &build.bytes);
    Update {
        state: State::Planned,
        since: None,
        bytes_written: differing.iter().map(|run| run.len() as u64).sum(),
        ..journal::begun(guest, look.held(), build.id, Way::InPlace).document()
    }
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
