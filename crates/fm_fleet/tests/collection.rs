//! What may be deleted and when: every host is heard, silence forbids, and nobody who comes late does harm.

mod world;

use std::sync::Arc;
use std::time::Duration;

use fm_api::v1::fleet::{BuildState, Digest, EventKind, ObstacleKind, PageRequest, StoredPin, UseReason};
use fm_fleet::{Error, EventFilter, GuestFilter};
use fm_records::{Sqlite, SqliteOptions, TestClock};

use world::{GRACE, Host, Shelf, World, code};

async fn state(world: &World, build: &Digest) -> BuildState {
    world.fleet.build(build).await.expect("known").state
}

async fn obstacles(world: &World, build: &Digest) -> Vec<ObstacleKind> {
    let why = world.fleet.why(build).await.expect("a proof");
    why.blocked_by.into_iter().map(|obstacle| obstacle.kind).collect()
}

#[tokio::test]
async fn a_build_goes_once_nobody_needs_it_every_host_has_answered_and_the_grace_is_over() {
    let world = World::in_memory().await;
    let build = world.store(1).await;
    let (mut a, mut b) = (Host::new("a"), Host::new("b"));
    a.runs("g1", &build);
    a.report(&world.fleet).await;
    b.report(&world.fleet).await;
    let mut planner = world.planner("p");
    assert_eq!(planner.step().await.expect("a step").condemned, []);
    let why = world.fleet.why(&build).await.expect("a proof");
    assert_eq!(why.needed_by.len(), 1);
    assert_eq!(why.needed_by[0].guest.as_deref(), Some("g1"));
    assert_eq!(why.needed_by[0].reason, UseReason::Runs);
    assert_eq!(why.blocked_by, []);

    a.guests.clear();
    a.report(&world.fleet).await;
    assert_eq!(obstacles(&world, &build).await, [ObstacleKind::NotCondemned]);
    assert_eq!(
        planner.step().await.expect("a step").condemned,
        std::slice::from_ref(&build)
    );
    assert_eq!(
        obstacles(&world, &build).await,
        [
            ObstacleKind::AwaitedHost,
            ObstacleKind::AwaitedHost,
            ObstacleKind::Grace
        ]
    );
    a.acknowledge(&world.fleet).await;
    // Host b goes silent, for as long as you like.
    world.clock.advance(Duration::from_secs(365 * 24 * 3600));
    let step = planner.step().await.expect("a step");
    assert_eq!((step.awaited_count, step.purged.len()), (1, 0));
    let why = world.fleet.why(&build).await.expect("a proof");
    assert_eq!(why.blocked_by[0].kind, ObstacleKind::SilentHost);
    assert_eq!(why.blocked_by[0].host.as_ref(), Some(&b.id));

    b.acknowledge(&world.fleet).await;
    planner.step().await.expect("a step");
    assert_eq!(obstacles(&world, &build).await, [ObstacleKind::Grace]);
    assert_eq!(
        world.fleet.why(&build).await.expect("a proof").blocked_by[0].remaining_ms,
        Some(GRACE.as_millis() as u64)
    );
    world.clock.advance(GRACE);
    assert_eq!(
        planner.step().await.expect("a step").purged,
        std::slice::from_ref(&build)
    );
    assert_eq!(state(&world, &build).await, BuildState::Purged);
    assert!(world.shelf.manifests.lock().unwrap().is_empty());

    let page = world
        .fleet
        .events(&EventFilter::default(), &PageRequest::default())
        .await
        .expect("history");
    let kinds: Vec<EventKind> = page.items.iter().map(|event| event.kind).collect();
    for kind in [
        EventKind::GuestLeft,
        EventKind::BuildCondemned,
        EventKind::BuildDeleting,
        EventKind::BuildPurged,
    ] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
    assert!(page.items.windows(2).all(|pair| pair[0].id < pair[1].id));
}

#[tokio::test]
async fn a_use_or_a_pin_revives_a_condemned_build_in_the_same_transaction() {
    let world = World::in_memory().await;
    let (used, pinned) = (world.store(1).await, world.store(2).await);
    let mut a = Host::new("a");
    a.report(&world.fleet).await;
    let mut planner = world.planner("p");
    assert_eq!(planner.step().await.expect("a step").condemned.len(), 2);
    a.runs("g1", &used);
    a.report(&world.fleet).await;
    let pin = StoredPin {
        name: "golden".into(),
        reason: "an audit".into(),
        by: "someone".into(),
    };
    world.fleet.pin(&pinned, &pin, None).await.expect("pinned");
    for build in [&used, &pinned] {
        assert_eq!(state(&world, build).await, BuildState::Live);
    }
    assert_eq!(obstacles(&world, &pinned).await, [ObstacleKind::Pinned]);
    a.acknowledge(&world.fleet).await;
    world.clock.advance(GRACE);
    planner.step().await.expect("a step");
    world.clock.advance(GRACE);
    let step = planner.step().await.expect("a step");
    assert_eq!((step.purged.len(), step.condemned.len()), (0, 0));
}

#[tokio::test]
async fn an_answer_from_before_the_condemnation_or_to_another_planner_does_not_count() {
    let world = World::in_memory().await;
    let (first, second) = (world.store(1).await, world.store(2).await);
    let mut a = Host::new("a");
    a.runs("g", &second);
    a.report(&world.fleet).await;
    let mut planner = world.planner("p");
    planner.step().await.expect("a step");
    assert_eq!(state(&world, &first).await, BuildState::Condemned);
    a.acknowledge(&world.fleet).await;
    a.guests.clear();
    a.report(&world.fleet).await;
    // The host has answered to the first condemnation only.
    assert_eq!(
        planner.step().await.expect("a step").condemned,
        std::slice::from_ref(&second)
    );
    let step = planner.step().await.expect("a step");
    assert_eq!(step.awaited_count, 1);
    planner.resign().await.expect("resigned");
    a.acknowledge(&world.fleet).await;
    let mut other = world.planner("q");
    for _ in 0..3 {
        let step = other.step().await.expect("a step");
        assert_eq!((step.leads, step.purged.len(), step.awaited_count), (true, 0, 1));
        world.clock.advance(GRACE);
    }
    a.acknowledge(&world.fleet).await;
    other.step().await.expect("a step");
    world.clock.advance(GRACE);
    assert_eq!(other.step().await.expect("a step").purged.len(), 2);
}

#[tokio::test]
async fn a_build_that_comes_back_has_another_manifest_and_a_late_deletion_hits_nothing() {
    let world = World::in_memory().await;
    let build = world.store(1).await;
    let first = world
        .fleet
        .build(&build)
        .await
        .expect("known")
        .manifest
        .expect("stored");
    let mut a = Host::new("a");
    a.report(&world.fleet).await;
    let mut planner = world.planner("p");
    planner.step().await.expect("a step");
    a.acknowledge(&world.fleet).await;
    planner.step().await.expect("a step");
    world.clock.advance(GRACE);
    assert_eq!(planner.step().await.expect("a step").purged.len(), 1);
    a.runs("g", &build);
    let answer = a.report(&world.fleet).await;
    assert_eq!(answer.upload, std::slice::from_ref(&build));
    world.store(1).await;
    let view = world.fleet.build(&build).await.expect("known");
    assert_eq!((view.state, view.generation), (BuildState::Live, 2));
    let second = view.manifest.expect("stored");
    assert_ne!(first, second);
    fm_blobs::Blobs::delete_manifest(&*world.shelf, &first)
        .await
        .expect("nothing");
    assert!(world.fleet.manifest(&build).await.expect("read").is_some());
    assert_eq!(a.report(&world.fleet).await.upload, []);
}

#[tokio::test]
async fn a_manifest_that_is_refused_is_pushed_with_its_blobs_again_and_ends_live() {
    let world = World::in_memory().await;
    *world.shelf.refusals.lock().unwrap() = 2;
    let build = world.store(1).await;
    assert_eq!(state(&world, &build).await, BuildState::Live);
    assert!(world.shelf.blobs.lock().unwrap().contains(&build));
    // Lost by the store: asked for again from whoever needs it.
    world.shelf.blobs.lock().unwrap().clear();
    assert_eq!(
        world.fleet.verify(&build).await.expect("looked").state,
        BuildState::Missing
    );
    let mut a = Host::new("a");
    a.runs("g", &build);
    assert_eq!(a.report(&world.fleet).await.upload, [build]);
}

#[tokio::test]
async fn a_guest_that_moves_is_needed_at_its_source_until_its_destination_has_it() {
    let world = World::in_memory().await;
    let build = world.store(1).await;
    let (mut a, mut b) = (Host::new("a"), Host::new("b"));
    a.runs("g", &build);
    a.report(&world.fleet).await;
    b.report(&world.fleet).await;
    a.guests.insert("g".into(), (build.clone(), UseReason::Departing));
    assert_eq!(a.report(&world.fleet).await.arrived, Vec::<String>::new());
    b.guests.insert("g".into(), (build.clone(), UseReason::Landing));
    b.report(&world.fleet).await;
    assert_eq!(a.report(&world.fleet).await.arrived, Vec::<String>::new());
    b.runs("g", &build);
    b.report(&world.fleet).await;
    let answer = world.fleet.sign_of_life(&a.id).await.expect("answered");
    assert_eq!(answer.arrived, ["g"]);
    a.hear(&answer);
    a.report(&world.fleet).await;
    let why = world.fleet.why(&build).await.expect("a proof");
    assert_eq!(
        why.needed_by.iter().map(|need| &need.host).collect::<Vec<_>>(),
        [&b.id]
    );
    let by_build = GuestFilter {
        build: Some(build),
        ..GuestFilter::default()
    };
    let page = world
        .fleet
        .guests(&by_build, &PageRequest::default())
        .await
        .expect("guests");
    assert_eq!(
        page.items.iter().map(|guest| &guest.host).collect::<Vec<_>>(),
        [&b.id]
    );
}

#[tokio::test]
async fn one_id_has_one_installation_until_a_person_retires_it() {
    let world = World::in_memory().await;
    let build = world.store(1).await;
    let mut a = Host::new("a");
    a.runs("g", &build);
    a.report(&world.fleet).await;
    let mut twin = Host::new("a");
    twin.instance = "a-2".into();
    let report = twin.look(None);
    assert!(matches!(
        world.fleet.report(&report).await,
        Err(Error::OtherInstance { .. })
    ));
    let old = a.look(None);
    a.report(&world.fleet).await;
    a.guests.clear();
    a.report(&world.fleet).await;
    assert!(matches!(world.fleet.report(&old).await, Err(Error::Stale { .. })));

    let revision = world.fleet.host(&a.id).await.expect("known").revision;
    let wrong = world.fleet.retire(&a.id, "someone", Some(revision + 1)).await;
    assert!(matches!(wrong, Err(Error::Changed { .. })));
    world
        .fleet
        .retire(&a.id, "someone", Some(revision))
        .await
        .expect("retired");
    let late = a.look(None);
    assert!(matches!(
        world.fleet.report(&late).await,
        Err(Error::Retired { .. })
    ));
    assert!(matches!(
        world.fleet.sign_of_life(&a.id).await,
        Err(Error::Retired { .. })
    ));
    assert_eq!(world.fleet.build(&build).await.expect("known").user_count, 0);
    twin.runs("g", &build);
    twin.report(&world.fleet).await;
    assert_eq!(world.fleet.build(&build).await.expect("known").user_count, 1);
}

#[tokio::test]
async fn records_that_were_set_back_begin_a_new_epoch_and_delete_nothing_until_every_host_has_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, backup) = (folder.path().join("records"), folder.path().join("backup"));
    let clock = Arc::new(TestClock::default());
    let shelf: Arc<Shelf> = Arc::default();
    let open = || {
        let options = SqliteOptions {
            clock: clock.clone(),
            ..SqliteOptions::default()
        };
        Arc::new(Sqlite::open(&path, options).expect("records"))
    };
    let (mut a, mut b) = (Host::new("a"), Host::new("b"));
    let build;
    {
        let world = World::on(open(), clock.clone(), shelf.clone()).await;
        build = world.store(1).await;
        a.report(&world.fleet).await;
        b.report(&world.fleet).await;
        let mut planner = world.planner("p");
        planner.step().await.expect("a step");
        a.acknowledge(&world.fleet).await;
        b.acknowledge(&world.fleet).await;
        planner.step().await.expect("a step");
        planner.resign().await.expect("resigned");
    }
    std::fs::copy(&path, &backup).expect("a backup");
    {
        // After the backup the build is needed again.
        let world = World::on(open(), clock.clone(), shelf.clone()).await;
        b.runs("g", &build);
        b.report(&world.fleet).await;
        assert_eq!(state(&world, &build).await, BuildState::Live);
    }
    std::fs::copy(&backup, &path).expect("restored");
    for name in ["records-wal", "records-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    let world = World::on(open(), clock.clone(), shelf.clone()).await;
    let before = world.fleet.meta().await.expect("a fleet").epoch;
    assert_eq!(state(&world, &build).await, BuildState::Condemned);
    let mut planner = world.planner("p");
    for _ in 0..3 {
        let step = planner.step().await.expect("a step");
        assert_eq!(step.purged.len(), 0);
        clock.advance(GRACE);
    }
    // Host a has nothing that the records lack, and answers; host b is silent.
    a.acknowledge(&world.fleet).await;
    for _ in 0..3 {
        assert_eq!(planner.step().await.expect("a step").purged.len(), 0);
        clock.advance(GRACE);
    }
    b.report(&world.fleet).await;
    assert_ne!(world.fleet.meta().await.expect("a fleet").epoch, before);
    planner.step().await.expect("a step");
    assert_eq!(state(&world, &build).await, BuildState::Live);
    // Who was late about the epoch begins no other one.
    let epoch = world.fleet.meta().await.expect("a fleet").epoch;
    a.report(&world.fleet).await;
    assert_eq!(world.fleet.meta().await.expect("a fleet").epoch, epoch);
}

#[tokio::test]
async fn a_planner_that_was_cut_off_does_nothing_once_another_leads() {
    let world = World::in_memory().await;
    let build = world.store(1).await;
    let mut a = Host::new("a");
    a.report(&world.fleet).await;
    let (mut first, mut second) = (world.planner("p"), world.planner("q"));
    first.step().await.expect("a step");
    assert!(!second.step().await.expect("a step").leads);
    a.acknowledge(&world.fleet).await;
    first.step().await.expect("a step");
    // Its lease runs out while it hangs.
    world.clock.advance(Duration::from_secs(1 << 31));
    assert!(second.step().await.expect("a step").leads);
    let step = first.step().await.expect("a step");
    assert!(!step.leads);
    assert_eq!(state(&world, &build).await, BuildState::Condemned);
}

#[tokio::test]
async fn what_a_host_says_is_bounded_and_a_large_host_is_spread_over_records() {
    let world = World::in_memory().await;
    let mut a = Host::new("a");
    for number in 0..900 {
        let (_, build) = code(u8::try_from(number % 200).expect("small"));
        a.runs(&format!("guest-{number}"), &build);
    }
    a.report(&world.fleet).await;
    let view = world.fleet.host(&a.id).await.expect("known");
    assert_eq!((view.guest_count, view.use_count), (900, 200));
    let mut found = 0;
    let mut page = PageRequest::default();
    loop {
        let guests = world
            .fleet
            .guests(&GuestFilter::default(), &page)
            .await
            .expect("guests");
        found += guests.items.len();
        match guests.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(found, 900);
    let mut report = a.look(None);
    report.guests[0].uuid = "a/b".into();
    assert!(matches!(
        world.fleet.report(&report).await,
        Err(Error::Invalid { .. })
    ));
    let mut report = a.look(None);
    report.guests[0].name = Some("x".repeat(100_000));
    world.fleet.report(&report).await.expect("cut short");
    for number in 0..20_000 {
        let (_, build) = code(1);
        a.runs(&format!("guest-{number}"), &build);
    }
    let report = a.look(None);
    assert!(matches!(
        world.fleet.report(&report).await,
        Err(Error::TooLarge { .. })
    ));
}
