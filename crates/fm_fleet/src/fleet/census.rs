//! Every host's word at one revision: which builds are needed, and who has not answered yet.

use std::collections::{BTreeMap, BTreeSet};

use fm_api::v1::fleet::{Digest, HostId, HostState, Mark, UseReason};

use super::inner::{Inner, Stored};
use super::keys;
use super::record::{AckRecord, HostRecord, UseRecord};
use crate::Result;
use fm_records::Revision;

/// Every host's word.
pub(super) struct Census {
    pub(super) revision: Revision,
    /// Builds that some host needs, whichever way it stands: a use that is on record counts.
    pub(super) used: BTreeSet<Digest>,
    /// Hosts that are not retired, with what each has acknowledged.
    hosts: BTreeMap<HostId, Option<AckRecord>>,
}

/// A host's need for one build.
pub(super) struct HostNeed {
    pub(super) host: HostId,
    pub(super) reasons: BTreeMap<UseReason, u32>,
    pub(super) modified: Revision,
}

/// Why a host's answer is still missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// It has not acknowledged yet.
    Acknowledgement,
    /// Its acknowledgement is from before the records were set back.
    Epoch,
}

impl Inner {
    /// Asks every record, all of them as they are at one revision.
    pub(super) async fn census(&self, at: Option<Revision>) -> Result<Census> {
        let mut hosts = BTreeMap::new();
        let take = |key: &str, record: Stored<HostRecord>| {
            if record.value.state != HostState::Retired
                && let Some(host) = keys::behind::<HostId>(key, keys::HOSTS)
            {
                hosts.insert(host, None);
            }
        };
        let revision = self.scan(keys::HOSTS, at, take).await?;
        let take = |key: &str, record: Stored<AckRecord>| {
            let host = keys::behind::<HostId>(key, keys::ACKS).and_then(|host| hosts.get_mut(&host));
            if let Some(host) = host {
                *host = Some(record.value);
            }
        };
        self.scan(keys::ACKS, Some(revision), take).await?;
        let mut used = BTreeSet::new();
        let take = |_: &str, record: Stored<UseRecord>| {
            for build in record.value.builds.into_keys() {
                used.insert(build);
            }
        };
        self.scan(keys::USES, Some(revision), take).await?;
        Ok(Census {
            revision,
            used,
            hosts,
        })
    }

    /// Which hosts need a build, at one revision.
    pub(super) async fn needs(
        &self,
        build: &Digest,
        at: Option<Revision>,
    ) -> Result<(Vec<HostNeed>, Revision)> {
        let mut found = Vec::new();
        let take = |key: &str, mut record: Stored<UseRecord>| {
            let host = keys::behind::<HostId>(key, keys::USES);
            if let (Some(host), Some(reasons)) = (host, record.value.builds.remove(build)) {
                found.push(HostNeed {
                    host,
                    reasons,
                    modified: record.modified,
                });
            }
        };
        let revision = self.scan(keys::USES, at, take).await?;
        Ok((found, revision))
    }
}

impl Census {
    /// Hosts that have not acknowledged `mark` or a later one of the same term, in this epoch.
    pub(super) fn awaited<'a>(
        &'a self,
        mark: &'a Mark,
        epoch: &'a str,
    ) -> impl Iterator<Item = (&'a HostId, Awaited)> {
        self.hosts.iter().filter_map(move |(host, ack)| match ack {
            Some(ack) if ack.epoch != epoch => Some((host, Awaited::Epoch)),
            Some(ack) if ack.term == mark.term && ack.revision >= mark.revision => None,
            Some(_) | None => Some((host, Awaited::Acknowledgement)),
        })
    }
}
