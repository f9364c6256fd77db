//! The QMP commands that are given here, with their arguments and what is read of their replies.
//!
//! Members that a reply has besides are passed over, and numbers that are none count as 0: what comes from QEMU is
//! not trusted. Source of all: QEMU `qapi/*.json`.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::words::{MigrationStatus, RunState};

/// One command; its fields are its arguments.
pub trait Command: Serialize {
    /// Its name.
    const NAME: &'static str;
    /// What is read of the reply.
    type Reply: DeserializeOwned;
}

macro_rules! commands {
    ($($name:ty = $text:literal -> $reply:ty,)+) => {
        $(impl Command for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        })+
    };
}

commands! {
    QueryStatus = "query-status" -> StatusInfo,
    QueryCpusFast = "query-cpus-fast" -> Vec<Cpu>,
    QueryMigrate = "query-migrate" -> MigrationInfo,
    QueryMigrateCapabilities = "query-migrate-capabilities" -> Vec<Capability>,
    SetMigrationCapabilities = "migrate-set-capabilities" -> IgnoredAny,
    QueryMigrateParameters = "query-migrate-parameters" -> MigrationParameters,
    MigrationParameters = "migrate-set-parameters" -> IgnoredAny,
    MigrateIncoming<'_> = "migrate-incoming" -> IgnoredAny,
    Migrate<'_> = "migrate" -> IgnoredAny,
    MigrateContinue = "migrate-continue" -> IgnoredAny,
    MigrateStartPostcopy = "migrate-start-postcopy" -> IgnoredAny,
    MigrateRecover<'_> = "migrate-recover" -> IgnoredAny,
    MigratePause = "migrate-pause" -> IgnoredAny,
    MigrateCancel = "migrate_cancel" -> IgnoredAny,
    Stop = "stop" -> IgnoredAny,
    Cont = "cont" -> IgnoredAny,
    Quit = "quit" -> IgnoredAny,
}

/// `query-status`.
#[derive(Debug, Serialize)]
pub struct QueryStatus;

/// What `query-status` says.
#[derive(Debug, Default, Deserialize)]
pub struct StatusInfo {
    /// The run state.
    #[serde(default)]
    pub status: RunState,
}

/// `query-cpus-fast`.
#[derive(Debug, Serialize)]
pub struct QueryCpusFast;

/// What is read of one virtual processor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cpu {
    /// The thread that runs it, as QEMU's own pid namespace numbers it; 0 for none.
    #[serde(default, deserialize_with = "number")]
    pub thread_id: u64,
}

/// `query-migrate`.
#[derive(Debug, Serialize)]
pub struct QueryMigrate;

/// What `query-migrate` says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MigrationInfo {
    /// The state; nothing before the first migration.
    #[serde(default)]
    pub status: MigrationStatus,
    /// Why it failed.
    #[serde(default)]
    pub error_desc: Option<String>,
    /// Milliseconds since the start, or from start to end.
    #[serde(default, rename = "total-time", deserialize_with = "number")]
    pub total_time_ms: u64,
    /// Milliseconds that the guest stood still.
    #[serde(default, rename = "downtime", deserialize_with = "number")]
    pub downtime_ms: u64,
    /// What was and is to be sent of memory.
    #[serde(default)]
    pub ram: MemorySent,
}

/// `ram` of [`MigrationInfo`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemorySent {
    /// Bytes sent.
    #[serde(default, rename = "transferred", deserialize_with = "number")]
    pub transferred_bytes: u64,
    /// Bytes still to send.
    #[serde(default, rename = "remaining", deserialize_with = "number")]
    pub remaining_bytes: u64,
    /// Bytes altogether.
    #[serde(default, rename = "total", deserialize_with = "number")]
    pub total_bytes: u64,
    /// Megabits a second on the wire.
    #[serde(default, rename = "mbps")]
    pub megabits_per_second: f64,
    /// Pages a second that the guest writes anew.
    #[serde(default, rename = "dirty-pages-rate", deserialize_with = "number")]
    pub dirty_pages_per_second: u64,
    /// Bytes in a page.
    #[serde(default, rename = "page-size", deserialize_with = "number")]
    pub page_bytes: u64,
    /// Which pass over memory this is, from 1.
    #[serde(default, rename = "dirty-sync-count", deserialize_with = "number")]
    pub pass: u64,
}

/// `query-migrate-capabilities`.
#[derive(Debug, Serialize)]
pub struct QueryMigrateCapabilities;

/// One capability of migration, on or off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Its name, such as `events`.
    pub capability: String,
    /// Whether it is on.
    pub state: bool,
}

impl Capability {
    /// A capability that is to be switched `on`, or off.
    #[must_use]
    pub fn new(name: &str, on: bool) -> Self {
        Self {
            capability: name.to_owned(),
            state: on,
        }
    }
}

/// `migrate-set-capabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetMigrationCapabilities {
    /// The capabilities to switch; others stay as they are.
    pub capabilities: Vec<Capability>,
}

/// `query-migrate-parameters`.
#[derive(Debug, Serialize)]
pub struct QueryMigrateParameters;

/// The parameters of a migration that we read or set, and the command that sets those that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MigrationParameters {
    /// Upper bound in bytes a second.
    #[serde(default, rename = "max-bandwidth", skip_serializing_if = "Option::is_none")]
    pub max_bandwidth_bytes_per_second: Option<u64>,
    /// How long the guest may stand still, in milliseconds.
    #[serde(default, rename = "downtime-limit", skip_serializing_if = "Option::is_none")]
    pub downtime_limit_ms: Option<u64>,
    /// How many channels multifd has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multifd_channels: Option<u8>,
    /// How they are compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multifd_compression: Option<String>,
}

/// `migrate-incoming`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MigrateIncoming<'a> {
    /// Where to listen.
    pub uri: &'a str,
    /// Whether QEMU ends if the migration fails, rather than staying to be asked for the reason (QEMU 9.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_on_error: Option<bool>,
}

/// `migrate`.
#[derive(Debug, Serialize)]
pub struct Migrate<'a> {
    /// Where to send it.
    pub uri: &'a str,
    /// Whether a postcopy migration goes on that was interrupted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
}

/// `migrate-continue`.
#[derive(Debug, Serialize)]
pub struct MigrateContinue {
    /// The state that it is to be in.
    pub state: MigrationStatus,
}

/// `migrate-start-postcopy`.
#[derive(Debug, Serialize)]
pub struct MigrateStartPostcopy;

/// `migrate-recover`.
#[derive(Debug, Serialize)]
pub struct MigrateRecover<'a> {
    /// Where to listen.
    pub uri: &'a str,
}

/// `migrate-pause`.
#[derive(Debug, Serialize)]
pub struct MigratePause;

/// `migrate_cancel`.
#[derive(Debug, Serialize)]
pub struct MigrateCancel;

/// `stop`.
#[derive(Debug, Serialize)]
pub struct Stop;

/// `cont`.
#[derive(Debug, Serialize)]
pub struct Cont;

/// `quit`.
#[derive(Debug, Serialize)]
pub struct Quit;

/// A count; what is none, or below 0, is 0.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64().unwrap_or(0))
}
