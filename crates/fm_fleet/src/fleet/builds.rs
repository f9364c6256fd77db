//! Builds, page by page, and what a person does to one: pin, unpin, condemn, revive.

use fm_api::v1::fleet::{BuildState, BuildView, Digest, EventKind, Page, PageRequest, Rest, StoredPin};

use super::check;
use super::events::event;
use super::filters::BuildFilter;
use super::index::Index;
use super::inner::{Inner, MAX_ATTEMPT_COUNT, Stored, write};
use super::keys;
use super::record::BuildRecord;
use super::refresh::Views;
use crate::{Error, Result};
use fm_records::Transaction;

/// The most pins of one build.
const MAX_PIN_COUNT: usize = 64;

/// What the API shows of a build.
pub(super) fn view(build: Digest, record: Stored<BuildRecord>, index: &Index) -> BuildView {
    let Stored { value, modified } = record;
    BuildView {
        user_count: index.user_count(&build),
        build,
        state: value.state,
        generation: value.generation,
        manifest: value.manifest,
        size_bytes: value.size_bytes,
        name: value.name,
        version: value.version,
        facts: value.facts,
        pins: value.pins,
        revision: modified,
        rest: Rest::new(),
    }
}

/// A page of builds.
pub(super) async fn builds(
    inner: &Inner,
    views: &Views,
    filter: &BuildFilter,
    page: &PageRequest,
) -> Result<Page<BuildView>> {
    let from: Option<Digest> = match &page.cursor {
        None => None,
        Some(text) => {
            let foreign = |_| Error::invalid("the cursor", "it is not one of a list of builds");
            Some(text.parse().map_err(foreign)?)
        }
    };
    let revision = inner.records.get(keys::META).await?.revision;
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    let index = &lists.index;
    let mut found = index
        .builds
        .iter()
        .filter(|(build, _)| from.as_ref().is_none_or(|from| *build > from))
        .filter(|(_, record)| filter.state.is_none_or(|state| record.value.state == state));
    let items: Vec<BuildView> = found
        .by_ref()
        .take(page.count())
        .map(|(build, record)| view(build.clone(), record.clone(), index))
        .collect();
    let more = found.next().is_some();
    let next = items.last().filter(|_| more).map(|last| last.build.to_string());
    Ok(Page {
        items,
        next,
        revision,
    })
}

/// One build, as it is now.
pub(super) async fn build(inner: &Inner, views: &Views, build: &Digest) -> Result<BuildView> {
    let record = stored(inner, build).await?;
    let mut lists = views.lists.lock().await;
    lists.refresh(inner).await?;
    Ok(view(build.clone(), record, &lists.index))
}

/// A build's record.
pub(super) async fn stored(inner: &Inner, build: &Digest) -> Result<Stored<BuildRecord>> {
    let record: Option<Stored<BuildRecord>> = inner.get(&keys::build(build)).await?;
    record.ok_or_else(|| Error::NoBuild { build: build.clone() })
}

/// What a person does to a build.
pub(super) enum Change<'a> {
    Pin(&'a StoredPin),
    Unpin(&'a str),
    Condemn,
    Revive,
}

/// Changes a build's record, if it is at `revision` still where that is given.
pub(super) async fn change(
    inner: &Inner,
    build: &Digest,
    change: &Change<'_>,
    by: &str,
    revision: Option<u64>,
) -> Result<()> {
    inner.meta_to_write().await?;
    if let Change::Pin(pin) = change {
        check::id("the pin", "name", &pin.name)?;
    }
    let key = keys::build(build);
    for _ in 0..MAX_ATTEMPT_COUNT {
        let before = stored(inner, build).await?;
        if let Some(expected) = revision
            && expected != before.modified
        {
            return Err(Error::Changed {
                what: format!("the record of build {build}"),
                expected,
                found: before.modified,
            });
        }
        let Some((next, kinds, why)) = changed(build, &before.value, change)? else {
            return Ok(());
        };
        let transaction = Transaction::new()
            .if_unchanged(&key, Some(before.modified))
            .put(&key, write(&key, &next)?);
        let events = kinds.into_iter().map(|kind| {
            let mut told = event(kind, inner.clock.display());
            told.build = Some(build.clone());
            told.by = Some(by.to_owned());
            told.why.clone_from(&why);
            told
        });
        if inner
            .transact_with(transaction, events.collect())
            .await?
            .is_some()
        {
            return Ok(());
        }
    }
    Err(Error::Contention {
        what: format!("the record of build {build}"),
    })
}

type Changed = (BuildRecord, Vec<EventKind>, Option<String>);

/// The record after the change, with what that means; nothing if it stays as it is.
fn changed(build: &Digest, before: &BuildRecord, change: &Change<'_>) -> Result<Option<Changed>> {
    let wrong = |wanted| Error::WrongState {
        build: build.clone(),
        state: before.state,
        wanted,
    };
    let mut next = before.clone();
    let mut kinds = Vec::new();
    let mut why = None;
    match change {
        Change::Pin(pin) => {
            if before.state == BuildState::Deleting {
                return Err(wrong("pinned"));
            }
            let mut pin = (*pin).clone();
            check::word(&mut pin.reason);
            check::word(&mut pin.by);
            why = Some(pin.reason.clone());
            next.pins.retain(|known| known.name != pin.name);
            next.pins.push(pin);
            next.pins.sort_by(|left, right| left.name.cmp(&right.name));
            if next.pins.len() > MAX_PIN_COUNT {
                return Err(Error::TooLarge {
                    what: "a build (pins)".into(),
                    size: next.pins.len() as u64,
                    limit: MAX_PIN_COUNT as u64,
                });
            }
            kinds.push(EventKind::BuildPinned);
            if let Some(needed) = next.needed() {
                if needed.state == BuildState::Live {
                    kinds.push(EventKind::BuildRevived);
                }
                next = needed;
            }
        }
        Change::Unpin(name) => {
            next.pins.retain(|known| known.name != *name);
            if next.pins.len() == before.pins.len() {
                return Ok(None);
            }
            why = Some((*name).to_owned());
            kinds.push(EventKind::BuildUnpinned);
        }
        Change::Condemn => match before.state {
            BuildState::Condemned => return Ok(None),
            BuildState::Live if before.pins.is_empty() => {
                next.state = BuildState::Condemned;
                kinds.push(EventKind::BuildCondemned);
            }
            _ => return Err(wrong("condemned")),
        },
        Change::Revive => match before.state {
            BuildState::Live => return Ok(None),
            BuildState::Condemned => {
                next.state = BuildState::Live;
                kinds.push(EventKind::BuildRevived);
            }
            _ => return Err(wrong("revived")),
        },
    }
    Ok(Some((next, kinds, why)))
}
