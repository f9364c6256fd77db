//! One thread's reading: a record, or a page of records at one revision.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row};
use tokio::sync::oneshot;

use super::schema::{connect, failed, number, state};
use crate::{Entry, GetResponse, MAX_SCAN_BYTES, MAX_SCAN_COUNT, Scan, ScanPage, end_of_prefix};
use crate::{Error, Result};

/// Something to be read.
pub(super) enum ReadJob {
    Get {
        key: String,
        answer: oneshot::Sender<Result<GetResponse>>,
    },
    Scan {
        scan: Scan,
        answer: oneshot::Sender<Result<ScanPage>>,
    },
}

pub(super) struct Reader {
    connection: Connection,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = connect(path)?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(failed("open them"))?;
        Ok(Self { connection })
    }

    /// Who asked may have gone away: then nobody hears the answer.
    pub(super) fn answer(&self, job: ReadJob) {
        match job {
            ReadJob::Get { key, answer } => {
                let _ = answer.send(self.get(&key));
            }
            ReadJob::Scan { scan, answer } => {
                let _ = answer.send(self.scan(&scan));
            }
        }
    }

    fn get(&self, key: &str) -> Result<GetResponse> {
        let read = || {
            let snapshot = self.connection.unchecked_transaction()?;
            let revision = state(&snapshot, "revision")?;
            let mut statement = snapshot
                .prepare_cached("SELECT key, created, modified, value FROM current WHERE key = ?1")?;
            let entry = statement.query_row([key], entry).optional()?;
            Ok(GetResponse { entry, revision })
        };
        read().map_err(failed("read a record"))
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage> {
        let fail = || failed("scan records");
        let snapshot = self.connection.unchecked_transaction().map_err(fail())?;
        let newest = state(&snapshot, "revision").map_err(fail())?;
        let oldest = state(&snapshot, "oldest").map_err(fail())?;
        let revision = scan.at.unwrap_or(newest);
        if revision > newest {
            return Err(Error::Future { revision, newest });
        }
        if revision < oldest {
            return Err(Error::Compacted { revision, oldest });
        }
        page(&snapshot, scan, revision, revision == newest).map_err(fail())
    }
}

const NOW: &str = "SELECT key, created, modified, value FROM current
    WHERE key >= ?1 AND key > ?2 AND key < ?3 AND modified <= ?4 ORDER BY key LIMIT ?5";
const THEN: &str = "SELECT key, created, modified, value FROM current
        WHERE key >= ?1 AND key > ?2 AND key < ?3 AND modified <= ?4
    UNION ALL SELECT key, created, modified, value FROM past
        WHERE key >= ?1 AND key > ?2 AND key < ?3 AND modified <= ?4 AND until > ?4
    ORDER BY key LIMIT ?5";

fn page(snapshot: &Connection, scan: &Scan, revision: u64, is_newest: bool) -> rusqlite::Result<ScanPage> {
    let limit = scan.limit.clamp(1, MAX_SCAN_COUNT);
    let after = scan.after.as_deref().unwrap_or("");
    let end = end_of_prefix(&scan.prefix);
    let one_more = number(limit as u64).saturating_add(1);
    let mut statement = snapshot.prepare_cached(if is_newest { NOW } else { THEN })?;
    let mut rows = statement.query((&scan.prefix, after, end, number(revision), one_more))?;
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    let mut more = false;
    while let Some(row) = rows.next()? {
        if entries.len() >= limit || bytes >= MAX_SCAN_BYTES {
            more = true;
            break;
        }
        let entry = entry(row)?;
        bytes = bytes.saturating_add(entry.value.len());
        entries.push(entry);
    }
    Ok(ScanPage {
        entries,
        revision,
        more,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let revision = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(Entry {
        key: row.get(0)?,
        created: revision(row.get(1)?),
        modified: revision(row.get(2)?),
        value: row.get(3)?,
    })
}
