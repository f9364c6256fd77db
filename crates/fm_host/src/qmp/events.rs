//! Events that have arrived and were not asked for yet: bounded in number and in bytes, the oldest dropped first.

use std::collections::VecDeque;

use serde_json::json;

use super::Event;

/// Most events that are kept.
const MAX_EVENTS_COUNT: usize = 1024;

/// Most bytes that all of them may have had as lines; decoded, a line takes a small multiple of its length.
const MAX_EVENTS_BYTES: usize = 1 << 20;

/// The longest line whose data is kept. QEMU's own events are below 1 KiB.
const MAX_EVENT_BYTES: usize = 64 << 10;

/// The longest name that is kept of an overlong event.
const MAX_NAME_BYTES: usize = 256;

/// The events of one monitor.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Each with the length of its line, in bytes.
    kept: VecDeque<(Event, usize)>,
    /// The sum of these lengths.
    len_bytes: usize,
}

impl Events {
    /// Keeps an event that came as a line of `len_bytes`; of an overlong one the name alone.
    pub(super) fn keep(&mut self, mut event: Event, mut len_bytes: usize) {
        if len_bytes > MAX_EVENT_BYTES {
            event.data = json!({});
            let whole = |at: &usize| event.name.is_char_boundary(*at);
            event
                .name
                .truncate((0..=MAX_NAME_BYTES).rev().find(whole).unwrap_or(0));
            event.name.shrink_to_fit();
            len_bytes = event.name.len();
        }
        while self.kept.len() >= MAX_EVENTS_COUNT
            || self.len_bytes.saturating_add(len_bytes) > MAX_EVENTS_BYTES
        {
            if self.next().is_none() {
                break;
            }
        }
        self.len_bytes = self.len_bytes.saturating_add(len_bytes);
        self.kept.push_back((event, len_bytes));
    }

    /// The oldest event.
    pub(super) fn next(&mut self) -> Option<Event> {
        let (event, len_bytes) = self.kept.pop_front()?;
        self.len_bytes = self.len_bytes.saturating_sub(len_bytes);
        Some(event)
    }

    /// All events.
    pub(super) fn drain(&mut self) -> Vec<Event> {
        self.len_bytes = 0;
        self.kept.drain(..).map(|(event, _)| event).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, len_bytes: usize) -> Event {
        Event {
            name: name.into(),
            data: json!({ "filler": "x".repeat(len_bytes) }),
        }
    }

    #[test]
    fn events_are_bounded_in_bytes_and_the_oldest_go_first() {
        let mut events = Events::default();
        let each = MAX_EVENT_BYTES;
        for number in 0..100 {
            events.keep(event(&number.to_string(), each), each);
        }
        assert!(events.len_bytes <= MAX_EVENTS_BYTES);
        let kept = events.drain();
        assert_eq!(kept.len(), MAX_EVENTS_BYTES / each);
        assert_eq!(kept.last().map(|event| event.name.as_str()), Some("99"));
        assert!(events.is_empty() && events.len_bytes == 0);
    }

    #[test]
    fn events_are_bounded_in_number() {
        let mut events = Events::default();
        for number in 0..2 * MAX_EVENTS_COUNT {
            events.keep(event(&number.to_string(), 0), 1);
        }
        assert_eq!(events.drain().len(), MAX_EVENTS_COUNT);
    }

    #[test]
    fn of_an_overlong_event_the_name_alone_is_kept() {
        let mut events = Events::default();
        events.keep(event("RESUME", 14 << 20), 14 << 20);
        events.keep(event(&"\u{e9}".repeat(1 << 20), 0), 2 << 20);
        assert!(events.len_bytes <= "RESUME".len() + MAX_NAME_BYTES);
        let first = events.next().unwrap();
        assert_eq!((first.name.as_str(), first.data), ("RESUME", json!({})));
        assert!(events.next().unwrap().name.len() <= MAX_NAME_BYTES);
        assert!(events.is_empty() && events.len_bytes == 0);
    }
}
