//! Real etcd, three members: the fleet does there what it does on SQLite.
#![cfg(feature = "etcd")]

mod world;

use std::sync::Arc;

use fm_api::v1::fleet::BuildState;
use fm_fixtures::engines::Cluster;
use fm_records::{Etcd, EtcdOptions, TestClock};

use world::{GRACE, Host, World};

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
fn the_fleet_does_on_etcd_what_it_does_on_sqlite_with_two_servers_at_once() {
    let cluster = Cluster::start();
    runtime().block_on(async {
        let clock = Arc::new(TestClock::default());
        let one = World::on(Arc::new(connect(&cluster).await), clock.clone(), Arc::default()).await;
        let two = World::on(
            Arc::new(connect(&cluster).await),
            clock.clone(),
            one.shelf.clone(),
        )
        .await;
        assert_eq!(
            one.fleet.meta().await.expect("a fleet").fleet_id,
            two.fleet.meta().await.expect("a fleet").fleet_id
        );
        let build = one.store(1).await;
        let (mut a, mut b) = (Host::new("a"), Host::new("b"));
        a.report(&one.fleet).await;
        b.report(&two.fleet).await;
        let (mut first, mut second) = (one.planner("p"), two.planner("q"));
        first.step().await.expect("a step");
        assert!(!second.step().await.expect("a step").leads);
        // Condemned by the one server's planner, revived through the other server.
        assert_eq!(
            two.fleet.build(&build).await.expect("known").state,
            BuildState::Condemned
        );
        b.runs("g", &build);
        b.report(&two.fleet).await;
        assert_eq!(
            one.fleet.build(&build).await.expect("known").state,
            BuildState::Live
        );
        b.guests.clear();
        b.report(&two.fleet).await;
        one.fleet
            .condemn(&build, "a person", None)
            .await
            .expect("condemned");
        first.resign().await.expect("resigned");
        assert!(second.step().await.expect("a step").leads);
        a.acknowledge(&two.fleet).await;
        b.acknowledge(&one.fleet).await;
        second.step().await.expect("a step");
        clock.advance(GRACE);
        assert_eq!(second.step().await.expect("a step").purged, [build]);
    });
}
