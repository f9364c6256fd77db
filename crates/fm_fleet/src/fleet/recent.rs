//! History from its end: what happened last comes first.

use fm_api::v1::fleet::{Event, Page, PageRequest};

use super::events::{HEAD, NUMBERS, wanted};
use super::filters::EventFilter;
use super::inner::{Inner, Stored, read};
use super::keys;
use super::record::{EventsRecord, HeadRecord};
use crate::{Error, Result};
use fm_records::Scan;

/// So many batches are read at once.
const STEP: u64 = 64;
/// So many batches are looked at for one page; then it ends, however few events there are on it.
const MAX_BATCH_COUNT: u64 = 2048;

/// A page of what happened, newest first. Its cursor is a number that everything on the next one is below.
pub(super) async fn events(inner: &Inner, filter: &EventFilter, page: &PageRequest) -> Result<Page<Event>> {
    let before: u64 = match &page.cursor {
        Some(cursor) => cursor
            .parse()
            .map_err(|_| Error::invalid("the cursor", "it is not one of a list of events"))?,
        None => u64::MAX,
    };
    let after = filter.after.unwrap_or(0);
    let (head, revision) = inner.get_at::<HeadRecord>(HEAD).await?;
    let mut found = Page {
        items: Vec::new(),
        next: None,
        revision,
    };
    let Some(Stored { value: head, .. }) = head else {
        return Ok(found);
    };
    let mut end = head.last.min(before / NUMBERS).saturating_add(1);
    let oldest = end
        .saturating_sub(MAX_BATCH_COUNT)
        .max(head.first)
        .max(after / NUMBERS);
    while end > oldest {
        let begin = end.saturating_sub(STEP).max(oldest);
        let batches = batches(inner, begin, end).await?;
        for event in batches.into_iter().flat_map(|batch| batch.events).rev() {
            if event.id >= before || event.id <= after || !wanted(filter, &event) {
                continue;
            }
            if found.items.len() == page.count() {
                found.next = found.items.last().map(|last| last.id.to_string());
                return Ok(found);
            }
            found.items.push(event);
        }
        end = begin;
    }
    let is_end = oldest <= head.first.max(after / NUMBERS);
    found.next = (!is_end).then(|| oldest.saturating_mul(NUMBERS).to_string());
    Ok(found)
}

/// Batches by number, from one to before another; those that are gone meanwhile are not among them.
async fn batches(inner: &Inner, begin: u64, end: u64) -> Result<Vec<EventsRecord>> {
    let mut found = Vec::new();
    let mut scan = Scan {
        prefix: keys::EVENTS.into(),
        after: begin.checked_sub(1).map(keys::event),
        limit: usize::try_from(STEP).unwrap_or(usize::MAX),
        at: None,
    };
    loop {
        let page = inner.records.scan(&scan).await?;
        scan.at = Some(page.revision);
        for entry in &page.entries {
            let number: u64 = keys::behind(&entry.key, keys::EVENTS).unwrap_or(u64::MAX);
            if number >= end {
                return Ok(found);
            }
            found.push(read(&entry.key, &entry.value)?);
        }
        scan.after = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            return Ok(found);
        }
    }
}
