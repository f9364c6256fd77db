//! The fleet in figures, from the copy in memory: nothing is read that did not change.

use std::collections::BTreeMap;

use fm_api::v1::fleet::{BuildState, BuildView, Digest, UseReason};

use super::builds::view;
use super::inner::Inner;
use super::keys;
use super::refresh::Views;
use crate::Result;
use fm_records::Revision;

/// The fleet in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Hosts that belong to it.
    pub host_count: u64,
    /// Of these, hosts that gave no sign of life lately.
    pub silent_count: u64,
    /// Why builds are needed, and for how many guests or by how many hosts.
    pub reasons: BTreeMap<UseReason, u64>,
    /// How many builds stand in which way.
    pub states: BTreeMap<BuildState, u64>,
    /// Builds, those that most guests run first.
    pub builds: Vec<BuildUsage>,
    /// How many builds there are, if `builds` does not hold them all.
    pub build_count: u64,
    /// The revision of the records.
    pub revision: Revision,
}

/// A build and what it is needed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildUsage {
    /// The build.
    pub build: BuildView,
    /// For how many guests, or by how many hosts.
    pub reasons: BTreeMap<UseReason, u64>,
}

/// The fleet in figures.
pub(super) async fn summary(inner: &Inner, views: &Views, count: usize) -> Result<Summary> {
    let revision = inner.records.get(keys::META).await?.revision;
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    let index = &lists.index;
    let mut summary = Summary {
        host_count: index.uses.len() as u64,
        silent_count: index
            .uses
            .keys()
            .filter(|host| !index.alive.contains(*host))
            .count() as u64,
        reasons: BTreeMap::new(),
        states: BTreeMap::new(),
        builds: Vec::new(),
        build_count: index.builds.len() as u64,
        revision,
    };
    let mut most = Vec::with_capacity(index.builds.len());
    for (build, record) in &index.builds {
        *summary.states.entry(record.value.state).or_default() += 1;
        let reasons = index.reasons(build);
        for (reason, count) in &reasons {
            *summary.reasons.entry(*reason).or_default() += count;
        }
        let runs = reasons.get(&UseReason::Runs).copied().unwrap_or(0);
        most.push((runs, build, record, reasons));
    }
    most.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(right.1)));
    for (_, build, record, reasons) in most.into_iter().take(count) {
        summary.builds.push(BuildUsage {
            build: view(build.clone(), record.clone(), index),
            reasons,
        });
    }
    Ok(summary)
}

/// What one build is needed for.
pub(super) async fn usage(inner: &Inner, views: &Views, build: &Digest) -> Result<BTreeMap<UseReason, u64>> {
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    Ok(lists.index.reasons(build))
}
