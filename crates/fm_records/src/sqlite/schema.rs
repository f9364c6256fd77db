//! The tables, and how every connection is set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use crate::{Error, Result};

/// The version of the tables.
const VERSION: u32 = 1;
/// "FMfl": tells the file from other people's.
const APPLICATION: i32 = 0x464d_666c;

/// `current` is what holds now, `past` what was superseded or taken away at revision `until`.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS current (
        key TEXT NOT NULL PRIMARY KEY, created INTEGER NOT NULL, modified INTEGER NOT NULL,
        lease INTEGER, value BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS current_lease ON current (lease) WHERE lease IS NOT NULL;
    CREATE TABLE IF NOT EXISTS past (
        key TEXT NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL, until INTEGER NOT NULL,
        value BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS past_key ON past (key, modified);
    CREATE INDEX IF NOT EXISTS past_until ON past (until);
    CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL);
    INSERT OR IGNORE INTO state VALUES ('revision', 0), ('oldest', 0), ('last_lease', 0);
";

pub(super) fn failed(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::engine(action, source)
}

/// A connection as every thread of ours has it.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let set_up = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    };
    set_up().map_err(failed("open them"))
}

/// Makes the tables if they are not there.
pub(super) fn prepare(connection: &Connection) -> Result<()> {
    let pragma =
        |name: &str| -> rusqlite::Result<i64> { connection.pragma_query_value(None, name, |row| row.get(0)) };
    let application = pragma("application_id").map_err(failed("open them"))?;
    let version = pragma("user_version").map_err(failed("open them"))?;
    let is_ours = application == i64::from(APPLICATION);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed("open them"))?;
    if !is_ours && tables > 0 {
        return Err(Error::engine(
            "open them",
            "the file is a database of another program",
        ));
    }
    if version > i64::from(VERSION) {
        return Err(Error::TooOld {
            wanted: u32::try_from(version).unwrap_or(u32::MAX),
            known: VERSION,
        });
    }
    let make = || {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.execute_batch(TABLES)?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", VERSION)?;
        connection.execute_batch("COMMIT")
    };
    make().map_err(failed("make their tables"))
}

/// A number of the whole.
pub(super) fn state(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM state WHERE name = ?1")?;
    let value: Option<i64> = statement.query_row([name], |row| row.get(0)).optional()?;
    Ok(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
}

/// Sets a number of the whole.
pub(super) fn set_state(connection: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE state SET value = ?2 WHERE name = ?1")?;
    statement.execute((name, number(value)))?;
    Ok(())
}

/// SQLite's integers have a sign; revisions never come near it.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
