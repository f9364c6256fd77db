//! What the agent knows, in SQLite: several processes may read and write it, and a killed one loses nothing.

use std::path::PathBuf;
use std::time::Duration;

use fm_formats::Sha256;
use fm_store::Store;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::error::RecordsError as Error;

/// Grows by one with every change of the tables.
const VERSION: i64 = 2;
/// The tables of version 1.
const TABLES: &str = "
    CREATE TABLE builds (
        build      TEXT PRIMARY KEY,      -- sha256 of CODE
        stored_s   INTEGER NOT NULL,      -- when the agent stored it, seconds since 1970
        needed_s   INTEGER NOT NULL       -- when a guest was last seen to need it
    ) STRICT;
    CREATE TABLE guests (
        pid        INTEGER NOT NULL,
        started    INTEGER NOT NULL,      -- the kernel's start time: a pid alone comes again
        boot       TEXT NOT NULL,         -- the host's boot that both belong to
        uuid       TEXT,
        name       TEXT,
        build      TEXT NOT NULL,
        seen_s     INTEGER NOT NULL,
        PRIMARY KEY (boot, pid, started)
    ) STRICT;
    PRAGMA user_version = 1;
";
/// What version 2 has in addition.
const SINCE_1: &str = "
    ALTER TABLE builds ADD COLUMN uid INTEGER;                          -- whose share it takes; none is root's and libvirt's
    ALTER TABLE builds ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE pins (
        build      TEXT NOT NULL,
        reason     TEXT NOT NULL,
        needed_s   INTEGER NOT NULL,      -- when the guest that it is for was last there
        PRIMARY KEY (build, reason)
    ) STRICT;
    PRAGMA user_version = 2;
";

/// A pin of a capture that nobody needs any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) build: Sha256,
    pub(super) reason: String,
    pub(super) needed_s: i64,
}

/// A user's share of the store, and a build's part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) uid: u32,
    pub(super) size_bytes: u64,
}

/// One process of a guest, however often pids come again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) started: u64,
}

/// A guest as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen<'a> {
    pub(super) process: &'a Process,
    pub(super) uuid: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) build: &'a Sha256,
}

/// The open database.
#[derive(Debug)]
pub(super) struct Records {
    connection: Connection,
    path: PathBuf,
    boot: String,
}

impl Records {
    pub(super) fn open(store: &Store) -> Result<Self, Error> {
        let path = store.path().join("libvirt").join("agent.sqlite");
        let failed = |source| Error::Database {
            path: path.clone(),
            source,
        };
        let mut connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            .map_err(failed)?;
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(failed)?;
        let found = prepare(&mut connection).map_err(failed)?;
        if found > VERSION {
            return Err(Error::Newer {
                path,
                found,
                known: VERSION,
            });
        }
        Ok(Self {
            connection,
            path,
            boot: fm_host::boot_id().unwrap_or_default(),
        })
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Database {
            path: path.clone(),
            source,
        }
    }

    /// Notes that a guest runs a build, now.
    pub(super) fn saw(&mut self, seen: &Seen<'_>, now_s: i64) -> Result<(), Error> {
        let failed = self.failed();
        let boot = self.boot.clone();
        let build = seen.build.to_string();
        let mut write = || -> rusqlite::Result<()> {
            let writing = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            writing.execute(
                "INSERT INTO guests (pid, started, boot, uuid, name, build, seen_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (boot, pid, started) DO UPDATE SET build = ?6, seen_s = ?7",
                params![
                    seen.process.pid,
                    i64::try_from(seen.process.started).unwrap_or(i64::MAX),
                    boot,
                    seen.uuid,
                    seen.name,
                    build,
                    now_s
                ],
            )?;
            writing.execute(
                "UPDATE builds SET needed_s = ?2 WHERE build = ?1",
                params![build, now_s],
            )?;
            writing.commit()
        };
        write().map_err(failed)
    }

    /// Notes that the agent stored a build, maybe from somebody's share.
    pub(super) fn stored(&mut self, build: &Sha256, share: Option<Share>, now_s: i64) -> Result<(), Error> {
        let size_bytes = share.map_or(0, |share| i64::try_from(share.size_bytes).unwrap_or(i64::MAX));
        self.connection
            .execute(
                "INSERT INTO builds (build, stored_s, needed_s, uid, size_bytes) VALUES (?1, ?2, ?2, ?3, ?4)
                 ON CONFLICT (build) DO NOTHING",
                params![build.to_string(), now_s, share.map(|share| share.uid), size_bytes],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// How many builds a user's guests have, and of how many bytes.
    pub(super) fn share_of(&self, uid: u32) -> Result<(u64, u64), Error> {
        self.connection
            .query_row(
                "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM builds WHERE uid = ?1",
                params![uid],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
            )
            .map(|(count, bytes)| (count.unsigned_abs(), bytes.unsigned_abs()))
            .map_err(self.failed())
    }

    /// Notes that a pin of a capture is there, and whether somebody needs it, now.
    pub(super) fn pin(
        &mut self,
        build: &Sha256,
        reason: &str,
        now_s: i64,
        is_needed: bool,
    ) -> Result<(), Error> {
        let then = if is_needed {
            "DO UPDATE SET needed_s = ?3"
        } else {
            "DO NOTHING"
        };
        self.connection
            .execute(
                &format!(
                    "INSERT INTO pins (build, reason, needed_s) VALUES (?1, ?2, ?3) ON CONFLICT (build, reason) {then}"
                ),
                params![build.to_string(), reason, now_s],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// The pins of captures that nobody has needed since `before_s`.
    pub(super) fn unneeded_pins(&self, before_s: i64) -> Result<Vec<Pin>, Error> {
        let read = || -> rusqlite::Result<Vec<(String, String, i64)>> {
            let mut reading = self
                .connection
                .prepare("SELECT build, reason, needed_s FROM pins WHERE needed_s < ?1")?;
            let rows = reading.query_map(params![before_s], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            rows.collect()
        };
        let pins = read().map_err(self.failed())?.into_iter();
        Ok(pins
            .filter_map(|(build, reason, needed_s)| {
                Some(Pin {
                    build: build.parse().ok()?,
                    reason,
                    needed_s,
                })
            })
            .collect())
    }

    /// Forgets a pin that is gone.
    pub(super) fn forget_pin(&mut self, build: &Sha256, reason: &str) -> Result<(), Error> {
        self.connection
            .execute(
                "DELETE FROM pins WHERE build = ?1 AND reason = ?2",
                params![build.to_string(), reason],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// Notes that somebody needs a build, now.
    pub(super) fn needed(&mut self, build: &Sha256, now_s: i64) -> Result<(), Error> {
        self.connection
            .execute(
                "UPDATE builds SET needed_s = ?2 WHERE build = ?1",
                params![build.to_string(), now_s],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// The build that this very process was seen to run, by this agent or one before it.
    pub(super) fn build_of(&self, process: &Process) -> Result<Option<Sha256>, Error> {
        let started = i64::try_from(process.started).unwrap_or(i64::MAX);
        let build: Option<String> = self
            .connection
            .query_row(
                "SELECT build FROM guests WHERE boot = ?1 AND pid = ?2 AND started = ?3",
                params![self.boot, process.pid, started],
                |row| row.get(0),
            )
            .optional()
            .map_err(self.failed())?;
        Ok(build.and_then(|build| build.parse().ok()))
    }

    /// The builds that the agent stored and nobody has needed since `before_s`.
    pub(super) fn unneeded(&self, before_s: i64) -> Result<Vec<Sha256>, Error> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut reading = self
                .connection
                .prepare("SELECT build FROM builds WHERE needed_s < ?1")?;
            let rows = reading.query_map(params![before_s], |row| row.get(0))?;
            rows.collect()
        };
        let builds = read().map_err(self.failed())?;
        Ok(builds.iter().filter_map(|build| build.parse().ok()).collect())
    }

    /// Forgets a build that is gone, and guests that have long ended.
    pub(super) fn forget(&mut self, build: Option<&Sha256>, before_s: i64) -> Result<(), Error> {
        let failed = self.failed();
        let mut write = || -> rusqlite::Result<()> {
            let writing = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(build) = build {
                writing.execute("DELETE FROM builds WHERE build = ?1", params![build.to_string()])?;
            }
            writing.execute("DELETE FROM guests WHERE seen_s < ?1", params![before_s])?;
            writing.commit()
        };
        write().map_err(failed)
    }
}

/// Makes the tables if there are none; returns the version that is there.
fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    // Two processes may open the first time at once: who comes second sees the tables of the first.
    let writing = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = writing.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        writing.execute_batch(TABLES)?;
    }
    if found <= 1 {
        writing.execute_batch(SINCE_1)?;
    }
    writing.commit()?;
    Ok(found.max(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen<'a>(process: &'a Process, build: &'a Sha256) -> Seen<'a> {
        Seen {
            process,
            uuid: Some("u"),
            name: None,
            build,
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("libvirt")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn what_one_agent_saw_the_next_one_knows() {
        let (_folder, store) = store();
        let build = Sha256::of(b"1");
        let process = Process { pid: 7, started: 8 };
        let mut first = Records::open(&store).unwrap();
        first.stored(&build, None, 10).unwrap();
        first.saw(&seen(&process, &build), 20).unwrap();
        let next = Records::open(&store).unwrap();
        assert_eq!(next.build_of(&process).unwrap(), Some(build));
        let again = Process { pid: 7, started: 9 };
        assert_eq!(next.build_of(&again).unwrap(), None, "the pid of another");
    }

    #[test]
    fn only_builds_that_the_agent_stored_and_nobody_needs_are_unneeded() {
        let (_folder, store) = store();
        let (old, needed, foreign) = (Sha256::of(b"1"), Sha256::of(b"2"), Sha256::of(b"3"));
        let mut records = Records::open(&store).unwrap();
        records.stored(&old, None, 10).unwrap();
        records.stored(&needed, None, 10).unwrap();
        let process = Process { pid: 1, started: 1 };
        records.saw(&seen(&process, &needed), 100).unwrap();
        records.saw(&seen(&process, &foreign), 5).unwrap();
        assert_eq!(records.unneeded(50).unwrap(), [old]);
        records.forget(Some(&old), 50).unwrap();
        assert!(records.unneeded(50).unwrap().is_empty());
    }

    #[test]
    fn several_write_at_once_and_none_is_lost() {
        let (_folder, store) = store();
        std::thread::scope(|scope| {
            for thread in 0_u8..4 {
                let store = &store;
                scope.spawn(move || {
                    let mut records = Records::open(store).unwrap();
                    for number in 0_u8..25 {
                        records.stored(&Sha256::of(&[thread, number]), None, 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(Records::open(&store).unwrap().unneeded(2).unwrap().len(), 100);
    }

    #[test]
    fn records_of_the_first_version_are_taken_over_and_shares_are_counted_by_user() {
        let (folder, store) = store();
        let connection = Connection::open(folder.path().join("libvirt/agent.sqlite")).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let old = Sha256::of(b"old");
        let insert = "INSERT INTO builds (build, stored_s, needed_s) VALUES (?1, 1, 1)";
        connection.execute(insert, params![old.to_string()]).unwrap();
        drop(connection);
        let mut records = Records::open(&store).unwrap();
        assert_eq!(records.unneeded(2).unwrap(), [old]);
        let share = |uid| Some(Share { uid, size_bytes: 100 });
        for (code, uid) in [(b"1", 1000), (b"2", 1000), (b"3", 1001)] {
            records.stored(&Sha256::of(code), share(uid), 5).unwrap();
        }
        assert_eq!(records.share_of(1000).unwrap(), (2, 200));
        records.forget(Some(&Sha256::of(b"1")), 0).unwrap();
        assert_eq!(records.share_of(1000).unwrap(), (1, 100));
        assert_eq!(records.share_of(7).unwrap(), (0, 0));
    }

    #[test]
    fn records_of_a_later_flashmoor_are_left_alone() {
        let (_folder, store) = store();
        let records = Records::open(&store).unwrap();
        records.connection.pragma_update(None, "user_version", 9).unwrap();
        drop(records);
        assert!(matches!(
            Records::open(&store),
            Err(Error::Newer { found: 9, .. })
        ));
    }
}
