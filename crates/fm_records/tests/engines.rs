//! Every engine of the records agrees with the model, operation by operation, and keeps what it was given.

mod agreement;

use std::sync::Arc;
use std::time::Duration;

use fm_records::{
    Error, Memory, Notice, Outcome, Records, Scan, Sqlite, SqliteOptions, TestClock, Transaction,
};

use agreement::check;

#[test]
fn sqlite_agrees_with_the_model_on_every_operation() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Sqlite::open(&folder.path().join("records"), SqliteOptions::default()).expect("records");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    check(96, &runtime, &engine);
}

#[tokio::test]
async fn records_of_sqlite_outlive_their_process_and_have_one_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("records");
    let first = Sqlite::open(&path, SqliteOptions::default()).expect("records");
    let done = first
        .transact(Transaction::new().if_absent("/t/a").put("/t/a", "one"))
        .await
        .expect("written");
    assert_eq!(done, Outcome::Committed(1));
    assert!(matches!(
        Sqlite::open(&path, SqliteOptions::default()),
        Err(Error::InUse { .. })
    ));
    drop(first);
    let second = Sqlite::open(&path, SqliteOptions::default()).expect("records");
    let found = second.get("/t/a").await.expect("read");
    assert_eq!(found.entry.map(|entry| entry.value), Some(b"one".to_vec()));
    assert_eq!(found.revision, 1);
}

#[tokio::test]
async fn a_scan_of_a_forgotten_revision_says_so_and_one_that_is_kept_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions {
        kept_revision_count: 100,
        ..SqliteOptions::default()
    };
    let engine = Sqlite::open(&folder.path().join("records"), options).expect("records");
    for number in 0..300 {
        let key = format!("/t/{}", number % 3);
        engine
            .transact(Transaction::new().put(key, number.to_string()))
            .await
            .expect("written");
    }
    let scan = |at| Scan {
        prefix: "/t/".into(),
        limit: 10,
        at: Some(at),
        ..Scan::default()
    };
    assert!(matches!(
        engine.scan(&scan(100)).await,
        Err(Error::Compacted { .. })
    ));
    assert!(matches!(engine.scan(&scan(301)).await, Err(Error::Future { .. })));
    let page = engine.scan(&scan(250)).await.expect("kept");
    let values: Vec<String> = page
        .entries
        .into_iter()
        .map(|entry| String::from_utf8(entry.value).expect("text"))
        .collect();
    assert_eq!(values, ["249", "247", "248"]);
}

async fn lease_runs_out(engine: &dyn Records, clock: &TestClock) {
    let lease = engine.lease(Duration::from_secs(10)).await.expect("granted");
    let put = Transaction::new().put_leased("/t/alive", "x", Some(lease));
    let mut watch = engine.watch("/t/").await.expect("watched");
    engine.transact(put).await.expect("written");
    assert!(matches!(watch.next().await, Some(Notice::Changed { .. })));
    clock.advance(Duration::from_secs(9));
    assert!(engine.renew(lease).await.expect("asked"));
    clock.advance(Duration::from_secs(9));
    assert!(engine.get("/t/alive").await.expect("read").entry.is_some());
    clock.advance(Duration::from_secs(2));
    assert!(!engine.renew(lease).await.expect("asked"));
    // The notice comes once the record is gone.
    assert!(matches!(watch.next().await, Some(Notice::Changed { .. })));
    assert!(engine.get("/t/alive").await.expect("read").entry.is_none());
    let late = Transaction::new().put_leased("/t/alive", "x", Some(lease));
    assert!(engine.transact(late).await.is_err());
}

#[tokio::test]
async fn a_record_goes_with_its_lease_and_stays_while_that_is_renewed() {
    let clock = Arc::new(TestClock::default());
    lease_runs_out(&Memory::new(clock.clone()), &clock).await;
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TestClock::default());
    let options = SqliteOptions {
        clock: clock.clone(),
        ..SqliteOptions::default()
    };
    let engine = Sqlite::open(&folder.path().join("records"), options).expect("records");
    lease_runs_out(&engine, &clock).await;
}

#[tokio::test]
async fn what_no_engine_takes_is_refused_before_it_is_tried() {
    let engine = Memory::default();
    let twice = Transaction::new().put("/t/a", "1").delete("/t/a");
    assert!(matches!(
        engine.transact(twice).await,
        Err(Error::WrittenTwice { .. })
    ));
    let mut many = Transaction::new();
    for number in 0..129 {
        many = many.put(format!("/t/{number}"), "");
    }
    assert!(matches!(engine.transact(many).await, Err(Error::TooLarge { .. })));
    let large = Transaction::new().put("/t/a", vec![b'x'; (1 << 20) + 1]);
    assert!(matches!(
        engine.transact(large).await,
        Err(Error::TooLarge { .. })
    ));
    for key in ["", "t", "/t/\u{e9}", "/t/a b", "/t/\n"] {
        assert!(matches!(engine.get(key).await, Err(Error::Key { .. })), "{key:?}");
    }
}
