//! What people look at: the fleet in figures, the history from its end, and who a removal waits for.

mod world;

use fm_api::v1::fleet::{BuildState, EventKind, ObstacleKind, PageRequest, UseReason};
use fm_fleet::{EventFilter, GuestFilter};
use world::{Host, World};

#[tokio::test]
async fn the_figures_follow_what_hosts_report_and_retire() {
    let world = World::in_memory().await;
    let (old, new) = (world.store(1).await, world.store(2).await);
    let (mut a, mut b) = (Host::new("a"), Host::new("b"));
    for guest in ["g", "h", "i"] {
        a.runs(guest, &old);
    }
    a.report(&world.fleet).await;
    b.runs("k", &new);
    let mut report = b.look(None);
    report.guests[0].next_build = Some(old.clone());
    report.uses.push(fm_api::v1::fleet::Use {
        build: old.clone(),
        reason: UseReason::NextBoot,
        guest: Some("k".into()),
    });
    world.fleet.report(&report).await.expect("taken");
    let summary = world.fleet.summary(10).await.expect("figures");
    assert_eq!((summary.host_count, summary.silent_count), (2, 0));
    assert_eq!(summary.states[&BuildState::Live], 2);
    assert_eq!(summary.reasons[&UseReason::Runs], 4);
    assert_eq!(summary.reasons[&UseReason::NextBoot], 1);
    let order: Vec<_> = summary.builds.iter().map(|usage| &usage.build.build).collect();
    assert_eq!(order, [&old, &new]);
    assert_eq!(world.fleet.summary(1).await.expect("figures").builds.len(), 1);

    let drifts = |drifts| GuestFilter {
        drifts: Some(drifts),
        ..GuestFilter::default()
    };
    let count = async |filter| {
        let page = world.fleet.guests(&filter, &PageRequest::default()).await;
        page.expect("guests").items.len()
    };
    assert_eq!((count(drifts(true)).await, count(drifts(false)).await), (1, 3));

    a.guests.remove("g");
    a.report(&world.fleet).await;
    assert_eq!(world.fleet.usage(&old).await.expect("usage")[&UseReason::Runs], 2);
    world.fleet.retire(&a.id, "someone", None).await.expect("retired");
    let usage = world.fleet.usage(&old).await.expect("usage");
    assert_eq!(usage.into_iter().collect::<Vec<_>>(), [(UseReason::NextBoot, 1)]);
    assert_eq!(world.fleet.summary(10).await.expect("figures").host_count, 1);
}

#[tokio::test]
async fn the_history_from_its_end_is_the_history() {
    let world = World::in_memory().await;
    let build = world.store(1).await;
    let mut a = Host::new("a");
    for turn in 0..150 {
        a.guests.clear();
        a.runs(&format!("g{turn}"), &build);
        a.report(&world.fleet).await;
    }
    for filter in [
        EventFilter::default(),
        EventFilter {
            kind: Some(EventKind::GuestLeft),
            ..EventFilter::default()
        },
        EventFilter {
            guest: Some("g7".into()),
            ..EventFilter::default()
        },
        EventFilter {
            after: Some(90_001),
            ..EventFilter::default()
        },
    ] {
        let mut forward = Vec::new();
        let mut page = PageRequest {
            cursor: None,
            limit: Some(7),
        };
        loop {
            let found = world.fleet.events(&filter, &page).await.expect("events");
            forward.extend(found.items);
            page.cursor = found.next;
            if page.cursor.is_none() {
                break;
            }
        }
        let mut backward = Vec::new();
        loop {
            let found = world.fleet.recent_events(&filter, &page).await.expect("events");
            assert!(found.items.len() <= 7);
            backward.extend(found.items);
            page.cursor = found.next;
            if page.cursor.is_none() {
                break;
            }
        }
        backward.reverse();
        assert!(!forward.is_empty());
        assert_eq!(backward, forward, "{filter:?}");
    }
}

#[tokio::test]
async fn who_a_removal_waits_for_is_named() {
    let world = World::in_memory().await;
    let build = world.store(1).await;
    let (mut a, mut b) = (Host::new("a"), Host::new("b"));
    a.report(&world.fleet).await;
    b.report(&world.fleet).await;
    world.clock.advance(std::time::Duration::from_secs(3600));
    a.report(&world.fleet).await;
    world
        .fleet
        .condemn(&build, "someone", None)
        .await
        .expect("condemned");
    let page = world
        .fleet
        .waiting(&PageRequest::default())
        .await
        .expect("waiting");
    let [waiting] = &page.items[..] else {
        panic!("{page:?}");
    };
    assert_eq!(waiting.build.build, build);
    assert_eq!((waiting.silent_count, waiting.awaited_count), (1, 1));
    assert_eq!(
        waiting.hosts,
        [
            (b.id.clone(), ObstacleKind::SilentHost),
            (a.id.clone(), ObstacleKind::AwaitedHost)
        ]
    );
    assert!(!waiting.has_planner);
}
