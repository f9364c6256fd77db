//! The thread that writes: what waits at the same time is committed together, each transaction with a revision of
//! its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::oneshot;

use super::SqliteOptions;
use super::schema::{connect, failed, number, prepare, set_state, state};
use crate::watch::Watchers;
use crate::{Clock, Error, Result};
use crate::{Compare, LeaseId, Operation, Outcome, Revision, Transaction, Watch};

/// So many jobs share one commit, and the wait for the disk.
const MAX_BATCH_COUNT: usize = 128;
/// So often, in revisions, what is too old is forgotten.
const COMPACT_EVERY: Revision = 64;
/// So often leases are looked at though nobody asks for anything.
const LOOK_AT_LEASES: Duration = Duration::from_millis(500);

/// Something to be written.
pub(super) enum WriteJob {
    Transact {
        transaction: Transaction,
        answer: oneshot::Sender<Result<Outcome>>,
    },
    Watch {
        prefix: String,
        answer: oneshot::Sender<Result<Watch>>,
    },
    Lease {
        ttl: Duration,
        answer: oneshot::Sender<Result<LeaseId>>,
    },
    Renew {
        lease: LeaseId,
        answer: oneshot::Sender<Result<bool>>,
    },
    Revoke {
        lease: LeaseId,
        answer: oneshot::Sender<Result<()>>,
    },
}

struct Lease {
    ttl: Duration,
    deadline: Duration,
}

pub(super) struct Writer {
    connection: Connection,
    revision: Revision,
    oldest: Revision,
    last_lease: u64,
    kept: Revision,
    clock: Arc<dyn Clock>,
    leases: BTreeMap<LeaseId, Lease>,
    watchers: Watchers,
}

/// What a batch has done so far, which counts once it is committed.
#[derive(Default)]
struct Batch {
    changed: Vec<(Revision, Vec<String>)>,
    granted: Vec<(LeaseId, Duration)>,
    ended: Vec<LeaseId>,
}

/// An answer that is given once the batch is committed.
enum Answer {
    Transact(oneshot::Sender<Result<Outcome>>, Result<Outcome>),
    Lease(oneshot::Sender<Result<LeaseId>>, LeaseId),
    Revoke(oneshot::Sender<Result<()>>),
}

impl Writer {
    pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Self> {
        let connection = connect(path)?;
        prepare(&connection)?;
        let read = || {
            let numbers = (
                state(&connection, "revision")?,
                state(&connection, "oldest")?,
                state(&connection, "last_lease")?,
            );
            let mut statement = connection.prepare("SELECT id, ttl_ms FROM leases")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((numbers, rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?))
        };
        let ((revision, oldest, last_lease), rows) = read().map_err(failed("open them"))?;
        // Nobody could renew while no server ran: each lease gets its whole time again.
        let now = options.clock.monotonic();
        let leases = rows.into_iter().map(|(id, ttl_ms)| {
            let ttl = Duration::from_millis(u64::try_from(ttl_ms).unwrap_or(0));
            let deadline = now.saturating_add(ttl);
            (LeaseId(id), Lease { ttl, deadline })
        });
        Ok(Self {
            revision,
            oldest,
            last_lease,
            kept: options.kept_revision_count,
            clock: Arc::clone(&options.clock),
            leases: leases.collect(),
            watchers: Watchers::default(),
            connection,
        })
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self, jobs: &mpsc::Receiver<WriteJob>) {
        loop {
            let mut waiting = Vec::new();
            match jobs.recv_timeout(LOOK_AT_LEASES) {
                Ok(job) => waiting.push(job),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            waiting.extend(jobs.try_iter().take(MAX_BATCH_COUNT));
            self.batch(waiting);
        }
    }

    fn batch(&mut self, jobs: Vec<WriteJob>) {
        let now = self.clock.monotonic();
        let mut writes = Vec::new();
        for job in jobs {
            match job {
                WriteJob::Watch { prefix, answer } => {
                    let _ = answer.send(Ok(self.watchers.add(&prefix)));
                }
                WriteJob::Renew { lease, answer } => {
                    let found = self.leases.get_mut(&lease).filter(|lease| lease.deadline > now);
                    let is_there = found.is_some();
                    if let Some(lease) = found {
                        lease.deadline = now.saturating_add(lease.ttl);
                    }
                    let _ = answer.send(Ok(is_there));
                }
                job => writes.push(job),
            }
        }
        let over: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        if writes.is_empty() && over.is_empty() {
            return;
        }
        let (revision, last_lease, oldest) = (self.revision, self.last_lease, self.oldest);
        let mut batch = Batch::default();
        let mut answers = Vec::new();
        match self.write(writes, over, &mut batch, &mut answers) {
            Ok(()) => self.committed(batch, answers),
            Err(source) => {
                // Nothing of the batch was done; if even the rollback fails, the next BEGIN says so.
                let _ = self.connection.execute_batch("ROLLBACK");
                (self.revision, self.last_lease, self.oldest) = (revision, last_lease, oldest);
                let source = Arc::new(source);
                for answer in answers {
                    let failed = || Error::engine("change records", Arc::clone(&source));
                    match answer {
                        Answer::Transact(sender, _) => drop(sender.send(Err(failed()))),
                        Answer::Lease(sender, _) => drop(sender.send(Err(failed()))),
                        Answer::Revoke(sender) => drop(sender.send(Err(failed()))),
                    }
                }
            }
        }
    }

    fn committed(&mut self, batch: Batch, answers: Vec<Answer>) {
        let now = self.clock.monotonic();
        for (id, ttl) in batch.granted {
            let deadline = now.saturating_add(ttl);
            self.leases.insert(id, Lease { ttl, deadline });
        }
        for id in batch.ended {
            self.leases.remove(&id);
        }
        for (revision, keys) in batch.changed {
            self.watchers.tell(&keys, revision);
        }
        for answer in answers {
            match answer {
                Answer::Transact(sender, outcome) => drop(sender.send(outcome)),
                Answer::Lease(sender, lease) => drop(sender.send(Ok(lease))),
                Answer::Revoke(sender) => drop(sender.send(Ok(()))),
            }
        }
    }

    fn write(
        &mut self,
        jobs: Vec<WriteJob>,
        over: Vec<LeaseId>,
        batch: &mut Batch,
        answers: &mut Vec<Answer>,
    ) -> rusqlite::Result<()> {
        // Whoever asked is answered even if the very beginning fails.
        let mut work = Vec::new();
        for job in jobs {
            match job {
                WriteJob::Transact { transaction, answer } => {
                    answers.push(Answer::Transact(answer, Ok(Outcome::Conflict)));
                    work.push(Some(transaction));
                }
                WriteJob::Lease { ttl, answer } => {
                    self.last_lease = self.last_lease.saturating_add(1);
                    let id = LeaseId(number(self.last_lease));
                    answers.push(Answer::Lease(answer, id));
                    batch.granted.push((id, ttl));
                    work.push(None);
                }
                WriteJob::Revoke { lease, answer } => {
                    answers.push(Answer::Revoke(answer));
                    batch.ended.push(lease);
                    work.push(None);
                }
                WriteJob::Watch { .. } | WriteJob::Renew { .. } => {}
            }
        }
        batch.ended.extend(over);
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for (id, ttl) in &batch.granted {
            let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
            self.connection
                .prepare_cached("INSERT INTO leases VALUES (?1, ?2)")?
                .execute((id.0, ttl_ms))?;
        }
        for lease in batch.ended.clone() {
            self.end(lease, batch)?;
        }
        for (transaction, answer) in work.into_iter().zip(answers.iter_mut()) {
            if let (Some(transaction), Answer::Transact(_, outcome)) = (transaction, answer) {
                *outcome = self.transact(transaction, batch)?;
            }
        }
        self.compact()?;
        set_state(&self.connection, "revision", self.revision)?;
        set_state(&self.connection, "last_lease", self.last_lease)?;
        self.connection.execute_batch("COMMIT")
    }

    fn end(&mut self, lease: LeaseId, batch: &mut Batch) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM leases WHERE id = ?1")?
            .execute([lease.0])?;
        let keys: Vec<String> = self
            .connection
            .prepare_cached("SELECT key FROM current WHERE lease = ?1")?
            .query_map([lease.0], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if keys.is_empty() {
            return Ok(());
        }
        self.revision = self.revision.saturating_add(1);
        for key in &keys {
            self.supersede(key)?;
            self.delete(key)?;
        }
        batch.changed.push((self.revision, keys));
        Ok(())
    }

    fn transact(&mut self, transaction: Transaction, batch: &mut Batch) -> rusqlite::Result<Result<Outcome>> {
        for compare in &transaction.compares {
            let (Compare::Absent(key) | Compare::Modified(key, _) | Compare::Created(key, _)) = compare;
            let found = self.versions(key)?;
            let holds = match compare {
                Compare::Absent(_) => found.is_none(),
                Compare::Modified(_, revision) => {
                    found.is_some_and(|(_, modified)| modified == number(*revision))
                }
                Compare::Created(_, revision) => {
                    found.is_some_and(|(created, _)| created == number(*revision))
                }
            };
            if !holds {
                return Ok(Ok(Outcome::Conflict));
            }
        }
        let is_gone = |lease: &LeaseId| {
            let is_held = self.leases.contains_key(lease) || batch.granted.iter().any(|(id, _)| id == lease);
            !is_held || batch.ended.contains(lease)
        };
        let relies_on_gone = transaction.operations.iter().any(
            |operation| matches!(operation, Operation::Put { lease: Some(lease), .. } if is_gone(lease)),
        );
        if relies_on_gone {
            return Ok(Err(Error::LeaseGone));
        }
        let next = self.revision.saturating_add(1);
        let before = std::mem::replace(&mut self.revision, next);
        let mut changed = Vec::new();
        for operation in transaction.operations {
            match operation {
                Operation::Put { key, value, lease } => {
                    let created = self.versions(&key)?.map_or(number(next), |(created, _)| created);
                    self.supersede(&key)?;
                    self.connection
                        .prepare_cached("INSERT OR REPLACE INTO current VALUES (?1, ?2, ?3, ?4, ?5)")?
                        .execute((&key, created, number(next), lease.map(|lease| lease.0), value))?;
                    changed.push(key);
                }
                Operation::Delete { key } => {
                    self.supersede(&key)?;
                    if self.delete(&key)? {
                        changed.push(key);
                    }
                }
            }
        }
        if changed.is_empty() {
            self.revision = before;
        } else {
            batch.changed.push((next, changed));
        }
        Ok(Ok(Outcome::Committed(self.revision)))
    }

    fn versions(&self, key: &str) -> rusqlite::Result<Option<(i64, i64)>> {
        self.connection
            .prepare_cached("SELECT created, modified FROM current WHERE key = ?1")?
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// What holds now becomes what held until this revision.
    fn supersede(&self, key: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO past SELECT key, created, modified, ?2, value FROM current WHERE key = ?1",
            )?
            .execute((key, number(self.revision)))?;
        Ok(())
    }

    fn delete(&self, key: &str) -> rusqlite::Result<bool> {
        let count = self
            .connection
            .prepare_cached("DELETE FROM current WHERE key = ?1")?
            .execute([key])?;
        Ok(count > 0)
    }

    fn compact(&mut self) -> rusqlite::Result<()> {
        let oldest = self.revision.saturating_sub(self.kept);
        if oldest < self.oldest.saturating_add(COMPACT_EVERY) {
            return Ok(());
        }
        self.connection
            .prepare_cached("DELETE FROM past WHERE until <= ?1")?
            .execute([number(oldest)])?;
        set_state(&self.connection, "oldest", oldest)?;
        self.oldest = oldest;
        Ok(())
    }
}
