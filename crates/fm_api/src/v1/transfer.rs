//! A guest moves with its firmware: prepared for, migrated, harvested.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Outcome;
use crate::{Schema, document, words};

/// `flashmoor/prepare/1`: what to start the destination's QEMU with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Prepared {
    /// `flashmoor/prepare/1`.
    pub schema: Schema<Prepared>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The landing's name, for `flashmoor harvest` and `flashmoor store gc`.
    pub landing: String,
    /// Flash unit 0, read-only.
    pub code: PreparedFile,
    /// Flash unit 1, writable, if the guest has one.
    pub vars: Option<PreparedFile>,
    /// The VARS file that was there before, if it was set aside.
    pub vars_backup: Option<PathBuf>,
}

document!(Prepared = "flashmoor/prepare/1");

/// One flash file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreparedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Whether it holds nothing yet and waits for the stream to bring the bytes.
    pub placeholder: bool,
}

/// `flashmoor/harvest/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Harvest {
    /// `flashmoor/harvest/1`.
    pub schema: Schema<Harvest>,
    /// Whether all of this would be done, and nothing was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The guest's process.
    pub pid: u32,
    /// The firmware it runs.
    pub code: Harvested,
}

document!(Harvest = "flashmoor/harvest/1");

/// What a harvest brought in; also the `code` of `flashmoor/migrate/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Harvested {
    /// Digest of the CODE that the guest runs; absent if it could not be read.
    pub sha256: Option<String>,
    /// Its length.
    pub size_bytes: Option<u64>,
    /// The digest it should have, as the source or the landing said.
    pub expected_sha256: Option<String>,
    /// Whether both are known and equal.
    pub verified: bool,
    /// The stored build's CODE file.
    pub path: Option<PathBuf>,
    /// The landing that now holds the true bytes.
    pub landing: Option<String>,
    /// What was not done and why, if anything.
    pub remark: Option<String>,
}

/// `flashmoor/migrate/1`: a migration that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Migrated {
    /// `flashmoor/migrate/1`.
    pub schema: Schema<Migrated>,
    /// How it ended; every other end is an error.
    pub outcome: MigrationOutcome,
    /// Milliseconds from start to end, by QEMU's account.
    pub total_time_ms: u64,
    /// Milliseconds that the guest stood still, by QEMU's account.
    pub downtime_ms: u64,
    /// Bytes of guest memory sent.
    pub bytes: u64,
    /// Where the stream went.
    pub uri: String,
    /// Where the guest was.
    pub source: MigrationEnd,
    /// Where it is.
    pub destination: MigrationEnd,
    /// The firmware that it arrived with.
    pub code: Harvested,
    /// What became of its firmware on the way; absent if it was to stay what it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<MigratedUpdate>,
}

document!(Migrated = "flashmoor/migrate/1");

/// A guest's firmware, exchanged on the way: it takes effect at the guest's next reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigratedUpdate {
    /// Digest of the CODE that it left with, if that could be read; it runs on with what that loaded.
    pub from: Option<String>,
    /// Digest of the CODE that its next reset runs.
    pub to: String,
    /// How many pages of CODE were given other content.
    pub pages_replaced: u64,
}

/// One end of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationEnd {
    /// QEMU's version.
    pub qemu_version: String,
    /// The machine type as the stream names it.
    pub machine: Option<String>,
    /// The process, if it is one of this host's.
    pub pid: Option<u32>,
    /// The run state afterwards; the source keeps a stopped copy in `postmigrate` until it is ended.
    pub status: String,
}

/// What happens on the way, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum MigrationEvent {
    /// Both ends were described and judged; QEMU will accept.
    Preflight {
        /// The worst of what was found; `incompatible` is an error.
        outcome: Outcome,
        /// What to know before, if anything.
        remarks: Vec<String>,
    },
    /// The stream begins.
    Started {
        /// Where it goes.
        uri: String,
    },
    /// How far it is.
    Progress(MigrationProgress),
    /// The guest is at the destination.
    Arrived {
        /// The destination's run state.
        status: String,
    },
}

/// How far a migration is, from the source's `query-migrate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationProgress {
    /// QEMU's own word for the state, such as `active`.
    pub status: String,
    /// Bytes sent so far.
    pub transferred_bytes: u64,
    /// Bytes of guest memory still to send.
    pub remaining_bytes: u64,
    /// Bytes of guest memory altogether.
    pub total_bytes: u64,
    /// Bytes a second on the wire.
    pub rate_bytes_per_second: u64,
    /// Bytes a second that the guest writes anew.
    pub dirty_bytes_per_second: u64,
    /// Which pass over memory this is, from 1.
    pub pass: u64,
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
    /// Milliseconds left at the present rate, if there is one.
    pub eta_ms: Option<u64>,
}

/// `flashmoor/migrate-event/1`: what happens on the way, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigrateEvent {
    /// What happened.
    #[serde(flatten)]
    pub event: MigrationEvent,
    /// `flashmoor/migrate-event/1`.
    pub schema: Schema<MigrateEvent>,
}

document!(MigrateEvent = "flashmoor/migrate-event/1");

words! {
    /// How a migration ended.
    MigrationOutcome {
        /// The guest is at the destination.
        Completed = "completed",
    }
}
