//! What a person says of a host: that it will not come back, and what is wanted there.

use fm_api::v1::fleet::{BuildTarget, EventKind, GuestTarget, HostId, HostState, HostTargets, Rest};

use super::check;
use super::events::event;
use super::inner::{Inner, MAX_ATTEMPT_COUNT, Stored, write};
use super::keys;
use super::record::{HostRecord, Record as _, TargetRecord};
use crate::{Error, Result};
use fm_records::Transaction;

/// The most installations of one host that are remembered as retired.
const MAX_RETIRED_COUNT: usize = 32;
/// The most bytes of a host's targets.
const MAX_TARGETS_BYTES: usize = 256 << 10;

/// Retires a host: it needs nothing any more, and its installation never speaks for it again.
pub(super) async fn retire(inner: &Inner, host: &HostId, by: &str, revision: Option<u64>) -> Result<()> {
    inner.meta_to_write().await?;
    let key = keys::host(host);
    for _ in 0..MAX_ATTEMPT_COUNT {
        let before: Option<Stored<HostRecord>> = inner.get(&key).await?;
        let before = before.ok_or_else(|| Error::NoHost { host: host.clone() })?;
        if let Some(expected) = revision
            && expected != before.modified
        {
            return Err(Error::Changed {
                what: format!("the record of host {host}"),
                expected,
                found: before.modified,
            });
        }
        if before.value.state == HostState::Retired {
            return Ok(());
        }
        let mut next = before.value.clone();
        next.state = HostState::Retired;
        next.retired.push(next.instance.clone());
        let excess = next.retired.len().saturating_sub(MAX_RETIRED_COUNT);
        next.retired.drain(..excess);
        let mut change = Transaction::new()
            .if_unchanged(&key, Some(before.modified))
            .delete(keys::uses(host))
            .delete(keys::ack(host))
            .delete(keys::target(host))
            .delete(keys::progress(host));
        for number in 0..next.guest_shards.len() {
            change = change.delete(keys::shard(&keys::guests(host), number));
        }
        for number in 0..next.detail_shards.len() {
            change = change.delete(keys::shard(&keys::detail(host), number));
        }
        (next.guest_count, next.build_count, next.use_count) = (0, 0, 0);
        (next.guest_shards, next.detail_shards) = (Vec::new(), Vec::new());
        (next.use_digest, next.progress_digest) = (String::new(), String::new());
        change = change.put(&key, write(&key, &next)?);
        let mut told = event(EventKind::HostRetired, inner.clock.display());
        told.host = Some(host.clone());
        told.by = Some(by.to_owned());
        if inner.transact_with(change, vec![told]).await?.is_some() {
            return Ok(());
        }
    }
    Err(Error::Contention {
        what: format!("the record of host {host}"),
    })
}

/// What is wanted on a host.
pub(super) async fn targets(inner: &Inner, host: &HostId) -> Result<HostTargets> {
    let found: Option<Stored<TargetRecord>> = inner.get(&keys::target(host)).await?;
    Ok(found.map_or_else(
        || HostTargets {
            schema: fm_api::Schema::default(),
            host: host.clone(),
            builds: Vec::new(),
            guests: Vec::new(),
            revision: 0,
            rest: Rest::new(),
        },
        |found| HostTargets {
            revision: found.modified,
            ..found.value.targets
        },
    ))
}

/// Says what is wanted on a host, if nobody said something else since.
pub(super) async fn set_targets(inner: &Inner, targets: &HostTargets, by: &str) -> Result<()> {
    inner.meta_to_write().await?;
    let mut targets = targets.clone();
    for BuildTarget { reason, .. } in &mut targets.builds {
        check::word(reason);
    }
    for GuestTarget { guest, rollout, .. } in &targets.guests {
        check::id("the targets", "guests.guest", guest)?;
        rollout.as_deref().map_or(Ok(()), |rollout| {
            check::id("the targets", "guests.rollout", rollout)
        })?;
    }
    let key = keys::target(&targets.host);
    let before = inner.get::<TargetRecord>(&key).await?;
    let found = before.as_ref().map_or(0, |before| before.modified);
    let changed = |found| Error::Changed {
        what: format!("what is wanted on host {}", targets.host),
        expected: targets.revision,
        found,
    };
    if found != targets.revision {
        return Err(changed(found));
    }
    let record = TargetRecord {
        schema: before
            .as_ref()
            .map_or(TargetRecord::SCHEMA, |before| before.value.schema),
        by: by.to_owned(),
        targets: targets.clone(),
        rest: before.map(|before| before.value.rest).unwrap_or_default(),
    };
    let bytes = write(&key, &record)?;
    if bytes.len() > MAX_TARGETS_BYTES {
        return Err(Error::TooLarge {
            what: "what is wanted on a host (bytes)".into(),
            size: bytes.len() as u64,
            limit: MAX_TARGETS_BYTES as u64,
        });
    }
    let change = Transaction::new()
        .if_unchanged(&key, Some(found).filter(|found| *found > 0))
        .put(&key, bytes);
    match inner.transact(change).await? {
        Some(_) => Ok(()),
        None => Err(changed(found)),
    }
}
