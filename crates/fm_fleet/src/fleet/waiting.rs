//! Condemned builds, and who is still to be heard before each goes.

use fm_api::v1::fleet::{BuildState, BuildView, HostId, Mark, ObstacleKind, Page, PageRequest};

use super::builds::builds;
use super::census::Awaited;
use super::filters::BuildFilter;
use super::inner::{Inner, Stored};
use super::keys;
use super::record::PlannerRecord;
use super::refresh::Views;
use super::why::grace;
use crate::Result;

/// So many hosts are named for each build.
const MAX_NAMED_COUNT: usize = 10;

/// A condemned build, and what still stands in the way of its removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingBuild {
    /// The build.
    pub build: BuildView,
    /// Hosts that are there and have not acknowledged yet.
    pub awaited_count: u64,
    /// Hosts that are silent: they need everything.
    pub silent_count: u64,
    /// Hosts that have not reported since the records were set back.
    pub epoch_count: u64,
    /// Some of those hosts, silent ones first.
    pub hosts: Vec<(HostId, ObstacleKind)>,
    /// Whether the grace period lasts.
    pub has_grace: bool,
    /// How long it still lasts, where this server is the planner.
    pub remaining_ms: Option<u64>,
    /// Whether there is a planner.
    pub has_planner: bool,
}

/// A page of condemned builds. Hosts are asked once for all of them.
pub(super) async fn waiting(inner: &Inner, views: &Views, page: &PageRequest) -> Result<Page<WaitingBuild>> {
    let filter = BuildFilter {
        state: Some(BuildState::Condemned),
    };
    let found = builds(inner, views, &filter, page).await?;
    let mut items = Vec::with_capacity(found.items.len());
    if !found.items.is_empty() {
        let (meta, _) = inner.meta().await?;
        let planner: Option<Stored<PlannerRecord>> = inner.get(keys::PLANNER).await?;
        let has_planner = planner.is_some();
        let term = planner.map_or_else(String::new, |planner| planner.value.term);
        let census = inner.census(None).await?;
        let mut lists = views.lists.lock().await;
        lists.refresh(inner).await?;
        for build in found.items {
            let mark = Mark {
                term: term.clone(),
                revision: build.revision,
            };
            let mut waiting = WaitingBuild {
                build,
                awaited_count: 0,
                silent_count: 0,
                epoch_count: 0,
                hosts: Vec::new(),
                has_grace: false,
                remaining_ms: None,
                has_planner,
            };
            let mut awaited = Vec::new();
            for (host, why) in census.awaited(&mark, &meta.value.epoch) {
                let (kind, count) = match why {
                    Awaited::Epoch => (ObstacleKind::NewEpoch, &mut waiting.epoch_count),
                    Awaited::Acknowledgement if lists.index.alive.contains(host) => {
                        (ObstacleKind::AwaitedHost, &mut waiting.awaited_count)
                    }
                    Awaited::Acknowledgement => (ObstacleKind::SilentHost, &mut waiting.silent_count),
                };
                *count += 1;
                let named = if kind == ObstacleKind::SilentHost {
                    &mut waiting.hosts
                } else {
                    &mut awaited
                };
                if named.len() < MAX_NAMED_COUNT {
                    named.push((host.clone(), kind));
                }
            }
            waiting.hosts.extend(awaited);
            waiting.hosts.truncate(MAX_NAMED_COUNT);
            let mut lasting = Vec::new();
            grace(inner, &waiting.build.build, waiting.build.revision, &mut lasting);
            waiting.has_grace = !lasting.is_empty();
            waiting.remaining_ms = lasting.first().and_then(|grace| grace.remaining_ms);
            items.push(waiting);
        }
    }
    Ok(Page {
        items,
        next: found.next,
        revision: found.revision,
    })
}
