//! What planning reads: builds with their facts, hosts with their labels, guests one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fm_api::v1::fleet::{Digest, GuestRow, HostId, HostState};
use fm_api::v1::rollout::RolloutState;
use fm_records::Revision;
use fm_rollout::KnownBuild;

use super::super::inner::{Inner, Stored};
use super::super::keys;
use super::super::record::{BuildRecord, GuestsRecord, HostRecord, MembersRecord, RolloutRecord};
use crate::Result;

/// Builds whose facts are known.
pub(super) async fn builds(inner: &Inner) -> Result<BTreeMap<Digest, KnownBuild>> {
    let mut found = BTreeMap::new();
    let take = |key: &str, record: Stored<BuildRecord>| {
        let digest = keys::behind::<Digest>(key, keys::BUILDS);
        if let (Some(build), Some(facts)) = (digest, record.value.facts) {
            let size_bytes = record.value.size_bytes;
            found.insert(build, KnownBuild { size_bytes, facts });
        }
    };
    inner.scan(keys::BUILDS, None, take).await?;
    Ok(found)
}

/// Labels of hosts that belong to the fleet.
pub(super) async fn labels(inner: &Inner) -> Result<HashMap<HostId, BTreeMap<String, String>>> {
    let mut found = HashMap::new();
    let take = |key: &str, record: Stored<HostRecord>| {
        if record.value.state == HostState::Active
            && let Some(host) = keys::behind(key, keys::HOSTS)
        {
            found.insert(host, record.value.labels);
        }
    };
    inner.scan(keys::HOSTS, None, take).await?;
    Ok(found)
}

/// Gives every guest of the fleet to `see`, all of one revision.
pub(super) async fn guests(
    inner: &Inner,
    mut see: impl FnMut(&HostId, &GuestRow) + Send,
) -> Result<Revision> {
    let take = |key: &str, record: Stored<GuestsRecord>| {
        let host = key
            .strip_prefix(keys::GUESTS)
            .and_then(|rest| rest.split_once('/'))
            .and_then(|(host, _)| host.parse::<HostId>().ok());
        if let Some(host) = host {
            for guest in &record.value.guests {
                see(&host, guest);
            }
        }
    };
    inner.scan(keys::GUESTS, None, take).await
}

/// Rollouts by id, with where their records stand.
pub(super) async fn rollouts(inner: &Inner) -> Result<BTreeMap<String, Stored<RolloutRecord>>> {
    let mut found = BTreeMap::new();
    let take = |key: &str, record: Stored<RolloutRecord>| {
        if let Some(id) = key.strip_prefix(keys::ROLLOUTS) {
            found.insert(id.to_owned(), record);
        }
    };
    inner.scan(keys::ROLLOUTS, None, take).await?;
    Ok(found)
}

/// Guests of rollouts that have not ended.
pub(super) async fn taken(
    inner: &Inner,
    rollouts: &BTreeMap<String, Stored<RolloutRecord>>,
) -> Result<BTreeSet<String>> {
    let mut taken = BTreeSet::new();
    for (id, record) in rollouts {
        if !has_ended(record.value.state) {
            let take = |_: &str, record: Stored<MembersRecord>| {
                taken.extend(record.value.members.into_iter().map(|member| member.guest));
            };
            inner.scan(&keys::members(id), None, take).await?;
        }
    }
    Ok(taken)
}

/// Whether nothing is done any more for a rollout by itself.
pub(super) fn has_ended(state: RolloutState) -> bool {
    matches!(
        state,
        RolloutState::Aborted | RolloutState::RolledBack | RolloutState::Done
    )
}
