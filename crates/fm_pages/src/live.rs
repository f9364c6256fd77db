//! Tells a page that something happened, so that it looks again. What happened is on the page itself.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event as Message, Sse};
use fm_api::v1::fleet::PageRequest;
use fm_fleet::EventFilter;
use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::reply::Reply;
use super::visitor::Visitor;
use crate::site::Site;
use fm_access::{Problem, Shown};

/// Without an event, a stream says so often that it is there, and whoever reads it is looked up again.
const QUIET: Duration = Duration::from_secs(10);
/// A page that is told more often would do nothing else.
const PAUSE: Duration = Duration::from_secs(2);
/// So many events are counted at once.
const COUNTED: usize = 1000;

pub(super) async fn stream(
    State(site): State<Site>,
    _: Visitor,
    axum::Extension(shown): axum::Extension<Shown>,
    headers: HeaderMap,
) -> Reply {
    let slot = Arc::clone(site.streams())
        .try_acquire_owned()
        .map_err(|_| Problem::busy("enough streams are open"))?;
    let newest = PageRequest {
        cursor: None,
        limit: Some(1),
    };
    let newest = site
        .fleet()
        .recent_events(&EventFilter::default(), &newest)
        .await?;
    let after = newest.items.first().map(|event| event.id);
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(follow(site, after, shown, headers, sender, slot));
    Ok(Sse::new(Messages(receiver)).into_response())
}

/// Counts what happens until the reader goes or may not read any more.
async fn follow(
    site: Site,
    after: Option<u64>,
    shown: Shown,
    headers: HeaderMap,
    sender: mpsc::Sender<Message>,
    _slot: OwnedSemaphorePermit,
) {
    let mut filter = EventFilter {
        after,
        ..EventFilter::default()
    };
    let page = PageRequest {
        cursor: None,
        limit: Some(COUNTED),
    };
    let mut watch = site.fleet().watch_events().await.ok();
    // Says at once that it is there.
    if sender.send(Message::default().comment("")).await.is_err() {
        return;
    }
    loop {
        let woken = async {
            match &mut watch {
                Some(watch) => drop(watch.next().await),
                None => std::future::pending().await,
            }
        };
        // A watch is a hint: it is looked all the same, and a watch that is over is begun anew.
        let _ = tokio::time::timeout(QUIET, woken).await;
        // One look answers to all that was told.
        while watch.as_mut().is_some_and(|watch| watch.try_next().is_some()) {}
        if watch.as_ref().is_none_or(|watch| watch.is_over()) {
            watch = site.fleet().watch_events().await.ok();
        }
        if Visitor::of(&shown, &headers, &site).await.is_err() {
            return;
        }
        let Ok(found) = site.fleet().events(&filter, &page).await else {
            return;
        };
        let message = match found.items.last() {
            None => Message::default().comment(""),
            Some(last) => {
                filter.after = Some(last.id);
                Message::default().data(found.items.len().to_string())
            }
        };
        if sender.send(message).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A channel as a stream.
struct Messages(mpsc::Receiver<Message>);

impl Stream for Messages {
    type Item = Result<Message, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|message| message.map(Ok))
    }
}
