//! Versions beside each other: what an older or a newer program says and writes, as it stands here word for word, and what
//! becomes of it.

mod world;

use std::sync::Arc;

use fm_api::v1::fleet::{BuildState, HostReport, PageRequest, ReportAnswer, UseReason};
use fm_fleet::{Error, Fleet, FleetOptions, GuestFilter};
use fm_records::{Memory, Outcome, Records, TestClock, Transaction};
use serde_json::{Value, json};

use world::{GRACE, Host, Shelf, World, code};

/// What the first agents said: no more than they had to.
fn of_an_older_agent() -> HostReport {
    let said = json!({
        "schema": "flashmoor/host-report/1",
        "host": "old", "instance": "i-1", "boot_id": "b-1", "sequence": 1,
        "guests": [{ "uuid": "g-1", "build": code(1).1, "state": "running" }],
        "uses": [{ "build": code(1).1, "reason": "runs", "guest": "g-1" }],
    });
    serde_json::from_value(said).expect("an older agent is understood")
}

/// What an agent says that is a version ahead: more members than we know, and words that we have none for.
fn of_a_newer_agent() -> HostReport {
    let said = json!({
        "schema": "flashmoor/host-report/1",
        "host": "new", "instance": "i-2", "boot_id": "b-2", "sequence": 1,
        "agent_version": "99.0.0",
        "temperature": { "celsius": 41 },
        "guests": [{
            "uuid": "g-2", "build": code(1).1, "state": "dreaming", "layout": "16M",
            "dream": ["of", "sheep"],
        }],
        "builds": [],
        "uses": [{ "build": code(1).1, "reason": "dreamt_of", "guest": "g-2", "depth": 3 }],
    });
    serde_json::from_value(said).expect("a newer agent is understood")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
}

/// Another program's write, straight into the records.
async fn write(records: &dyn Records, key: &str, change: impl FnOnce(&mut Value)) {
    let found = records.get(key).await.expect("read").entry.expect("a record");
    let mut value: Value = serde_json::from_slice(&found.value).expect("JSON");
    change(&mut value);
    let transaction = Transaction::new()
        .if_unchanged(key, Some(found.modified))
        .put(key, value.to_string().into_bytes());
    let done = records.transact(transaction).await.expect("written");
    assert!(matches!(done, Outcome::Committed(_)));
}

async fn read(records: &dyn Records, key: &str) -> Value {
    let found = records.get(key).await.expect("read").entry.expect("a record");
    serde_json::from_slice(&found.value).expect("JSON")
}

#[test]
fn agents_of_an_older_and_of_a_newer_version_are_heard_and_what_they_need_stays() {
    runtime().block_on(async {
        let world = World::in_memory().await;
        let build = world.store(1).await;
        world.fleet.report(&of_an_older_agent()).await.expect("taken");
        world.fleet.report(&of_a_newer_agent()).await.expect("taken");
        let mut planner = world.planner("p");
        for _ in 0..3 {
            planner.step().await.expect("a step");
            world.clock.advance(GRACE);
        }
        let why = world.fleet.why(&build).await.expect("known");
        assert_eq!(why.state, BuildState::Live);
        let reasons: Vec<_> = why
            .needed_by
            .iter()
            .map(|need| (need.host.to_string(), need.reason))
            .collect();
        let expected = [
            ("new".to_owned(), UseReason::Unknown),
            ("old".to_owned(), UseReason::Runs),
        ];
        assert_eq!(reasons, expected);
        // What we have no member for is passed on.
        let page = world
            .fleet
            .guests(&GuestFilter::default(), &PageRequest::default())
            .await
            .expect("guests");
        let rows = serde_json::to_value(&page.items).expect("JSON");
        assert!(rows.to_string().contains(r#""dream":["of","sheep"]"#), "{rows}");
    });
}

#[test]
fn an_answer_is_understood_by_the_version_before_and_by_the_one_after() {
    // What an older server answers, which knows nothing of targets.
    let older = json!({ "schema": "flashmoor/host-report-answer/1" });
    let older: ReportAnswer = serde_json::from_value(older).expect("understood");
    assert!(older.upload.is_empty() && older.scan.is_none() && older.targets_revision.is_none());
    let newer = json!({
        "schema": "flashmoor/host-report-answer/1",
        "recorded": { "epoch": "e", "revision": 7, "sequence": 3, "shard": 2 },
        "scan": { "term": "t", "revision": 7, "depth": "full" },
        "upload": [code(1).1], "arrived": [], "weather": "fine",
    });
    let newer: ReportAnswer = serde_json::from_value(newer).expect("understood");
    assert_eq!(newer.scan.map(|mark| mark.revision), Some(7));
    // What an older agent looks for in ours is there, by those names.
    runtime().block_on(async {
        let world = World::in_memory().await;
        let answer = world.fleet.report(&of_an_older_agent()).await.expect("taken");
        let answer = serde_json::to_value(answer).expect("JSON");
        for member in ["epoch", "revision", "sequence"] {
            assert!(!answer["recorded"][member].is_null(), "{answer}");
        }
        assert_eq!(answer["upload"], json!([code(1).1]));
        assert!(answer["arrived"].is_array(), "{answer}");
    });
}

#[test]
fn records_that_want_a_newer_program_are_read_or_left_alone() {
    runtime().block_on(async {
        let clock = Arc::new(TestClock::default());
        let records: Arc<dyn Records> = Arc::new(Memory::new(clock.clone()));
        let world = World::on(records.clone(), clock.clone(), Arc::default()).await;
        let build = world.store(1).await;
        let mut host = Host::new("a");
        host.report(&world.fleet).await;
        let mut planner = world.planner("p");

        // A server of the next version took over, and wants nobody older to write.
        write(&*records, "/fm/v1/meta", |meta| meta["min_writer"] = 2.into()).await;
        let is_refused = |result: Result<(), Error>| {
            assert!(
                matches!(
                    result,
                    Err(Error::TooOld {
                        role: "writer",
                        wanted: 2,
                        known: 1
                    })
                ),
                "{result:?}"
            );
        };
        assert_eq!(
            world.fleet.build(&build).await.expect("read").state,
            BuildState::Live
        );
        host.runs("g", &build);
        is_refused(world.fleet.report(&host.look(None)).await.map(drop));
        is_refused(world.fleet.condemn(&build, "a person", None).await.map(drop));
        is_refused(world.fleet.retire(&host.id, "a person", None).await.map(drop));
        is_refused(planner.step().await.map(drop));
        clock.advance(GRACE);
        is_refused(planner.step().await.map(drop));
        assert_eq!(
            world.fleet.build(&build).await.expect("read").state,
            BuildState::Live
        );

        // And then nobody older to read.
        write(&*records, "/fm/v1/meta", |meta| meta["min_reader"] = 2.into()).await;
        let opened = Fleet::open(
            records.clone(),
            Arc::new(Shelf::default()),
            None,
            FleetOptions::default(),
        )
        .await;
        assert!(matches!(opened.err(), Some(Error::TooOld { role: "reader", .. })));

        // It was taken back: everything goes on.
        write(&*records, "/fm/v1/meta", |meta| {
            meta["min_reader"] = 1.into();
            meta["min_writer"] = 1.into();
        })
        .await;
        host.report(&world.fleet).await;
        assert_eq!(world.fleet.why(&build).await.expect("known").needed_by.len(), 1);
    });
}

#[test]
fn what_a_newer_program_wrote_besides_stays_and_what_it_wrote_anew_is_not_written_over() {
    runtime().block_on(async {
        let clock = Arc::new(TestClock::default());
        let records: Arc<dyn Records> = Arc::new(Memory::new(clock.clone()));
        let world = World::on(records.clone(), clock.clone(), Arc::default()).await;
        let build = world.store(1).await;
        let mut host = Host::new("a");
        host.report(&world.fleet).await;
        let of_build = format!("/fm/v1/build/{build}");
        for key in ["/fm/v1/meta", "/fm/v1/host/a", &of_build] {
            write(&*records, key, |record| {
                record["of_tomorrow"] = json!({ "kept": true })
            })
            .await;
        }
        // All three are written by us.
        host.runs("g", &build);
        host.report(&world.fleet).await;
        let pin = serde_json::from_value(json!({ "name": "p", "reason": "", "by": "me" }));
        world
            .fleet
            .pin(&build, &pin.expect("a pin"), None)
            .await
            .expect("pinned");
        world.fleet.begin_epoch("me", "a test").await.expect("begun");
        for key in ["/fm/v1/meta", "/fm/v1/host/a", &of_build] {
            assert_eq!(read(&*records, key).await["of_tomorrow"]["kept"], true, "{key}");
        }

        // A build's record of the next schema: it is shown, and nobody of us writes it.
        write(&*records, &of_build, |record| record["schema"] = 2.into()).await;
        let before = read(&*records, &of_build).await;
        assert_eq!(
            world.fleet.build(&build).await.expect("read").state,
            BuildState::Live
        );
        let refused = world.fleet.unpin(&build, "p", "me", None).await;
        assert!(
            matches!(
                refused,
                Err(Error::NewerSchema {
                    found: 2,
                    known: 1,
                    ..
                })
            ),
            "{refused:?}"
        );
        assert_eq!(read(&*records, &of_build).await, before);
    });
}
