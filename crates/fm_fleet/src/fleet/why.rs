//! Why a build is kept or what still stands in the way of its removal, with the records that prove it.

use std::time::Duration;

use fm_api::v1::fleet::{BuildState, Digest, Mark, Need, Obstacle, ObstacleKind, UseReason, Why};

use super::builds::stored;
use super::census::{Awaited, HostNeed};
use super::inner::{Inner, Stored, lock};
use super::keys;
use super::record::{BuildRecord, DetailRecord, DetailRow, PlannerRecord};
use super::refresh::Views;
use crate::Result;
use fm_records::Revision;

/// So many needs and obstacles are shown.
const MAX_SHOWN_COUNT: usize = 1000;
/// Of so many hosts, each need is shown with its guest.
const MAX_DETAILED_HOST_COUNT: usize = 200;

/// The proof for one build.
pub(super) async fn why(inner: &Inner, views: &Views, build: &Digest) -> Result<Why> {
    let (meta, _) = inner.meta().await?;
    let (needs, revision) = inner.needs(build, None).await?;
    let record: Stored<BuildRecord> = stored(inner, build).await?;
    let mut proof = Why {
        schema: fm_api::Schema::default(),
        build: build.clone(),
        state: record.value.state,
        generation: record.value.generation,
        needed_by: Vec::new(),
        need_count: needs
            .iter()
            .flat_map(|need| need.reasons.values())
            .map(|count| u64::from(*count))
            .sum(),
        blocked_by: Vec::new(),
        obstacle_count: 0,
        condemned_revision: (record.value.state == BuildState::Condemned).then_some(record.modified),
        revision,
    };
    let is_needed = !needs.is_empty();
    for (number, need) in needs.into_iter().enumerate() {
        if proof.needed_by.len() >= MAX_SHOWN_COUNT {
            break;
        }
        if number < MAX_DETAILED_HOST_COUNT {
            proof
                .needed_by
                .extend(detailed(inner, build, &need, revision).await?);
        } else {
            proof.needed_by.extend(in_short(&need));
        }
    }
    proof.needed_by.truncate(MAX_SHOWN_COUNT);

    let mut obstacles: Vec<Obstacle> = Vec::new();
    for pin in &record.value.pins {
        obstacles.push(Obstacle {
            pin: Some(pin.name.clone()),
            ..obstacle(ObstacleKind::Pinned)
        });
    }
    let is_kept = is_needed || !record.value.pins.is_empty();
    if record.value.state == BuildState::Live && !is_kept {
        obstacles.push(obstacle(ObstacleKind::NotCondemned));
    }
    let planner: Option<Stored<PlannerRecord>> = inner.get(keys::PLANNER).await?;
    let goes = matches!(
        record.value.state,
        BuildState::Live | BuildState::Condemned | BuildState::Deleting
    );
    if goes && !is_kept && planner.is_none() {
        obstacles.push(obstacle(ObstacleKind::NoPlanner));
    }
    if record.value.state == BuildState::Condemned && !is_kept {
        // No planner has this term: every host is still to be asked.
        let term = planner.map_or_else(String::new, |planner| planner.value.term);
        let mark = Mark {
            term,
            revision: record.modified,
        };
        waiting(inner, views, &mark, &meta.value.epoch, &mut obstacles).await?;
        grace(inner, build, record.modified, &mut obstacles);
    }
    proof.obstacle_count = obstacles.len() as u64;
    obstacles.truncate(MAX_SHOWN_COUNT);
    proof.blocked_by = obstacles;
    Ok(proof)
}

fn obstacle(kind: ObstacleKind) -> Obstacle {
    Obstacle {
        kind,
        host: None,
        pin: None,
        remaining_ms: None,
    }
}

async fn waiting(
    inner: &Inner,
    views: &Views,
    mark: &Mark,
    epoch: &str,
    obstacles: &mut Vec<Obstacle>,
) -> Result<()> {
    let census = inner.census(None).await?;
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    for (host, awaited) in census.awaited(mark, epoch) {
        let kind = match awaited {
            Awaited::Epoch => ObstacleKind::NewEpoch,
            Awaited::Acknowledgement if lists.index.alive.contains(host) => ObstacleKind::AwaitedHost,
            Awaited::Acknowledgement => ObstacleKind::SilentHost,
        };
        obstacles.push(Obstacle {
            host: Some(host.clone()),
            ..obstacle(kind)
        });
    }
    Ok(())
}

/// The obstacle that a build's grace period is, if it lasts.
pub(super) fn grace(inner: &Inner, build: &Digest, condemned: Revision, obstacles: &mut Vec<Obstacle>) {
    let grace = lock(&inner.grace);
    let (waiting, whole) = &*grace;
    let since = waiting
        .get(build)
        .filter(|(revision, _)| *revision == condemned)
        .map(|(_, since)| *since);
    // Only the planner's own server knows how long it still lasts.
    let remaining = since.map(|since| {
        let passed = inner.clock.monotonic().saturating_sub(since);
        whole.saturating_sub(passed)
    });
    if remaining != Some(Duration::ZERO) {
        obstacles.push(Obstacle {
            remaining_ms: remaining.map(|remaining| u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX)),
            ..obstacle(ObstacleKind::Grace)
        });
    }
}

async fn detailed(inner: &Inner, build: &Digest, need: &HostNeed, revision: Revision) -> Result<Vec<Need>> {
    let mut found = Vec::new();
    let take = |_: &str, record: Stored<DetailRecord>| {
        for row in record.value.rows {
            if let DetailRow::Use(used) = row
                && used.build == *build
            {
                found.push((used.reason, used.guest));
            }
        }
    };
    inner
        .scan(&keys::detail(&need.host), Some(revision), take)
        .await?;
    if found.is_empty() {
        return Ok(in_short(need));
    }
    let needs = found.into_iter().map(|(reason, guest)| one(need, reason, guest));
    Ok(needs.collect())
}

fn in_short(need: &HostNeed) -> Vec<Need> {
    need.reasons
        .keys()
        .map(|reason| one(need, *reason, None))
        .collect()
}

fn one(need: &HostNeed, reason: UseReason, guest: Option<String>) -> Need {
    Need {
        host: need.host.clone(),
        guest,
        reason,
        revision: need.modified,
    }
}
