//! The records in an SQLite file: the default, for one server. One thread writes and others read.

mod read;
mod schema;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    GetResponse, LeaseId, Outcome, Records, Revision, Scan, ScanPage, Transaction, Watch, check_key,
};
use crate::{Clock, Error, Result, SystemClock};
use read::{ReadJob, Reader};
use write::{WriteJob, Writer};

/// So many threads read.
const READER_COUNT: usize = 2;

/// How the records are kept in SQLite.
#[derive(Clone)]
pub struct SqliteOptions {
    /// How many revisions back a scan can still be read.
    pub kept_revision_count: Revision,
    /// By what leases run out.
    pub clock: Arc<dyn Clock>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            kept_revision_count: 2000,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

/// The records in an SQLite file, which one process has at a time.
pub struct Sqlite {
    writes: Option<mpsc::Sender<WriteJob>>,
    reads: Option<mpsc::Sender<ReadJob>>,
    threads: Vec<JoinHandle<()>>,
    _lock: File,
}

impl Sqlite {
    /// The records in the file `path`, which comes into being if it is not there.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has them, [`Error::TooOld`] if a newer version wrote them.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self> {
        let lock = lock(path)?;
        let writer = Writer::open(path, &options)?;
        let (write_sender, write_receiver) = mpsc::channel();
        let (read_sender, read_receiver) = mpsc::channel();
        let read_receiver = Arc::new(Mutex::new(read_receiver));
        let mut threads = Vec::new();
        for number in 0..READER_COUNT {
            let reader = Reader::open(path)?;
            let jobs = Arc::clone(&read_receiver);
            threads.push(spawn(format!("records-read-{number}"), move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(job) => reader.answer(job),
                        Err(mpsc::RecvError) => return,
                    }
                }
            })?);
        }
        threads.push(spawn("records-write".into(), move || {
            writer.run(&write_receiver)
        })?);
        Ok(Self {
            writes: Some(write_sender),
            reads: Some(read_sender),
            threads,
            _lock: lock,
        })
    }

    async fn write<T>(
        &self,
        action: &'static str,
        job: impl FnOnce(oneshot::Sender<Result<T>>) -> WriteJob,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let gone = || Error::engine(action, "the thread that writes has ended");
        let writes = self.writes.as_ref().ok_or_else(gone)?;
        writes.send(job(sender)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn read<T>(
        &self,
        action: &'static str,
        job: impl FnOnce(oneshot::Sender<Result<T>>) -> ReadJob,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let gone = || Error::engine(action, "the threads that read have ended");
        let reads = self.reads.as_ref().ok_or_else(gone)?;
        reads.send(job(sender)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.writes.take();
        self.reads.take();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to say here.
            let _ = thread.join();
        }
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|source| Error::engine("start a thread", source))
}

fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(|source| Error::engine("open their lock", source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse { path: path.into() }),
        Err(std::fs::TryLockError::Error(source)) => Err(Error::engine("lock them", source)),
    }
}

#[async_trait]
impl Records for Sqlite {
    async fn get(&self, key: &str) -> Result<GetResponse> {
        check_key(key)?;
        let key = key.to_owned();
        self.read("read a record", |answer| ReadJob::Get { key, answer })
            .await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage> {
        check_key(&scan.prefix)?;
        let scan = scan.clone();
        self.read("scan records", |answer| ReadJob::Scan { scan, answer })
            .await
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome> {
        transaction.check()?;
        self.write("change records", |answer| WriteJob::Transact {
            transaction,
            answer,
        })
        .await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch> {
        let prefix = prefix.to_owned();
        self.write("watch records", |answer| WriteJob::Watch { prefix, answer })
            .await
    }

    async fn lease(&self, ttl: Duration) -> Result<LeaseId> {
        self.write("grant a lease", |answer| WriteJob::Lease { ttl, answer })
            .await
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        self.write("renew a lease", |answer| WriteJob::Renew { lease, answer })
            .await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.write("end a lease", |answer| WriteJob::Revoke { lease, answer })
            .await
    }
}
