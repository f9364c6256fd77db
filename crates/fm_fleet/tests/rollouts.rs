//! Rollouts on records in memory: hosts that do what they are told and say so, planners that end at any step.

mod rollout_rig;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fm_api::v1::fleet::{OldVariables, ProgressState as S, UseReason};
use fm_api::v1::rollout::{GuestPin, LeaveReason, RolloutState};
use fm_fleet::{Error, RolloutCommand};
use fm_records::{
    GetResponse, LeaseId, Memory, Outcome, Records, Scan, ScanPage, TestClock, Transaction, Watch,
};
use rollout_rig::Rig;
use world::World;

#[tokio::test]
async fn a_good_build_reaches_every_guest_wave_by_wave() {
    let mut rig = Rig::new(4, 10).await;
    let plan = rig.world.fleet.plan_rollout(&rig.spec("all")).await.unwrap();
    assert_eq!(
        (plan.moved_count, plan.left_out_count),
        (40, 0),
        "{:#?}",
        plan.classes
    );
    let begun = rig.begin(&rig.spec("all")).await;
    assert_eq!(begun.state, RolloutState::Running);
    rig.turn().await;
    rig.turn().await;
    assert_eq!(rig.run(&rig.new), 1, "one goes first");
    let done = rig.until(&begun.id, RolloutState::Done).await;
    assert_eq!(rig.run(&rig.new), 40);
    assert_eq!(done.failed_count, 0);
    let targets = rig.world.fleet.targets(&rig.agents[0].host.id).await.unwrap();
    assert!(targets.guests.is_empty(), "nothing is wanted any more");
    let pins = rig.world.fleet.build(&rig.new).await.unwrap().pins;
    assert!(pins.is_empty(), "its guests need it themselves");
}

#[tokio::test]
async fn a_build_that_hangs_stops_at_the_first_guest_and_goes_back() {
    let mut rig = Rig::new(3, 8).await;
    for agent in &mut rig.agents {
        agent.hang = agent.host.guests.keys().cloned().collect();
    }
    let begun = rig.begin(&rig.spec("all")).await;
    let paused = rig.until(&begun.id, RolloutState::Paused).await;
    assert_eq!(rig.run(&rig.new), 1);
    assert_eq!(paused.troubles.len(), 1);
    for _ in 0..10 {
        rig.turn().await;
    }
    assert_eq!(rig.run(&rig.new), 1, "nothing new begins");
    let fleet = rig.world.fleet.clone();
    let change = |command| {
        let (fleet, id) = (fleet.clone(), begun.id.clone());
        async move {
            fleet
                .change_rollout(&id, command, Some(OldVariables::Ask), "a person", None)
                .await
        }
    };
    change(RolloutCommand::RollBack).await.unwrap();
    rig.until(&begun.id, RolloutState::RolledBack).await;
    assert_eq!(rig.run(&rig.old), 24);
    let refused = change(RolloutCommand::Resume).await;
    assert!(matches!(refused, Err(Error::Rollout(_))), "{refused:?}");
}

#[tokio::test]
async fn a_host_that_is_cut_off_in_the_middle_pauses_it_and_a_person_goes_on() {
    let mut rig = Rig::new(3, 6).await;
    let begun = rig.begin(&rig.spec("all")).await;
    while rig.view(&begun.id).await.wave == 0 {
        rig.turn().await;
    }
    for agent in &mut rig.agents {
        agent.restarts = false;
    }
    // Which hosts' guests are in a wave is by the rollout's id: the one that falls silent has some on their way.
    let silent = loop {
        rig.turn().await;
        let mut agents = rig.agents.iter();
        let on_its_way = agents.position(|agent| {
            let mut progress = agent.progress.values();
            progress.any(|progress| progress.state != S::Healthy)
        });
        if let Some(silent) = on_its_way {
            break silent;
        }
    };
    // Nobody hears it for longer than its lease lasts.
    for _ in 0..8 {
        rig.planner.step().await.unwrap();
        let agents = rig.agents.iter_mut().enumerate();
        for (_, agent) in agents.filter(|(at, _)| *at != silent) {
            agent.turn(&rig.world.fleet).await;
            rig.world.fleet.sign_of_life(&agent.host.id).await.unwrap();
        }
        rig.world.clock.advance(Duration::from_secs(30));
    }
    let view = rig.view(&begun.id).await;
    assert_eq!(view.state, RolloutState::Paused, "{view:#?}");
    assert!(
        view.why
            .as_ref()
            .unwrap()
            .contains(&format!("host-{silent} is silent")),
        "{view:#?}"
    );
    for agent in &mut rig.agents {
        agent.restarts = true;
    }
    rig.turn().await;
    let fleet = &rig.world.fleet;
    fleet
        .change_rollout(&begun.id, RolloutCommand::Resume, None, "a person", None)
        .await
        .unwrap();
    rig.until(&begun.id, RolloutState::Done).await;
    assert_eq!(rig.run(&rig.new), 18);
}

#[tokio::test]
async fn two_rollouts_that_overlap_are_refused_and_two_that_do_not_are_not() {
    let rig = Rig::new(2, 3).await;
    rig.begin(&rig.spec("host=host-0")).await;
    let refused = rig.world.fleet.begin_rollout(&rig.spec("all"), "b").await;
    assert!(
        matches!(refused, Err(Error::Overlaps { guest_count: 3 })),
        "{refused:?}"
    );
    let plan = rig.world.fleet.plan_rollout(&rig.spec("all")).await.unwrap();
    let reasons: Vec<_> = plan.classes.iter().filter_map(|class| class.reason).collect();
    assert_eq!(reasons, [LeaveReason::OtherRollout]);
    rig.begin(&rig.spec("host=host-1")).await;
    let nobody = rig.world.fleet.begin_rollout(&rig.spec("host=nobody"), "b").await;
    assert!(matches!(nobody, Err(Error::NobodyMoves)));
}

#[tokio::test]
async fn two_that_begin_at_once_never_have_the_same_guest() {
    let rig = Rig::new(2, 3).await;
    let spec = rig.spec("all");
    let fleet = &rig.world.fleet;
    let (one, other) = tokio::join!(fleet.begin_rollout(&spec, "a"), fleet.begin_rollout(&spec, "b"));
    assert_eq!(
        u8::from(one.is_ok()) + u8::from(other.is_ok()),
        1,
        "{one:?} {other:?}"
    );
}

#[tokio::test]
async fn a_pinned_guest_is_left_out_until_the_pin_goes() {
    let rig = Rig::new(1, 2).await;
    let fleet = &rig.world.fleet;
    let pin = GuestPin {
        guest: "guest-0-0".into(),
        reason: "certified as it is".into(),
        by: "its owner".into(),
    };
    fleet.pin_guest(&pin).await.unwrap();
    assert_eq!(fleet.guest_pins().await.unwrap(), [pin]);
    let plan = fleet.plan_rollout(&rig.spec("all")).await.unwrap();
    assert_eq!((plan.moved_count, plan.left_out_count), (1, 1));
    fleet.unpin_guest("guest-0-0", "its owner").await.unwrap();
    let plan = fleet.plan_rollout(&rig.spec("all")).await.unwrap();
    assert_eq!(plan.moved_count, 2);
}

#[tokio::test]
async fn a_pause_takes_back_what_has_not_started_and_a_guest_that_moves_is_looked_after_there() {
    let mut rig = Rig::new(2, 1).await;
    for agent in &mut rig.agents {
        agent.restarts = false;
    }
    let begun = rig.begin(&rig.spec("host=host-0")).await;
    rig.turn().await;
    rig.turn().await;
    assert_eq!(rig.members(&begun.id).await[0].state, S::Armed);
    // It moves, and its new host is told.
    let guest = rig.agents[0].host.guests.remove("guest-0-0").unwrap();
    rig.agents[0].progress.clear();
    rig.agents[1]
        .host
        .guests
        .insert("guest-0-0".into(), (guest.0, UseReason::Runs));
    rig.turn().await;
    rig.turn().await;
    rig.turn().await;
    let targets = rig.world.fleet.targets(&rig.agents[1].host.id).await.unwrap();
    assert_eq!(targets.guests.len(), 1);
    let fleet = rig.world.fleet.clone();
    assert!(
        fleet
            .targets(&rig.agents[0].host.id)
            .await
            .unwrap()
            .guests
            .is_empty()
    );
    fleet
        .change_rollout(&begun.id, RolloutCommand::Pause, None, "a person", None)
        .await
        .unwrap();
    rig.turn().await;
    let targets = fleet.targets(&rig.agents[1].host.id).await.unwrap();
    assert!(targets.guests.is_empty());
    assert_eq!(rig.members(&begun.id).await[0].state, S::Planned);
    fleet
        .change_rollout(&begun.id, RolloutCommand::Resume, None, "a person", None)
        .await
        .unwrap();
    rig.agents[1].restarts = true;
    rig.until(&begun.id, RolloutState::Done).await;
    assert_eq!(rig.members(&begun.id).await[0].host, rig.agents[1].host.id);
}

#[tokio::test]
async fn a_change_on_an_older_revision_is_refused() {
    let rig = Rig::new(1, 2).await;
    let begun = rig.begin(&rig.spec("all")).await;
    let fleet = &rig.world.fleet;
    let stale = Some(begun.revision - 1);
    let refused = fleet
        .change_rollout(&begun.id, RolloutCommand::Pause, None, "b", stale)
        .await;
    assert!(matches!(refused, Err(Error::Changed { .. })));
    let done = fleet
        .change_rollout(&begun.id, RolloutCommand::Pause, None, "b", Some(begun.revision))
        .await;
    assert_eq!(done.unwrap().state, RolloutState::Paused);
}

/// Records that end with their planner: after so many transactions none is done any more.
struct Mortal {
    inner: Memory,
    left: AtomicI64,
}

#[async_trait]
impl Records for Mortal {
    async fn get(&self, key: &str) -> fm_records::Result<GetResponse> {
        self.inner.get(key).await
    }
    async fn scan(&self, scan: &Scan) -> fm_records::Result<ScanPage> {
        self.inner.scan(scan).await
    }
    async fn transact(&self, transaction: Transaction) -> fm_records::Result<Outcome> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(fm_records::Error::LeaseGone);
        }
        self.inner.transact(transaction).await
    }
    async fn watch(&self, prefix: &str) -> fm_records::Result<Watch> {
        self.inner.watch(prefix).await
    }
    async fn lease(&self, ttl: Duration) -> fm_records::Result<LeaseId> {
        self.inner.lease(ttl).await
    }
    async fn renew(&self, lease: LeaseId) -> fm_records::Result<bool> {
        self.inner.renew(lease).await
    }
    async fn revoke(&self, lease: LeaseId) -> fm_records::Result<()> {
        self.inner.revoke(lease).await
    }
}

/// Wherever a planner ends, the next one goes on, and no guest is given anything out of turn.
#[tokio::test]
async fn a_planner_that_ends_at_any_step_leaves_a_rollout_that_the_next_one_finishes() {
    let mut endings = 0;
    for lives in 1..200 {
        let clock = Arc::new(TestClock::default());
        let records = Arc::new(Mortal {
            inner: Memory::new(clock.clone()),
            left: AtomicI64::new(i64::MAX),
        });
        let world = World::on(records.clone(), clock, Arc::default()).await;
        let mut rig = Rig::on(world, 2, 3).await;
        let begun = rig.begin(&rig.spec("all")).await;
        let mut budget: i64 = lives;
        let mut ended = false;
        for _ in 0..40 {
            // Only the planner ends: hosts and people go on.
            records.left.store(budget, Ordering::SeqCst);
            let done = rig.planner.step().await;
            let left = records.left.swap(i64::MAX, Ordering::SeqCst);
            if !ended && (done.is_err() || left <= 0) {
                ended = true;
                endings += 1;
                // Its lease runs out, and another one stands.
                drop(rig.planner.resign().await);
                rig.planner = rig.world.planner("q");
                budget = i64::MAX;
            } else if !ended {
                budget = left;
            }
            let first = rig.members(&begun.id).await;
            let has_first = first
                .iter()
                .any(|member| member.wave == 0 && member.state != S::Healthy);
            if has_first {
                assert!(
                    first
                        .iter()
                        .all(|member| member.wave == 0 || member.state == S::Planned),
                    "{first:#?}"
                );
            }
            for agent in &mut rig.agents {
                agent.turn(&rig.world.fleet).await;
            }
            rig.world.clock.advance(Duration::from_secs(30));
            if rig.view(&begun.id).await.state == RolloutState::Done {
                break;
            }
        }
        let view = rig.view(&begun.id).await;
        assert_eq!(view.state, RolloutState::Done, "after {lives}: {view:#?}");
        assert_eq!(rig.run(&rig.new), 6);
        if !ended {
            assert!(endings > 10, "it ended at every step: {endings}");
            return;
        }
    }
    panic!("a rollout of six guests takes more than 200 transactions");
}
