//! Which generations of certificates guests trust, who can change that; as a page and as a table to take away.

use std::pin::Pin;
use std::task::{Context, Poll};

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use fm_api::v1::fleet::{GuestView, PageRequest};
use fm_api::v1::trust::{GuestTrust, TrustActor};
use fm_fleet::GuestFilter;
use futures_core::Stream;
use tokio::sync::mpsc;

use super::address::{Pager, guest as guest_href, page_request};
use super::ask::Asked;
use super::csv::push_line;
use super::frame::{Frame, Section};
use super::guests::{Fields, Wanted};
use super::reply::{Reply, page as reply};
use super::visitor::Visitor;
use super::words::{Word, actor, generations, shown, shown_or, switch};
use crate::site::Site;

/// So many guests of the table are read at once, and so many of these pieces wait for a slow reader.
const PIECE_COUNT: usize = 500;
const WAITING_COUNT: usize = 2;
/// A table of everybody would keep a server busy for whoever asks often enough.
const MAX_DOWNLOAD_COUNT: usize = 1_000_000;

/// A guest in the matrix.
struct Row {
    href: String,
    name: String,
    uuid: String,
    host: String,
    secure_boot: &'static str,
    keys: [String; 4],
    actor: Word,
}

impl Row {
    fn of(view: &GuestView) -> Self {
        let trust = GuestTrust::of(view);
        Self {
            href: guest_href(&trust.uuid),
            name: shown_or(
                trust.name.as_deref().filter(|name| !name.trim().is_empty()),
                "unnamed",
            ),
            uuid: shown(&trust.uuid),
            host: trust.host.to_string(),
            secure_boot: switch(trust.secure_boot),
            keys: generations(trust.certificates.as_ref()),
            actor: actor(trust.actor),
        }
    }
}

#[derive(Template)]
#[template(path = "certificates.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    actors: Vec<(Word, usize)>,
    pager: Pager,
    download: String,
    fields: Fields,
}

pub(super) async fn page(State(site): State<Site>, visitor: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let page = page_request(wanted.cursor.as_deref(), wanted.limit.as_deref())?;
    let found = site.fleet().guests(&wanted.filter()?, &page).await?;
    let address = wanted.address("/certificates");
    let actors = [
        TrustActor::Nobody,
        TrustActor::Guest,
        TrustActor::Host,
        TrustActor::Unknown,
    ];
    let of = |wanted| {
        let all = found.items.iter().map(|view| GuestTrust::of(view).actor);
        all.filter(|found| *found == wanted).count()
    };
    reply(&Page {
        frame: Frame::live("Certificates", Section::Certificates, visitor.who()),
        rows: found.items.iter().map(Row::of).collect(),
        actors: actors.map(|known| (actor(known), of(known))).into(),
        pager: Pager::new(&address, page.cursor.as_deref(), found.next.as_deref()),
        download: wanted.address("/certificates.csv").href(),
        fields: wanted.fields(),
    })
}

/// Every guest that the filters let through, piece by piece, as fast as it is taken.
pub(super) async fn download(State(site): State<Site>, _: Visitor, Asked(wanted): Asked<Wanted>) -> Reply {
    let filter = wanted.filter()?;
    let (sender, receiver) = mpsc::channel(WAITING_COUNT);
    tokio::spawn(async move {
        // Whoever goes away wants no more of it.
        let _ = table(&site, &filter, &sender).await;
    });
    let mut response = Response::new(Body::from_stream(Pieces(receiver)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"certificates.csv\""),
    );
    Ok(response)
}

type Piece = Result<Bytes, fm_fleet::Error>;

async fn table(
    site: &Site,
    filter: &GuestFilter,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), mpsc::error::SendError<Piece>> {
    let mut text = String::new();
    let head = [
        "host",
        "uuid",
        "name",
        "secure_boot",
        "pk",
        "kek",
        "db",
        "dbx",
        "who_can_act",
    ];
    push_line(&mut text, head);
    let mut page = PageRequest {
        cursor: None,
        limit: Some(PIECE_COUNT),
    };
    let mut count = 0;
    loop {
        let found = match site.fleet().guests(filter, &page).await {
            Ok(found) => found,
            // The table breaks off, which a reader sees: it does not end as a whole one does.
            Err(error) => return sender.send(Err(error)).await,
        };
        count += found.items.len();
        for view in &found.items {
            let trust = GuestTrust::of(view);
            let keys = generations(trust.certificates.as_ref());
            let name = trust.name.as_deref().unwrap_or_default();
            let cells = [trust.host.as_str(), &trust.uuid, name, switch(trust.secure_boot)];
            let keys = keys.iter().map(String::as_str);
            let cells = cells.into_iter().chain(keys);
            push_line(&mut text, cells.chain([actor(trust.actor).text]));
        }
        sender.send(Ok(std::mem::take(&mut text).into())).await?;
        page.cursor = found.next;
        if page.cursor.is_none() || count >= MAX_DOWNLOAD_COUNT {
            return Ok(());
        }
    }
}

/// A channel as a body.
struct Pieces(mpsc::Receiver<Piece>);

impl Stream for Pieces {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(context)
    }
}
