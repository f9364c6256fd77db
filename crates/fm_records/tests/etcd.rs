//! Real etcd, three members: it agrees with the model, and loses nothing when a member is killed.
#![cfg(feature = "etcd")]

mod agreement;

use std::sync::Arc;
use std::time::Duration;

use fm_fixtures::engines::Cluster;
use fm_records::{Error, Etcd, EtcdOptions, Notice, Outcome, Records, Scan, Transaction};

use agreement::check;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn connect(cluster: &Cluster) -> Etcd {
    let options = EtcdOptions {
        endpoints: cluster.endpoints(),
        ..EtcdOptions::default()
    };
    Etcd::connect(&options).await.expect("records")
}

#[test]
fn etcd_agrees_with_the_model_on_every_operation() {
    let cluster = Cluster::start();
    let runtime = runtime();
    let engine = runtime.block_on(connect(&cluster));
    check(24, &runtime, &engine);
}

#[test]
fn leases_watches_and_large_pages_do_on_etcd_what_they_do_elsewhere() {
    let cluster = Cluster::start();
    runtime().block_on(async {
        let engine = connect(&cluster).await;
        let lease = engine.lease(Duration::from_secs(600)).await.expect("granted");
        let mut watch = engine.watch("/t/").await.expect("watched");
        let put = Transaction::new().put_leased("/t/alive", "x", Some(lease));
        engine.transact(put.clone()).await.expect("written");
        assert!(matches!(watch.next().await, Some(Notice::Changed { key, .. }) if key == "/t/alive"));
        assert!(engine.renew(lease).await.expect("asked"));
        engine.revoke(lease).await.expect("ended");
        engine.revoke(lease).await.expect("ended already");
        assert!(!engine.renew(lease).await.expect("asked"));
        assert!(engine.get("/t/alive").await.expect("read").entry.is_none());
        assert!(matches!(engine.transact(put).await, Err(Error::LeaseGone)));
        // 60 MiB: more than one message takes.
        for number in 0..60 {
            let large = Transaction::new().put(format!("/large/{number:02}"), vec![b'x'; 1_000_000]);
            engine.transact(large).await.expect("written");
        }
        let mut scan = Scan {
            prefix: "/large/".into(),
            limit: 1000,
            ..Scan::default()
        };
        let mut count = 0;
        loop {
            let page = engine.scan(&scan).await.expect("a page");
            count += page.entries.len();
            scan.after = page.entries.last().map(|entry| entry.key.clone());
            scan.at = Some(page.revision);
            if !page.more {
                break;
            }
        }
        assert_eq!(count, 60);
    });
}

#[test]
fn a_revision_that_is_not_kept_any_more_or_not_there_yet_is_told_by_etcds_own_words() {
    let cluster = Cluster::start();
    runtime().block_on(async {
        let engine = connect(&cluster).await;
        for number in 0..3 {
            let put = Transaction::new().put("/t/x", number.to_string());
            engine.transact(put).await.expect("written");
        }
        let newest = engine.get("/t/x").await.expect("read").revision;
        let at = |revision| Scan {
            prefix: "/t/".into(),
            limit: 10,
            at: Some(revision),
            ..Scan::default()
        };
        let future = engine.scan(&at(newest + 9)).await;
        assert!(
            matches!(future, Err(Error::Future { revision, newest: last }) if revision == newest + 9 && last == newest),
            "{future:?}"
        );
        let mut client = etcd_client::Client::connect(cluster.endpoints(), None)
            .await
            .expect("a client");
        client
            .compact(i64::try_from(newest).expect("small"), None)
            .await
            .expect("compacted");
        let old = engine.scan(&at(newest - 1)).await;
        assert!(
            matches!(old, Err(Error::Compacted { revision, .. }) if revision == newest - 1),
            "{old:?}"
        );
    });
}

/// Adds one so many times; counts what was acknowledged and what nobody knows.
async fn count_up(engine: Arc<Etcd>, times: usize) -> (u64, u64) {
    let (mut done, mut unknown) = (0, 0);
    for _ in 0..times {
        let Ok(found) = engine.get("/t/counter").await else {
            continue;
        };
        let (value, revision) = found.entry.map_or((0, None), |entry| {
            let text = String::from_utf8(entry.value).expect("text");
            (text.parse::<u64>().expect("a number"), Some(entry.modified))
        });
        let add = Transaction::new()
            .if_unchanged("/t/counter", revision)
            .put("/t/counter", (value + 1).to_string());
        match engine.transact(add).await {
            Ok(Outcome::Committed(_)) => done += 1,
            Ok(Outcome::Conflict) => {}
            Err(_) => unknown += 1,
        }
    }
    (done, unknown)
}

#[test]
fn a_member_that_is_killed_loses_nothing_that_was_acknowledged_and_does_nothing_twice() {
    let mut cluster = Cluster::start();
    runtime().block_on(async {
        let engine = Arc::new(connect(&cluster).await);
        let mut done = 0;
        let mut unknown = 0;
        for victim in 0..3 {
            let counters: Vec<_> = (0..4)
                .map(|_| tokio::spawn(count_up(engine.clone(), 60)))
                .collect();
            cluster.kill(victim);
            for counter in counters {
                let (acknowledged, lost) = counter.await.expect("counted");
                done += acknowledged;
                unknown += lost;
            }
            // A client that starts while a member is down works as well.
            let late = connect(&cluster).await;
            assert!(late.get("/t/counter").await.expect("read").entry.is_some());
            cluster.restart(victim);
        }
        let found = engine
            .get("/t/counter")
            .await
            .expect("read")
            .entry
            .expect("counted");
        let value: u64 = String::from_utf8(found.value)
            .expect("text")
            .parse()
            .expect("a number");
        assert!(
            (done..=done + unknown).contains(&value),
            "{value} with {done} acknowledged and {unknown} unknown"
        );
        assert!(done > 0);
    });
}
