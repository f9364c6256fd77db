//! History: what happened, in numbered batches, the oldest of which go in time.

use fm_api::v1::fleet::{Event, EventKind, Page, PageRequest, Rest};

use super::check::word;
use super::filters::EventFilter;
use super::inner::{History, Inner, MAX_ATTEMPT_COUNT, Stored, lock, read, write};
use super::keys;
use super::record::{EventsRecord, HeadRecord, Record as _};
use crate::{Error, Result};
use fm_records::{MAX_OPERATION_COUNT, MAX_SCAN_COUNT, Revision, Scan, Transaction};

/// Which batches there are.
pub(super) const HEAD: &str = "/fm/v1/events";
/// The most events of a batch; the numbers of the next begin so much higher.
const MAX_BATCH_COUNT: usize = 256;
pub(super) const NUMBERS: u64 = 1000;
/// So many batches that are too old go with each new one.
const MAX_TRIM_COUNT: u64 = 4;
/// So many pages of records are read for one page of events.
const MAX_READ_COUNT: usize = 16;

/// An event of a kind, with nothing else said.
pub(super) fn event(kind: EventKind, time: String) -> Event {
    Event {
        id: 0,
        time,
        kind,
        host: None,
        guest: None,
        build: None,
        by: None,
        why: None,
        rest: Rest::new(),
    }
}

impl Inner {
    async fn head(&self, history: &mut History) -> Result<()> {
        history.head = self.get(HEAD).await?;
        Ok(())
    }

    /// The transaction with the events in it, and the head that it leaves.
    fn with_events(
        &self,
        mut transaction: Transaction,
        history: &History,
        mut events: Vec<Event>,
    ) -> Result<(Transaction, HeadRecord)> {
        let before = history.head.as_ref();
        let mut head = before.map_or(
            HeadRecord {
                schema: HeadRecord::SCHEMA,
                first: 1,
                last: 0,
                rest: Rest::new(),
            },
            |head| head.value.clone(),
        );
        head.last = head.last.saturating_add(1);
        for (index, event) in events.iter_mut().enumerate() {
            event.id = head.last.saturating_mul(NUMBERS).saturating_add(index as u64);
            [&mut event.by, &mut event.why, &mut event.guest]
                .into_iter()
                .flatten()
                .for_each(word);
        }
        let record = EventsRecord {
            schema: EventsRecord::SCHEMA,
            events,
            rest: Rest::new(),
        };
        let key = keys::event(head.last);
        transaction = transaction
            .if_unchanged(HEAD, before.map(|head| head.modified))
            .put(&key, write(&key, &record)?);
        for _ in 0..MAX_TRIM_COUNT {
            let count = head.last.saturating_sub(head.first).saturating_add(1);
            if count > self.options.max_event_batch_count.max(1) {
                transaction = transaction.delete(keys::event(head.first));
                head.first = head.first.saturating_add(1);
            }
        }
        Ok((transaction.put(HEAD, write(HEAD, &head)?), head))
    }

    /// Does the transaction and writes down what it means, both or neither. Nothing if something that it relied on
    /// does not hold.
    pub(super) async fn transact_with(
        &self,
        transaction: Transaction,
        events: Vec<Event>,
    ) -> Result<Option<Revision>> {
        let mut history = self.history.lock().await;
        for _ in 0..MAX_ATTEMPT_COUNT {
            if history.head.is_none() {
                self.head(&mut history).await?;
            }
            let (whole, head) = self.with_events(transaction.clone(), &history, events.clone())?;
            debug_assert!(
                whole.operations.len() <= MAX_OPERATION_COUNT,
                "room was left for the events"
            );
            match self.transact(whole).await {
                Ok(Some(revision)) => {
                    history.head = Some(Stored {
                        value: head,
                        modified: revision,
                    });
                    return Ok(Some(revision));
                }
                Ok(None) => {
                    let before = history.head.as_ref().map(|head| head.modified);
                    self.head(&mut history).await?;
                    if history.head.as_ref().map(|head| head.modified) == before {
                        return Ok(None);
                    }
                }
                Err(error) => {
                    history.head = None;
                    return Err(error);
                }
            }
        }
        Err(Error::Contention {
            what: "the history".into(),
        })
    }

    /// Writes events down, together with those of others who wait at the same time.
    pub(super) async fn note(&self, events: Vec<Event>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        lock(&self.unwritten).extend(events);
        loop {
            // Whoever comes first writes for all, and the others find nothing left to do.
            let turn = self.note_turn.lock().await;
            let batch: Vec<Event> = {
                let mut unwritten = lock(&self.unwritten);
                let count = unwritten.len().min(MAX_BATCH_COUNT);
                unwritten.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            self.transact_with(Transaction::new(), batch).await?;
            drop(turn);
        }
    }

    /// A page of what happened.
    pub(super) async fn events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<Event>> {
        let from = match &page.cursor {
            Some(cursor) => cursor
                .parse()
                .map_err(|_| Error::invalid("the cursor", "it is not one of a list of events"))?,
            None => filter.after.unwrap_or(0),
        };
        let before = (from / NUMBERS).checked_sub(1).map(keys::event);
        let mut scan = Scan {
            prefix: keys::EVENTS.into(),
            after: before,
            limit: MAX_SCAN_COUNT.min(64),
            at: None,
        };
        let mut items = Vec::new();
        let mut last = from;
        for _ in 0..MAX_READ_COUNT {
            let found = self.records.scan(&scan).await?;
            scan.at = Some(found.revision);
            scan.after = found.entries.last().map(|entry| entry.key.clone()).or(scan.after);
            for entry in &found.entries {
                let batch: EventsRecord = read(&entry.key, &entry.value)?;
                for event in batch.events.into_iter().filter(|event| event.id > from) {
                    if items.len() == page.count() {
                        return Ok(Page {
                            items,
                            next: Some(last.to_string()),
                            revision: found.revision,
                        });
                    }
                    last = event.id;
                    if wanted(filter, &event) {
                        items.push(event);
                    }
                }
            }
            if !found.more {
                return Ok(Page {
                    items,
                    next: None,
                    revision: found.revision,
                });
            }
        }
        Ok(Page {
            items,
            next: Some(last.to_string()),
            revision: scan.at.unwrap_or(0),
        })
    }
}

/// Whether an event is one of those that are asked for.
pub(super) fn wanted(filter: &EventFilter, event: &Event) -> bool {
    fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
        wanted.is_none() || wanted == found
    }
    fits(filter.kind.as_ref(), Some(&event.kind))
        && fits(filter.host.as_ref(), event.host.as_ref())
        && fits(filter.guest.as_ref(), event.guest.as_ref())
        && fits(filter.build.as_ref(), event.build.as_ref())
}
