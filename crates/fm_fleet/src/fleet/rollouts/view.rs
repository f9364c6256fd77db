//! What is shown of rollouts.

use fm_api::v1::fleet::{HostId, Page, PageRequest};
use fm_api::v1::rollout::{MemberView, RolloutView, WaveView};
use fm_records::Scan;

use super::super::inner::{Inner, Stored, read};
use super::super::keys;
use super::super::record::{MembersRecord, RolloutRecord};
use super::{known, members};
use crate::{Error, Result};

/// So many hosts are read at once for a page of guests.
const STEP_COUNT: usize = 32;

fn view(id: String, record: Stored<RolloutRecord>) -> RolloutView {
    let Stored { value, modified } = record;
    let percents = std::iter::once(None).chain(value.spec.waves.iter().copied().map(Some));
    let waves = percents.zip(&value.counts).map(|(percent, states)| WaveView {
        percent,
        guest_count: states.values().sum(),
        states: states.clone(),
    });
    RolloutView {
        schema: fm_api::Schema::default(),
        id,
        state: value.state,
        why: value.why,
        by: value.by,
        started: value.started,
        wave: value.wave,
        waves: waves.collect(),
        failed_count: value.trouble_count,
        troubles: value.troubles,
        variables: value.variables,
        spec: value.spec,
        revision: modified,
    }
}

/// Rollouts, the newest first, and the revision of the records.
pub(in super::super) async fn list(inner: &Inner) -> Result<(Vec<RolloutView>, u64)> {
    let revision = inner.records.get(keys::META).await?.revision;
    let mut found: Vec<(String, Stored<RolloutRecord>)> = known::rollouts(inner).await?.into_iter().collect();
    found.sort_by_key(|(_, record)| std::cmp::Reverse(record.value.number));
    let views = found.into_iter().map(|(id, record)| view(id, record));
    Ok((views.collect(), revision))
}

/// One rollout.
pub(in super::super) async fn one(inner: &Inner, id: &str) -> Result<RolloutView> {
    let record = inner.get(&keys::rollout(id)).await?;
    let record = record.ok_or_else(|| Error::NoRollout { id: id.to_owned() })?;
    Ok(view(id.to_owned(), record))
}

/// Guests of a rollout, by the host that they were on when it began. A page ends with a host, and so may have more than
/// was asked for.
pub(in super::super) async fn guests(
    inner: &Inner,
    id: &str,
    page: &PageRequest,
) -> Result<Page<MemberView>> {
    let prefix = keys::members(id);
    let after = match &page.cursor {
        None => None,
        Some(cursor) => {
            let foreign = |_| Error::invalid("the cursor", "it is not one of a list of guests");
            Some(format!("{prefix}{}", cursor.parse::<HostId>().map_err(foreign)?))
        }
    };
    let mut scan = Scan {
        prefix: prefix.clone(),
        after,
        limit: STEP_COUNT,
        at: None,
    };
    let mut items = Vec::new();
    loop {
        let found = inner.records.scan(&scan).await?;
        scan.at = Some(found.revision);
        for (number, entry) in found.entries.iter().enumerate() {
            let record: MembersRecord = read(&entry.key, &entry.value)?;
            let Some(host) = keys::behind::<HostId>(&entry.key, &prefix) else {
                continue;
            };
            let views = record.members.iter().map(|member| {
                let host = member.host.as_ref().unwrap_or(&host);
                members::view(host, member)
            });
            items.extend(views);
            let is_last = !found.more && number + 1 == found.entries.len();
            if items.len() >= page.count() || is_last {
                return Ok(Page {
                    items,
                    next: (!is_last).then(|| host.to_string()),
                    revision: found.revision,
                });
            }
        }
        scan.after = found.entries.last().map(|entry| entry.key.clone());
        if !found.more {
            return Ok(Page {
                items,
                next: None,
                revision: found.revision,
            });
        }
    }
}
