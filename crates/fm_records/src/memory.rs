//! The records in memory: the model that every engine is held against, and an engine for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::mvcc::Mvcc;
use super::watch::Watchers;
use super::{GetResponse, LeaseId, Outcome, Records, Revision, Scan, ScanPage, Transaction, Watch};
use crate::{Clock, Result, SystemClock};

/// The records in memory.
pub struct Memory {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: Mvcc,
    watchers: Watchers,
    deadlines: BTreeMap<LeaseId, (Duration, Duration)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::default()))
    }
}

impl Memory {
    /// No records; leases run out by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Forgets what was superseded before `oldest`.
    pub fn compact(&self, oldest: Revision) {
        self.now().records.compact(oldest);
    }

    /// The records without the leases whose time is over.
    fn now(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let over: Vec<LeaseId> = state
            .deadlines
            .iter()
            .filter(|(_, (deadline, _))| *deadline <= now)
            .map(|(lease, _)| *lease)
            .collect();
        for lease in over {
            state.end(lease);
        }
        state
    }
}

impl State {
    fn end(&mut self, lease: LeaseId) {
        self.deadlines.remove(&lease);
        let (revision, keys) = self.records.revoke(lease);
        self.watchers.tell(&keys, revision);
    }
}

#[async_trait]
impl Records for Memory {
    async fn get(&self, key: &str) -> Result<GetResponse> {
        super::check_key(key)?;
        Ok(self.now().records.get(key))
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage> {
        super::check_key(&scan.prefix)?;
        self.now().records.scan(scan)
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome> {
        let mut state = self.now();
        let (outcome, changed) = state.records.transact(transaction)?;
        if let Outcome::Committed(revision) = outcome {
            state.watchers.tell(&changed, revision);
        }
        Ok(outcome)
    }

    async fn watch(&self, prefix: &str) -> Result<Watch> {
        Ok(self.now().watchers.add(prefix))
    }

    async fn lease(&self, ttl: Duration) -> Result<LeaseId> {
        let mut state = self.now();
        let lease = state.records.lease();
        let deadline = self.clock.monotonic().saturating_add(ttl);
        state.deadlines.insert(lease, (deadline, ttl));
        Ok(lease)
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        let mut state = self.now();
        if !state.records.has_lease(lease) {
            return Ok(false);
        }
        let now = self.clock.monotonic();
        if let Some((deadline, ttl)) = state.deadlines.get_mut(&lease) {
            *deadline = now.saturating_add(*ttl);
        }
        Ok(true)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.now().end(lease);
        Ok(())
    }
}
