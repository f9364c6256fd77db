//! All guests of this host that rollouts want something of, one step at a time.

use std::path::Path;

use fm_api::v1::fleet::{GuestProgress, GuestTarget, HostTargets, ProgressState, TargetAction};
use fm_remedy::one_line;

use super::back::back;
use super::domains::Domains;
use super::enroll::enroll;
use super::ground::Ground;
use super::health;
use super::record::{Journal, Record};
use super::reset::at_reset;
use super::restart::Restarts;
use super::take::{KEYS, pin, take, withdraw};
use crate::Result;

/// How long a guest may take to boot once nobody says so any more.
const HEALTH_TIMEOUT_S: u64 = 600;

/// So many guests are told of, which is what the fleet takes from one host.
const MAX_TOLD_COUNT: usize = 1000;

/// What is known between two steps; it begins anew with the agent.
#[derive(Debug, Default)]
pub struct Work {
    restarts: Restarts,
}

impl Work {
    /// Takes every guest one step further, and tells how far each has come.
    ///
    /// # Errors
    /// If the records cannot be read. What fails of a single guest is its evidence, and is tried again.
    pub fn step(
        &mut self,
        domains: &Domains<'_>,
        store: &Path,
        targets: Option<&HostTargets>,
    ) -> Result<Vec<GuestProgress>> {
        self.step_on(domains, store, targets)
    }

    /// The same on whatever ground.
    pub(crate) fn step_on(
        &mut self,
        ground: &dyn Ground,
        store: &Path,
        targets: Option<&HostTargets>,
    ) -> Result<Vec<GuestProgress>> {
        let wanted: Vec<&GuestTarget> = targets
            .iter()
            .flat_map(|targets| &targets.guests)
            .filter(|target| target.rollout.is_some() && target.action != TargetAction::Unknown)
            .collect();
        if wanted.is_empty() && !store.join("rollouts").exists() {
            return Ok(Vec::new());
        }
        let journal = Journal::open(store)?;
        let mut told = Vec::new();
        let known = journal.records()?;
        let is_wanted = |record: &Record| {
            wanted.iter().find(|target| {
                target.guest == record.guest && target.rollout.as_ref() == Some(&record.rollout)
            })
        };
        // Without an answer of the fleet's nobody knows that something is not wanted any more.
        for mut record in known.iter().filter(|record| is_wanted(record).is_none()).cloned() {
            let superseded = wanted.iter().any(|target| target.guest == record.guest);
            let before = record.clone();
            let done = match is_starting(ground, &record) {
                Ok(true) => Ok(false),
                Ok(false) => self.unwanted(ground, &journal, &mut record, targets.is_some(), superseded),
                Err(error) => Err(error),
            };
            match done {
                Ok(true) => self.restarts.forget(&record.guest),
                Ok(false) => told.push(record.progress()),
                Err(error) => told.push(failed(before, &error)),
            }
        }
        let known = journal.records()?;
        for target in wanted {
            let Some(rollout) = &target.rollout else { continue };
            let record = known.iter().find(|record| record.guest == target.guest);
            if record.is_some_and(|record| record.rollout != *rollout) {
                // What another one has left is put right first.
                continue;
            }
            let new = || Record::new(&target.guest, rollout, &target.build);
            let mut record = record.cloned().unwrap_or_else(new);
            let before = record.clone();
            let done = match is_starting(ground, &record) {
                Ok(true) => Ok(()),
                Ok(false) => self.one(ground, &journal, &mut record, target),
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => told.push(record.progress()),
                Err(error) => told.push(failed(before, &error)),
            }
        }
        // Those that the fleet waits for come first; what has gone well was told before.
        told.sort_by_key(|told| (told.state == ProgressState::Healthy, told.guest.clone()));
        told.truncate(MAX_TOLD_COUNT);
        Ok(told)
    }

    fn one(
        &mut self,
        ground: &dyn Ground,
        journal: &Journal,
        record: &mut Record,
        target: &GuestTarget,
    ) -> Result<()> {
        match target.action {
            TargetAction::Take => take(ground, journal, &mut self.restarts, record, target),
            TargetAction::TakeAtReset => at_reset(ground, journal, &mut self.restarts, record, target),
            TargetAction::Enroll => enroll(ground, journal, &mut self.restarts, record, target),
            TargetAction::Back => {
                if record.from.is_none() && record.to == target.build {
                    // Nothing is kept of it: it never took the build here, or came with it.
                    return unknown(ground, record, target);
                }
                back(ground, journal, &mut self.restarts, record, target)
            }
            TargetAction::Unknown => Ok(()),
        }
    }

    /// A guest that the fleet says nothing of. Whether nothing is kept of it any more.
    fn unwanted(
        &mut self,
        ground: &dyn Ground,
        journal: &Journal,
        record: &mut Record,
        is_told: bool,
        superseded: bool,
    ) -> Result<bool> {
        match record.state {
            ProgressState::Waiting | ProgressState::Armed if is_told => withdraw(ground, journal, record),
            ProgressState::Booting => {
                health::look(ground, journal, &mut self.restarts, record, HEALTH_TIMEOUT_S)?;
                Ok(false)
            }
            ProgressState::Failed if !superseded => {
                health::look(ground, journal, &mut self.restarts, record, HEALTH_TIMEOUT_S)?;
                Ok(false)
            }
            ProgressState::Reverted | ProgressState::Refused if is_told => give_up(ground, journal, record),
            // The way back stays until another rollout has the guest.
            _ if superseded => give_up(ground, journal, record),
            _ => Ok(false),
        }
    }
}

/// Whether a guest's QEMU is only just starting or ending, so that nobody can tell what it runs. Nothing is done to its
/// definition or its variables then: what looks like another build now may be the one that it was given.
fn is_starting(ground: &dyn Ground, record: &Record) -> Result<bool> {
    // In the other states nothing is taken back by what runs, or a look at health does this for itself. To look costs the
    // digest of all its flash.
    let depends = matches!(
        record.state,
        ProgressState::Armed | ProgressState::Reverting | ProgressState::Undecided
    );
    if !depends && !record.at_reset {
        return Ok(false);
    }
    let Some(process) = ground.process(&record.guest)? else {
        return Ok(false);
    };
    Ok(!health::is_certain(ground, record, &process)?)
}

/// Forgets a guest, and lets its builds go.
fn give_up(ground: &dyn Ground, journal: &Journal, record: &Record) -> Result<bool> {
    let why = pin(record);
    for build in [Some(&record.to), record.from.as_ref()].into_iter().flatten() {
        ground.let_go(&record.guest, build, &why)?;
    }
    journal.forget(&record.guest)?;
    Ok(true)
}

/// A guest of which nothing is kept here goes back if it has not got anywhere.
fn unknown(ground: &dyn Ground, record: &mut Record, target: &GuestTarget) -> Result<()> {
    let domain = ground.defined(&record.guest)?;
    let came_with_keys = target.certificates.is_some()
        && domain
            .as_ref()
            .and_then(|domain| domain.vars.as_ref()?.to_str())
            .is_some_and(|vars| vars.contains(KEYS));
    let defined = domain
        .and_then(|domain| domain.build)
        .map(|build| build.to_string());
    if came_with_keys {
        record.set(
            ProgressState::Undecided,
            "it came to this host with its keys, and its variables of before are on the host that it came from",
        );
    } else if defined
        .as_deref()
        .is_none_or(|defined| defined == target.build.as_str())
    {
        record.set(ProgressState::Reverted, "it had not taken the build here");
    } else {
        record.set(
            ProgressState::Undecided,
            "it came to this host with the build, and its variables of before are on the host that it came from",
        );
    }
    Ok(())
}

/// How far it has come, and why not further.
fn failed(record: Record, error: &crate::Error) -> GuestProgress {
    GuestProgress {
        evidence: Some(one_line(error)),
        ..record.progress()
    }
}
