//! The records in etcd: for several servers at once.
//!
//! What etcd-client leaves to us, and why each piece is here: it does not retry, so that the first call fails when one
//! of the members is down; a call to a member that froze ends only by HTTP/2 keep-alive; a keep-alive stream of a lease
//! never recovers, so that each renewal opens its own; a watch on a member without quorum is silent for ever unless a
//! leader is required.

mod failure;

use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Client, ConnectOptions, GetOptions, KeyValue, LeaseGrantOptions, PutOptions, Txn, TxnOp, WatchOptions,
};

use super::watch::Watch;
use super::{
    Compare, Entry, GetResponse, LeaseId, MAX_SCAN_COUNT, Notice, Operation, Outcome, Records, Revision,
    Scan, ScanPage, Transaction, check_key, end_of_prefix,
};
use crate::{Error, Result};
use failure::{Trouble, failed, trouble};

/// Members that froze are noticed after both together.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// An election takes a second or two; so many times a call is tried again, each time after a longer wait.
const MAX_ATTEMPT_COUNT: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// A page has so many records at first; half of that again and again if they are too large for one message.
const PAGE_COUNT: usize = 250;
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// Where etcd is and how it is spoken to.
#[derive(Debug, Clone, Default)]
pub struct EtcdOptions {
    /// Its members, such as `http://a:2379`.
    pub endpoints: Vec<String>,
    /// Certificates, where it wants TLS.
    pub tls: Option<EtcdTls>,
    /// Name and password, where it wants those.
    pub user: Option<(String, String)>,
}

/// Certificates, each in PEM.
#[derive(Debug, Clone)]
pub struct EtcdTls {
    /// Who signed the members' certificates.
    pub ca: Vec<u8>,
    /// This server's certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

/// The records in etcd.
pub struct Etcd {
    client: Client,
}

impl Etcd {
    /// The records of an etcd cluster.
    ///
    /// # Errors
    /// [`Error::Engine`] if the endpoints are malformed or none answers in time.
    pub async fn connect(options: &EtcdOptions) -> Result<Self> {
        let action = "connect to etcd";
        let mut connect = ConnectOptions::new()
            .with_keep_alive(KEEP_ALIVE_EVERY, KEEP_ALIVE_ANSWER)
            .with_keep_alive_while_idle(true)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(CALL_TIMEOUT)
            .with_require_leader(true);
        if let Some((name, password)) = &options.user {
            connect = connect.with_user(name, password).with_auto_token_refresh(true);
        }
        if let Some(tls) = &options.tls {
            let tls = etcd_client::TlsOptions::new()
                .ca_certificate(etcd_client::Certificate::from_pem(&tls.ca))
                .identity(etcd_client::Identity::from_pem(&tls.certificate, &tls.key));
            connect = connect.with_tls(tls);
        }
        let client = Client::connect(&options.endpoints, Some(connect))
            .await
            .map_err(failed(action))?;
        let etcd = Self { client };
        etcd.get("/fm/v1/meta").await?;
        Ok(etcd)
    }

    /// Calls until it works, or fails in another way than by a member that is away for a while.
    async fn retried<T, Call>(
        &self,
        action: &'static str,
        may_repeat: bool,
        call: impl Fn(Client) -> Call + Send,
    ) -> Result<T>
    where
        Call: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let mut wait = FIRST_WAIT;
        for _ in 1..MAX_ATTEMPT_COUNT {
            let error = match call(self.client.clone()).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let again = match trouble(&error) {
                Trouble::NeverSent => true,
                Trouble::Away => may_repeat,
                Trouble::Other => false,
            };
            if !again {
                return Err(failed(action)(error));
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        call(self.client.clone()).await.map_err(failed(action))
    }

    async fn page(&self, scan: &Scan, limit: usize) -> Result<ScanPage, etcd_client::Error> {
        let end = end_of_prefix(&scan.prefix);
        let from = match &scan.after {
            // The first key behind it: no key has a character below.
            Some(after) if *after >= scan.prefix => format!("{after}\0"),
            _ => scan.prefix.clone(),
        };
        let mut options = GetOptions::new()
            .with_range(end.clone().into_bytes())
            .with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(at) = scan.at {
            options = options.with_revision(number(at));
        }
        if from >= end {
            // An empty range to us, a malformed one to etcd: asked for the revision alone.
            options = options.with_count_only();
        }
        let from = if from >= end { scan.prefix.clone() } else { from };
        let mut kv = self
            .client
            .kv_client()
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let mut found = kv.get(from.into_bytes(), Some(options)).await?;
        let newest = found.header().map_or(0, |header| revision(header.revision()));
        Ok(ScanPage {
            more: found.more(),
            entries: found.take_kvs().into_iter().filter_map(entry).collect(),
            revision: scan.at.unwrap_or(newest),
        })
    }
}

/// Revisions of etcd have a sign and are never below zero.
fn revision(number: i64) -> Revision {
    u64::try_from(number).unwrap_or(0)
}

fn number(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// Somebody else's record whose key is no text is none of ours.
fn entry(found: KeyValue) -> Option<Entry> {
    let (created, modified) = (found.create_revision(), found.mod_revision());
    let (key, value) = found.into_key_value();
    Some(Entry {
        key: String::from_utf8(key).ok()?,
        value,
        created: revision(created),
        modified: revision(modified),
    })
}

fn txn(transaction: &Transaction) -> Txn {
    use etcd_client::{Compare as If, CompareOp::Equal};
    let compares: Vec<If> = transaction
        .compares
        .iter()
        .map(|compare| match compare {
            Compare::Absent(key) => If::create_revision(key.as_bytes(), Equal, 0),
            Compare::Modified(key, revision) => If::mod_revision(key.as_bytes(), Equal, number(*revision)),
            Compare::Created(key, revision) => If::create_revision(key.as_bytes(), Equal, number(*revision)),
        })
        .collect();
    let mut operations: Vec<TxnOp> = transaction
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::Put { key, value, lease } => {
                let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                TxnOp::put(key.as_bytes(), value.as_slice(), options)
            }
            Operation::Delete { key } => TxnOp::delete(key.as_bytes(), None),
        })
        .collect();
    if operations.is_empty() {
        // A transaction that does nothing counts as one that may read what is old: a member that lags compares with
        // what it has. One that reads does not.
        // Source: etcd `etcdserver/v3_server.go`, `isTxnSerializable`.
        operations.push(TxnOp::get("/", Some(GetOptions::new().with_count_only())));
    }
    Txn::new().when(compares).and_then(operations)
}

#[async_trait]
impl Records for Etcd {
    async fn get(&self, key: &str) -> Result<GetResponse> {
        check_key(key)?;
        let get = |mut client: Client| async move { client.get(key, None).await };
        let mut found = self.retried("read a record", true, get).await?;
        Ok(GetResponse {
            revision: found.header().map_or(0, |header| revision(header.revision())),
            entry: found.take_kvs().pop().and_then(entry),
        })
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage> {
        check_key(&scan.prefix)?;
        let action = "scan records";
        let mut limit = scan.limit.clamp(1, MAX_SCAN_COUNT).min(PAGE_COUNT);
        loop {
            let get = |_| self.page(scan, limit);
            match self.retried(action, true, get).await {
                Err(Error::TooLarge { .. }) if limit > 1 => limit /= 2,
                Err(Error::Compacted { .. }) => {
                    let revision = scan.at.unwrap_or(0);
                    let oldest = revision.saturating_add(1);
                    return Err(Error::Compacted { revision, oldest });
                }
                Err(Error::Future { .. }) => {
                    let newest = self.get(&scan.prefix).await?.revision;
                    let revision = scan.at.unwrap_or(0);
                    return Err(Error::Future { revision, newest });
                }
                other => return other,
            }
        }
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome> {
        transaction.check()?;
        let action = "change records";
        // Whether it was done is not known when a member goes away: only what never reached one is sent again.
        let change = |mut client: Client| {
            let txn = txn(&transaction);
            async move { client.txn(txn).await }
        };
        let done = self.retried(action, false, change).await?;
        if !done.succeeded() {
            return Ok(Outcome::Conflict);
        }
        Ok(Outcome::Committed(
            done.header().map_or(0, |header| revision(header.revision())),
        ))
    }

    async fn watch(&self, prefix: &str) -> Result<Watch> {
        let action = "watch records";
        let options = || WatchOptions::new().with_range(end_of_prefix(prefix).into_bytes());
        let open = |mut client: Client| async move { client.watch(prefix, Some(options())).await };
        let mut stream = self.retried(action, true, open).await?;
        let (sender, watch) = Watch::channel();
        tokio::spawn(async move {
            // Whatever ends it, whoever listens learns that it lost something.
            loop {
                let message = tokio::select! {
                    message = stream.message() => message,
                    () = sender.closed() => return,
                };
                let Ok(Some(message)) = message else { return };
                if message.canceled() {
                    return;
                }
                for event in message.events() {
                    let Some((key, revision)) = event.kv().and_then(|kv| {
                        let key = kv.key_str().ok()?.to_owned();
                        Some((key, revision(kv.mod_revision())))
                    }) else {
                        continue;
                    };
                    if sender.try_send(Notice::Changed { key, revision }).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(watch)
    }

    async fn lease(&self, ttl: Duration) -> Result<LeaseId> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        let grant =
            |mut client: Client| async move { client.lease_grant(seconds, None::<LeaseGrantOptions>).await };
        // One that was granted and not heard of runs out by itself.
        let granted = self.retried("grant a lease", true, grant).await?;
        Ok(LeaseId(granted.id()))
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool> {
        let renew = |mut client: Client| async move {
            match client.lease_keep_alive(lease.0).await {
                Ok(_) => Ok(true),
                // What it says of a lease that is gone.
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.retried("renew a lease", true, renew).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        let revoke = |mut client: Client| async move { client.lease_revoke(lease.0).await };
        match self.retried("end a lease", true, revoke).await {
            Ok(_) | Err(Error::LeaseGone) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
