//! What happened: as a list, and as a stream while it happens.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event as Message, Sse};
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::{Digest, Event, EventKind, HostId, PageRequest};
use fm_fleet::EventFilter;
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::answer::{Answer, json};
use crate::caller::Caller;
use crate::state::App;
use fm_access::request::Query;
use fm_access::{Principal, Problem, Shown};

/// Without an event, a stream says so often that it is there, and whoever reads it is looked up again.
const QUIET: Duration = Duration::from_secs(10);
/// So many messages wait for a reader, no more.
const WAITING_COUNT: usize = 64;

/// What events are asked for with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    cursor: Option<String>,
    limit: Option<usize>,
    after: Option<u64>,
    kind: Option<EventKind>,
    host: Option<HostId>,
    guest: Option<String>,
    build: Option<Digest>,
    /// Of a stream: only what happens from now on.
    new: Option<bool>,
}

pub(super) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(wanted): Query<Wanted>,
    axum::Extension(shown): axum::Extension<Shown>,
    headers: HeaderMap,
) -> Answer {
    caller.require(Role::Reader)?;
    let page = PageRequest {
        cursor: wanted.cursor,
        limit: wanted.limit,
    };
    let mut filter = EventFilter {
        after: wanted.after,
        kind: wanted.kind,
        host: wanted.host,
        guest: wanted.guest,
        build: wanted.build,
    };
    let wants_stream = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/event-stream"));
    if !wants_stream {
        return json(&app.fleet().events(&filter, &page).await?);
    }
    let slot = Arc::clone(app.streams())
        .try_acquire_owned()
        .map_err(|_| Problem::busy("enough streams are open"))?;
    // A reader that comes back says where it was.
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    filter.after = last.or(filter.after);
    if filter.after.is_none() && wanted.new == Some(true) {
        let page = PageRequest {
            cursor: None,
            limit: Some(1),
        };
        let newest = app.fleet().recent_events(&EventFilter::default(), &page).await?;
        filter.after = newest.items.first().map(|event| event.id);
    }
    let (sender, receiver) = mpsc::channel(WAITING_COUNT);
    tokio::spawn(follow(app, filter, shown, headers, sender, slot));
    Ok(Sse::new(Messages(receiver)).into_response())
}

/// Sends what happens until the reader goes, falls behind for too long, or may not read any more.
async fn follow(
    app: App,
    mut filter: EventFilter,
    shown: Shown,
    headers: HeaderMap,
    sender: mpsc::Sender<Message>,
    _slot: OwnedSemaphorePermit,
) {
    let mut watch = app.fleet().watch_events().await.ok();
    loop {
        loop {
            let Ok(page) = app.fleet().events(&filter, &PageRequest::default()).await else {
                return;
            };
            for event in &page.items {
                filter.after = Some(event.id);
                if sender.send(message(event)).await.is_err() {
                    return;
                }
            }
            if page.next.is_none() {
                break;
            }
        }
        let woken = async {
            match &mut watch {
                Some(watch) => drop(watch.next().await),
                None => std::future::pending().await,
            }
        };
        // A watch is a hint: it is looked all the same, and a watch that is over is begun anew.
        if tokio::time::timeout(QUIET, woken).await.is_err() {
            if Principal::of(&shown, &headers, app.ledger()).await.is_err() {
                return;
            }
            if sender.send(Message::default().comment("")).await.is_err() {
                return;
            }
        }
        if watch.as_ref().is_none_or(|watch| watch.is_over()) {
            watch = app.fleet().watch_events().await.ok();
        }
    }
}

fn message(event: &Event) -> Message {
    let data = serde_json::to_string(event).unwrap_or_default();
    Message::default().id(event.id.to_string()).data(data)
}

/// A channel as a stream.
struct Messages(mpsc::Receiver<Message>);

impl Stream for Messages {
    type Item = Result<Message, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|message| message.map(Ok))
    }
}
