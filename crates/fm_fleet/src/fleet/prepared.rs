//! A report in the form of records, before anything is compared.

use fm_api::v1::fleet::{HostReport, HostState, Rest};

use super::inner::write;
use super::keys;
use super::record::{
    DetailRecord, DetailRow, GuestsRecord, HostRecord, ProgressRecord, Record as _, UseRecord, Uses,
};
use super::shards::{Shard, short_digest, spread};
use crate::Result;

/// What a report becomes.
pub(super) struct Prepared {
    pub(super) uses: Uses,
    pub(super) use_bytes: Vec<u8>,
    pub(super) guests: Vec<Shard>,
    pub(super) details: Vec<Shard>,
    /// What it says of rollouts, and a short digest of that; nothing if it says nothing.
    pub(super) progress: Option<(ProgressRecord, String)>,
}

impl Prepared {
    pub(super) fn of(report: &HostReport) -> Result<Self> {
        let mut uses = Uses::new();
        for used in &report.uses {
            let count = uses
                .entry(used.build.clone())
                .or_default()
                .entry(used.reason)
                .or_default();
            *count += 1;
        }
        let record = UseRecord {
            schema: UseRecord::SCHEMA,
            builds: uses.clone(),
            rest: Rest::new(),
        };
        let use_bytes = write(&keys::uses(&report.host), &record)?;
        let guests = report
            .guests
            .iter()
            .map(|guest| (guest.uuid.clone(), guest))
            .collect();
        let guests = spread("guests", guests, |guests| GuestsRecord {
            schema: GuestsRecord::SCHEMA,
            guests: guests.into_iter().cloned().collect(),
            rest: Rest::new(),
        })?;
        Ok(Self {
            uses,
            use_bytes,
            guests,
            progress: progress(report)?,
            details: spread("details", details(report), |rows| DetailRecord {
                schema: DetailRecord::SCHEMA,
                rows,
                rest: Rest::new(),
            })?,
        })
    }

    /// The host's record after this report.
    pub(super) fn record(&self, report: &HostReport, before: Option<&HostRecord>, now: String) -> HostRecord {
        let digests = |shards: &[Shard]| shards.iter().map(|shard| shard.digest.clone()).collect();
        HostRecord {
            schema: before.map_or(HostRecord::SCHEMA, |before| before.schema),
            state: HostState::Active,
            instance: report.instance.clone(),
            retired: before.map(|before| before.retired.clone()).unwrap_or_default(),
            boot_id: report.boot_id.clone(),
            sequence: report.sequence,
            name: report.name.clone(),
            agent_version: report.agent_version.clone(),
            reported: Some(now),
            guest_count: report.guests.len() as u64,
            build_count: report.builds.len() as u64,
            use_count: self.uses.len() as u64,
            use_digest: short_digest(&self.use_bytes),
            guest_shards: digests(&self.guests),
            detail_shards: digests(&self.details),
            progress_digest: self
                .progress
                .as_ref()
                .map(|(_, digest)| digest.clone())
                .unwrap_or_default(),
            labels: report.labels.clone(),
            said: report.rest.clone(),
            rest: before.map(|before| before.rest.clone()).unwrap_or_default(),
        }
    }
}

/// What the report says of rollouts, without its number in the digest.
fn progress(report: &HostReport) -> Result<Option<(ProgressRecord, String)>> {
    if report.rollouts.is_empty() {
        return Ok(None);
    }
    let mut record = ProgressRecord {
        schema: ProgressRecord::SCHEMA,
        sequence: 0,
        rows: report.rollouts.clone(),
        rest: Rest::new(),
    };
    let digest = short_digest(&write(&keys::progress(&report.host), &record)?);
    record.sequence = report.sequence;
    Ok(Some((record, digest)))
}

fn details(report: &HostReport) -> Vec<(String, DetailRow)> {
    let mut rows = Vec::new();
    for used in &report.uses {
        let guest = used.guest.as_deref().unwrap_or_default();
        let name = format!("use {} {guest} {:?}", used.build, used.reason);
        rows.push((name, DetailRow::Use(used.clone())));
    }
    for held in &report.builds {
        rows.push((format!("held {}", held.build), DetailRow::Held(held.clone())));
    }
    for landing in &report.landings {
        rows.push((
            format!("landing {}", landing.id),
            DetailRow::Landing(landing.clone()),
        ));
    }
    for pin in &report.pins {
        rows.push((
            format!("pin {} {}", pin.build, pin.reason),
            DetailRow::Pin(pin.clone()),
        ));
    }
    rows
}
