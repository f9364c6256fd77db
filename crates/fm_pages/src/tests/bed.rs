//! A fleet in memory with a host, a guest and a build whose every name is an attack, and a browser without a screen.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Request, StatusCode};
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::{
    Certificates, Digest, GuestRow, GuestState, HeldBuild, HostReport, Rest, StoredPin, Use, UseReason,
};
use fm_blobs::Layout;
use fm_fleet::{Fleet, FleetOptions};
use fm_formats::Sha256;
use fm_records::Memory;
use tokio::sync::Semaphore;
use tower_service::Service as _;

use crate::site::Site;
use fm_access::{Ledger, Shown, ShownCertificate, Token};

/// So many streams of events may be open.
const STREAM_COUNT: usize = 64;

/// What somebody would call a guest to take over a page, a terminal or a spreadsheet.
pub(super) const HOSTILE: &str = "=1+<script>alert('x')</script>\"'&\u{1b}[31m\u{202e}\n";

pub(super) fn digest(text: &str) -> Digest {
    Sha256::of(text.as_bytes()).to_string().parse().unwrap()
}

/// A server without its door.
pub(super) struct Bed {
    pub(super) site: Site,
    router: Router,
    _folder: tempfile::TempDir,
}

/// How somebody comes in.
#[derive(Clone, Copy)]
pub(super) enum As<'a> {
    Stranger,
    Certificate(&'a str, Role),
    Cookie(&'a str),
}

pub(super) const READER: As<'static> = As::Certificate("rita", Role::Reader);
pub(super) const OPERATOR: As<'static> = As::Certificate("olga", Role::Operator);

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What stands between two texts, the first time.
    pub(super) fn between(&self, left: &str, right: &str) -> String {
        let (_, rest) = self.text().split_once(left).unwrap();
        rest.split_once(right).unwrap().0.to_owned()
    }
}

impl Bed {
    pub(super) async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Layout::open(&folder.path().join("builds")).unwrap();
        let fleet = Fleet::open(
            Arc::new(Memory::default()),
            Arc::new(blobs),
            None,
            FleetOptions::default(),
        )
        .await
        .unwrap();
        let ledger = Ledger::new(Arc::clone(fleet.records()));
        let site = Site::new(fleet, ledger, Arc::new(Semaphore::new(STREAM_COUNT)));
        let router = crate::router(site.clone());
        Self {
            site,
            router,
            _folder: folder,
        }
    }

    /// With something on every page.
    pub(super) async fn hostile() -> Self {
        let bed = Self::empty().await;
        let fleet = bed.site.fleet();
        fleet.report(&report("host-1", 0, 3)).await.unwrap();
        // What changes is on record.
        fleet.report(&report("host-1", 1, 3)).await.unwrap();
        fleet.report(&report("host-2", 0, 0)).await.unwrap();
        let pin = StoredPin {
            name: "<keep>".into(),
            reason: HOSTILE.into(),
            by: HOSTILE.into(),
        };
        fleet.pin(&digest("old"), &pin, None).await.unwrap();
        bed
    }

    pub(super) async fn ask(&self, who: As<'_>, mut request: Request<Body>) -> Answer {
        let shown = match who {
            As::Certificate(name, role) => Some(Arc::new(ShownCertificate {
                name: name.into(),
                role: Some(role),
                serial: "01".into(),
                expires_s: i64::MAX,
            })),
            As::Stranger | As::Cookie(_) => None,
        };
        if let As::Cookie(cookie) = who {
            request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
        }
        request.headers_mut().insert(HOST, "fleet:7117".parse().unwrap());
        request.extensions_mut().insert(Shown(shown));
        let response = self.router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: to_bytes(body, 64 << 20).await.unwrap().to_vec(),
        }
    }

    pub(super) async fn get(&self, who: As<'_>, path: &str) -> Answer {
        self.ask(who, Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// Sends a form from a page of this server, or from where `origin` says.
    pub(super) async fn post(&self, who: As<'_>, path: &str, origin: Option<&str>, form: &str) -> Answer {
        let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        self.ask(who, request.body(Body::from(form.to_owned())).unwrap())
            .await
    }

    /// A reader's token, as the form takes it.
    pub(super) async fn bearer(&self, role: Role, bearer: bool) -> String {
        let token = Token {
            id: "t".into(),
            role,
            name: Some("dora".into()),
            expires_s: i64::MAX,
            bearer,
            by: "test".into(),
        };
        format!("fmr1.{}", self.site.ledger().make_token(&token).await.unwrap())
    }
}

pub(super) const OWN: Option<&str> = Some("https://fleet:7117");

/// A host whose first guest boots another build next; `turn` makes another guest appear.
pub(super) fn report(host: &str, turn: u64, guests: u64) -> HostReport {
    let (old, new) = (digest("old"), digest("new"));
    let row = |number: u64| GuestRow {
        uuid: format!("guest-{host}-<{number}>"),
        name: Some(HOSTILE.into()),
        build: Some(old.clone()),
        next_build: (number == 0).then(|| new.clone()),
        next_reset: None,
        layout: Some(HOSTILE.into()),
        vars_free_bytes: Some(200_000),
        secure_boot: Some(true),
        certificates: Some(Certificates {
            pk: vec![HOSTILE.into()],
            kek: vec!["2011".into()],
            db: vec!["2011".into()],
            ..Certificates::default()
        }),
        machine: Some(HOSTILE.into()),
        qemu: Some(HOSTILE.into()),
        facts: None,
        state: GuestState::Running,
        rest: Rest::new(),
    };
    let rows: Vec<GuestRow> = (0..guests + turn.min(1) * 2).map(row).collect();
    let uses = rows.iter().flat_map(|row| {
        let one = |build: &Option<Digest>, reason| {
            build.clone().map(|build| Use {
                build,
                reason,
                guest: Some(row.uuid.clone()),
            })
        };
        [
            one(&row.build, UseReason::Runs),
            one(&row.next_build, UseReason::NextBoot),
        ]
    });
    HostReport {
        schema: fm_api::Schema::default(),
        host: host.parse().unwrap(),
        instance: "<i>".into(),
        boot_id: "<b>".into(),
        sequence: turn + 1,
        recorded: None,
        acknowledged: None,
        name: Some(HOSTILE.into()),
        agent_version: HOSTILE.into(),
        uses: uses.flatten().collect(),
        builds: vec![HeldBuild {
            build: old.clone(),
            size_bytes: 3_653_632,
            name: Some(HOSTILE.into()),
            version: Some(HOSTILE.into()),
            rest: Rest::new(),
        }],
        labels: Default::default(),
        rollouts: Vec::new(),
        guests: rows,
        landings: Vec::new(),
        pins: Vec::new(),
        rest: Rest::new(),
    }
}
