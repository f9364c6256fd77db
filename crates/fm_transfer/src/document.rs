//! What a harvest and a migration came to, as documents.

use fm_api::Schema;
use fm_api::v1::check as words;
use fm_api::v1::transfer as api;
use fm_judge::Outcome;

use crate::harvest::{Harvest, Harvested};
use crate::migrate::{End, Event, Migration, Progress, Updated};

/// The word for an outcome.
#[must_use]
pub const fn outcome(outcome: Outcome) -> words::Outcome {
    match outcome {
        Outcome::Compatible => words::Outcome::Compatible,
        Outcome::Caution => words::Outcome::Caution,
        Outcome::Unknown => words::Outcome::Unknown,
        Outcome::Incompatible => words::Outcome::Incompatible,
    }
}

impl From<&Harvest> for api::Harvest {
    fn from(harvest: &Harvest) -> Self {
        Self {
            schema: Schema::default(),
            dry_run: harvest.dry_run,
            pid: harvest.pid,
            code: (&harvest.code).into(),
        }
    }
}

impl From<&Harvested> for api::Harvested {
    fn from(code: &Harvested) -> Self {
        Self {
            sha256: code.sha256.map(|digest| digest.to_string()),
            size_bytes: code.size_bytes,
            expected_sha256: code.expected_sha256.map(|digest| digest.to_string()),
            verified: code.verified,
            path: code.path.clone(),
            landing: code.landing.clone(),
            remark: code.remark.clone(),
        }
    }
}

impl From<&Migration> for api::Migrated {
    fn from(migration: &Migration) -> Self {
        Self {
            schema: Schema::default(),
            outcome: api::MigrationOutcome::Completed,
            total_time_ms: migration.total_time_ms,
            downtime_ms: migration.downtime_ms,
            bytes: migration.bytes,
            uri: migration.uri.clone(),
            source: (&migration.source).into(),
            destination: (&migration.destination).into(),
            code: (&migration.code).into(),
            updated: migration.updated.as_ref().map(Into::into),
        }
    }
}

impl From<&Updated> for api::MigratedUpdate {
    fn from(updated: &Updated) -> Self {
        Self {
            from: updated.from.map(|digest| digest.to_string()),
            to: updated.to.to_string(),
            pages_replaced: updated.pages_replaced,
        }
    }
}

impl From<&End> for api::MigrationEnd {
    fn from(end: &End) -> Self {
        Self {
            qemu_version: end.qemu_version.clone(),
            machine: end.machine.clone(),
            pid: end.pid,
            status: end.status.to_string(),
        }
    }
}

impl From<&Event> for api::MigrateEvent {
    fn from(event: &Event) -> Self {
        let event = match event {
            Event::Preflight {
                outcome: worst,
                remarks,
            } => api::MigrationEvent::Preflight {
                outcome: outcome(*worst),
                remarks: remarks.clone(),
            },
            Event::Started { uri } => api::MigrationEvent::Started { uri: uri.clone() },
            Event::Progress(progress) => api::MigrationEvent::Progress(progress.into()),
            Event::Arrived { status } => api::MigrationEvent::Arrived {
                status: status.to_string(),
            },
        };
        Self {
            event,
            schema: Schema::default(),
        }
    }
}

impl From<&Progress> for api::MigrationProgress {
    fn from(progress: &Progress) -> Self {
        Self {
            status: progress.status.to_string(),
            transferred_bytes: progress.transferred_bytes,
            remaining_bytes: progress.remaining_bytes,
            total_bytes: progress.total_bytes,
            rate_bytes_per_second: progress.rate_bytes_per_second,
            dirty_bytes_per_second: progress.dirty_bytes_per_second,
            pass: progress.pass,
            elapsed_ms: progress.elapsed_ms,
            eta_ms: progress.eta_ms,
        }
    }
}
