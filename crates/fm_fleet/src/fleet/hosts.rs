//! Hosts and their guests, page by page.

use fm_api::v1::fleet::{Certificates, GuestRow, GuestView, HostId, HostView, Mark, Page, PageRequest};

use super::filters::{GuestFilter, HostFilter};
use super::inner::{Inner, Stored};
use super::keys;
use super::record::{AckRecord, GuestsRecord, HostRecord};
use super::refresh::Views;
use crate::{Error, Result};
use fm_records::{MAX_SCAN_COUNT, Revision, Scan};

/// So many hosts are looked at for one page of guests; then it ends, however few there are on it.
const MAX_HOST_COUNT: usize = 256;

fn view(host: HostId, record: Stored<HostRecord>, ack: Option<AckRecord>, alive: bool) -> HostView {
    let Stored { value, modified } = record;
    HostView {
        host,
        name: value.name,
        state: value.state,
        alive,
        instance: value.instance,
        boot_id: value.boot_id,
        sequence: value.sequence,
        agent_version: value.agent_version,
        reported: value.reported,
        guest_count: value.guest_count,
        build_count: value.build_count,
        use_count: value.use_count,
        acknowledged: ack.map(|ack| Mark {
            term: ack.term,
            revision: ack.revision,
        }),
        revision: modified,
        rest: value.said,
    }
}

/// One host.
pub(super) async fn host(inner: &Inner, views: &Views, host: &HostId) -> Result<HostView> {
    let record: Option<Stored<HostRecord>> = inner.get(&keys::host(host)).await?;
    let record = record.ok_or_else(|| Error::NoHost { host: host.clone() })?;
    let ack: Option<Stored<AckRecord>> = inner.get(&keys::ack(host)).await?;
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    let alive = lists.index.alive.contains(host);
    Ok(view(host.clone(), record, ack.map(|ack| ack.value), alive))
}

/// A page of hosts.
pub(super) async fn hosts(
    inner: &Inner,
    views: &Views,
    filter: &HostFilter,
    page: &PageRequest,
) -> Result<Page<HostView>> {
    let cursor: Option<HostId> = cursor("hosts", page.cursor.as_deref())?;
    let mut scan = Scan {
        prefix: keys::HOSTS.into(),
        after: cursor.as_ref().map(keys::host),
        limit: page.count().saturating_add(1).min(MAX_SCAN_COUNT),
        at: None,
    };
    let mut wanted = Vec::new();
    let mut next = None;
    'pages: loop {
        let found = inner.records.scan(&scan).await?;
        scan.at = Some(found.revision);
        scan.after = found.entries.last().map(|entry| entry.key.clone());
        let mut lists = views.lists.lock().await;
        lists.refresh(inner).await?;
        for entry in found.entries {
            let Some(host) = keys::behind::<HostId>(&entry.key, keys::HOSTS) else {
                continue;
            };
            let record: HostRecord = super::inner::read(&entry.key, &entry.value)?;
            let alive = lists.index.alive.contains(&host);
            let fits = filter.state.is_none_or(|state| record.state == state)
                && filter.alive.is_none_or(|wanted| alive == wanted)
                && filter
                    .build
                    .as_ref()
                    .is_none_or(|build| lists.index.needs(&host, build));
            if !fits {
                continue;
            }
            if wanted.len() == page.count() {
                next = wanted
                    .last()
                    .map(|(host, _, _): &(HostId, _, _)| host.to_string());
                break 'pages;
            }
            let record = Stored {
                value: record,
                modified: entry.modified,
            };
            wanted.push((host, record, alive));
        }
        if !found.more {
            break;
        }
    }
    let mut items = Vec::with_capacity(wanted.len());
    for (host, record, alive) in wanted {
        let ack: Option<Stored<AckRecord>> = inner.get(&keys::ack(&host)).await?;
        items.push(view(host, record, ack.map(|ack| ack.value), alive));
    }
    Ok(Page {
        items,
        next,
        revision: scan.at.unwrap_or(0),
    })
}

fn cursor<T: std::str::FromStr>(what: &str, text: Option<&str>) -> Result<Option<T>> {
    let foreign = |_| Error::invalid("the cursor", format!("it is not one of a list of {what}"));
    text.map(|text| text.parse().map_err(|_| ()).map_err(foreign))
        .transpose()
}

/// A page of guests. Hosts are looked at one after the other, those alone that can have one.
pub(super) async fn guests(
    inner: &Inner,
    views: &Views,
    filter: &GuestFilter,
    page: &PageRequest,
) -> Result<Page<GuestView>> {
    let (from, behind) = match page.cursor.as_deref() {
        None => (None, String::new()),
        Some(text) => {
            let (host, guest) = text.split_once('/').unwrap_or((text, ""));
            (cursor::<HostId>("guests", Some(host))?, guest.to_owned())
        }
    };
    let (candidates, mut revision) = candidates(inner, views, filter, from.as_ref()).await?;
    let more_hosts = candidates.len() > MAX_HOST_COUNT;
    let mut items: Vec<GuestView> = Vec::new();
    let mut last = None;
    for host in candidates.into_iter().take(MAX_HOST_COUNT) {
        let (rows, at) = rows(inner, &host).await?;
        revision = revision.max(at);
        let behind = if from.as_ref() == Some(&host) {
            behind.as_str()
        } else {
            ""
        };
        for guest in rows {
            if guest.uuid.as_str() <= behind || !fits(filter, &guest) {
                continue;
            }
            if items.len() == page.count() {
                let next = items
                    .last()
                    .map(|last| format!("{}/{}", last.host, last.guest.uuid));
                return Ok(Page {
                    items,
                    next,
                    revision,
                });
            }
            items.push(GuestView {
                host: host.clone(),
                guest,
            });
        }
        // Behind every guest of this host.
        last = Some(format!("{host}/~"));
    }
    Ok(Page {
        items,
        next: last.filter(|_| more_hosts),
        revision,
    })
}

/// Hosts that may have such guests, from the one with which the page begins.
async fn candidates(
    inner: &Inner,
    views: &Views,
    filter: &GuestFilter,
    from: Option<&HostId>,
) -> Result<(Vec<HostId>, Revision)> {
    let places = match &filter.uuid {
        None => None,
        Some(uuid) => {
            let mut places = views.places.lock().await;
            places.refresh(inner).await?;
            Some(places.places.of(uuid))
        }
    };
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    let index = &lists.index;
    let found = index
        .uses
        .keys()
        .filter(|host| from.is_none_or(|from| *host >= from))
        .filter(|host| filter.host.as_ref().is_none_or(|wanted| *host == wanted))
        .filter(|host| filter.build.as_ref().is_none_or(|build| index.needs(host, build)))
        .filter(|host| filter.drifts != Some(true) || index.drifts(host))
        .filter(|host| places.as_ref().is_none_or(|places| places.contains(*host)))
        .take(MAX_HOST_COUNT.saturating_add(1))
        .cloned()
        .collect();
    Ok((found, 0))
}

/// A host's guests by uuid, and the revision that they are of.
pub(super) async fn rows(inner: &Inner, host: &HostId) -> Result<(Vec<GuestRow>, Revision)> {
    let mut guests = Vec::new();
    let take = |_: &str, record: Stored<GuestsRecord>| guests.extend(record.value.guests);
    let revision = inner.scan(&keys::guests(host), None, take).await?;
    guests.sort_by(|left, right| left.uuid.cmp(&right.uuid));
    Ok((guests, revision))
}

fn fits(filter: &GuestFilter, guest: &GuestRow) -> bool {
    let takes = |build| guest.build.as_ref() == Some(build) || guest.next_build.as_ref() == Some(build);
    let holds = |name: &String| {
        guest
            .name
            .as_ref()
            .is_some_and(|found| found.contains(name.as_str()))
    };
    let generations = |certificates: &Certificates| {
        let Certificates { pk, kek, db, dbx, .. } = certificates;
        [pk, kek, db, dbx]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
    };
    filter.build.as_ref().is_none_or(takes)
        && filter.uuid.as_ref().is_none_or(|uuid| guest.uuid == *uuid)
        && filter.name.as_ref().is_none_or(holds)
        && filter
            .layout
            .as_ref()
            .is_none_or(|layout| guest.layout.as_ref() == Some(layout))
        && filter.secure_boot.is_none_or(|on| guest.secure_boot == Some(on))
        && filter.state.is_none_or(|state| guest.state == state)
        && filter
            .drifts
            .is_none_or(|drifts| guest.next_build.is_some() == drifts)
        && filter.certificate.as_ref().is_none_or(|wanted| {
            let found = guest.certificates.as_ref().map(generations).unwrap_or_default();
            found.contains(wanted)
        })
}
