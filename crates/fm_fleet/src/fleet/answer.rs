//! What a host is answered: where its record stands, what it is to scan for, and what it is to upload.

use std::time::Duration;

use fm_api::v1::fleet::{
    BuildState, Digest, HostId, HostReport, HostState, Mark, Recorded, ReportAnswer, Rest, UseReason,
};

use super::inner::{Inner, Stored, lock};
use super::keys;
use super::record::{
    AckRecord, CollectionRecord, DetailRecord, DetailRow, HostRecord, TargetRecord, UseRecord,
};
use super::refresh::Views;
use super::report::{Reported, is_elsewhere};
use crate::{Error, Result};
use fm_records::{Outcome, Transaction};

/// So many builds are asked for at once.
const MAX_UPLOAD_COUNT: usize = 32;

/// The answer to a report.
pub(super) async fn to_report(
    inner: &Inner,
    views: &Views,
    report: &HostReport,
    done: Reported,
) -> Result<ReportAnswer> {
    let recorded = Recorded {
        epoch: done.epoch,
        revision: done.revision,
        sequence: done.sequence,
    };
    let held = report.builds.iter().map(|held| &held.build);
    let run = report.uses.iter().map(|used| &used.build);
    let left = report
        .uses
        .iter()
        .filter(|used| used.reason == UseReason::Departing)
        .filter_map(|used| used.guest.clone());
    let mut answer = empty(Some(recorded));
    answer.scan = wanted_scan(inner, done.acknowledged.as_ref()).await?;
    answer.upload = missing(inner, views, held.chain(run)).await?;
    answer.arrived = arrived(inner, views, &report.host, left.collect()).await?;
    answer.targets_revision = targets_revision(inner, &report.host).await?;
    touch(inner, &report.host).await?;
    Ok(answer)
}

/// The answer to a sign of life.
pub(super) async fn to_sign_of_life(inner: &Inner, views: &Views, host: &HostId) -> Result<ReportAnswer> {
    let (meta, revision) = inner.meta().await?;
    let found: Option<Stored<HostRecord>> = inner.get(&keys::host(host)).await?;
    let Some(found) = found else {
        return Ok(empty(None));
    };
    if found.value.state == HostState::Retired {
        return Err(Error::Retired { host: host.clone() });
    }
    let ack: Option<Stored<AckRecord>> = inner.get(&keys::ack(host)).await?;
    let known = ack.map(|ack| Mark {
        term: ack.value.term,
        revision: ack.value.revision,
    });
    let mut answer = empty(Some(Recorded {
        epoch: meta.value.epoch,
        revision,
        sequence: found.value.sequence,
    }));
    answer.scan = wanted_scan(inner, known.as_ref()).await?;
    let uses: Option<Stored<UseRecord>> = inner.get(&keys::uses(host)).await?;
    if let Some(uses) = uses {
        answer.upload = missing(inner, views, uses.value.builds.keys()).await?;
        let departs = uses
            .value
            .builds
            .values()
            .any(|reasons| reasons.contains_key(&UseReason::Departing));
        if departs {
            let mut left = Vec::new();
            let take = |_: &str, record: Stored<DetailRecord>| {
                left.extend(record.value.rows.into_iter().filter_map(|row| match row {
                    DetailRow::Use(used) if used.reason == UseReason::Departing => used.guest,
                    _ => None,
                }));
            };
            inner.scan(&keys::detail(host), None, take).await?;
            answer.arrived = arrived(inner, views, host, left).await?;
        }
    }
    answer.targets_revision = targets_revision(inner, host).await?;
    touch(inner, host).await?;
    Ok(answer)
}

fn empty(recorded: Option<Recorded>) -> ReportAnswer {
    ReportAnswer {
        schema: fm_api::Schema::default(),
        recorded,
        scan: None,
        upload: Vec::new(),
        arrived: Vec::new(),
        targets_revision: None,
        rest: Rest::new(),
    }
}

/// The mark that the host is to acknowledge, unless it has.
async fn wanted_scan(inner: &Inner, known: Option<&Mark>) -> Result<Option<Mark>> {
    let asked: Option<Stored<CollectionRecord>> = inner.get(keys::COLLECTION).await?;
    let wanted = asked.map(|asked| Mark {
        term: asked.value.term,
        revision: asked.value.revision,
    });
    Ok(wanted.filter(|wanted| {
        known.is_none_or(|known| known.term != wanted.term || known.revision < wanted.revision)
    }))
}

async fn missing<'a>(
    inner: &Inner,
    views: &Views,
    builds: impl Iterator<Item = &'a Digest>,
) -> Result<Vec<Digest>> {
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    let index = &lists.index;
    let is_missing = |build: &&Digest| {
        let record = index.builds.get(*build);
        record.is_some_and(|record| record.value.state == BuildState::Missing)
    };
    let mut found: Vec<Digest> = builds.filter(is_missing).cloned().collect();
    found.sort();
    found.dedup();
    found.truncate(MAX_UPLOAD_COUNT);
    Ok(found)
}

async fn arrived(inner: &Inner, views: &Views, host: &HostId, left: Vec<String>) -> Result<Vec<String>> {
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for guest in left {
        let candidates = {
            let mut places = views.places.lock().await;
            places.refresh(inner).await?;
            places.places.of(&guest)
        };
        if is_elsewhere(inner, &guest, host, candidates).await? {
            found.push(guest);
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

async fn targets_revision(inner: &Inner, host: &HostId) -> Result<Option<u64>> {
    let found: Option<Stored<TargetRecord>> = inner.get(&keys::target(host)).await?;
    Ok(found.map(|found| found.modified))
}

/// Notes that a host gave a sign of life. Renews its lease where there is one, which moves no revision.
async fn touch(inner: &Inner, host: &HostId) -> Result<()> {
    let known = lock(&inner.alive).get(host).copied();
    if let Some(lease) = known
        && inner.records.renew(lease).await?
    {
        return Ok(());
    }
    let ttl = inner.options.alive.max(Duration::from_secs(1));
    let lease = inner.records.lease(ttl).await?;
    let put = Transaction::new().put_leased(keys::alive(host), "{}", Some(lease));
    if let Outcome::Committed(_) = inner.records.transact(put).await? {
        lock(&inner.alive).insert(host.clone(), lease);
    }
    Ok(())
}
