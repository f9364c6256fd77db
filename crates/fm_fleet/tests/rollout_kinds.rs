//! Rollouts of certificates and at a reset, and those that ask whether guests are well.

mod rollout_rig;
mod world;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fm_api::v1::fleet::{CertificateSet, TargetAction};
use fm_api::v1::rollout::{HealthQuestion, HealthWords, RolloutSpec, RolloutState, RolloutView, TakesAt};
use fm_fleet::{Error, FleetOptions, HealthSource, HealthWord, RolloutCommand};
use fm_records::{Memory, TestClock};
use rollout_rig::Rig;
use world::World;

#[tokio::test]
async fn certificates_reach_guests_wave_by_wave_and_their_build_stays() {
    let mut rig = Rig::new(2, 4).await;
    let spec = RolloutSpec {
        soak_s: 60,
        ..RolloutSpec::of_certificates(CertificateSet::Microsoft2023, "name!=nobody")
    };
    let plan = rig.world.fleet.plan_rollout(&spec).await.unwrap();
    assert_eq!((plan.enrolled_count, plan.left_out_count), (8, 0), "{plan:#?}");
    let begun = rig.begin(&spec).await;
    rig.planner.step().await.unwrap();
    let mut targets = Vec::new();
    for agent in &rig.agents {
        targets.extend(rig.world.fleet.targets(&agent.host.id).await.unwrap().guests);
    }
    assert_eq!(targets.len(), 1, "one goes first");
    assert_eq!(targets[0].action, TargetAction::Enroll);
    assert_eq!(targets[0].certificates, Some(CertificateSet::Microsoft2023));
    assert_eq!(targets[0].build, rig.old);
    let done = rig.until(&begun.id, RolloutState::Done).await;
    assert_eq!(done.failed_count, 0);
    assert_eq!(rig.run(&rig.old), 8);
    let pins = rig.world.fleet.build(&rig.old).await.unwrap().pins;
    assert!(pins.is_empty(), "nothing is brought that has to be kept for it");
}

#[tokio::test]
async fn at_a_reset_hosts_are_told_so_in_a_word_of_its_own() {
    let mut rig = Rig::new(1, 3).await;
    let spec = RolloutSpec {
        at: TakesAt::Reset,
        ..rig.spec("all")
    };
    let begun = rig.begin(&spec).await;
    rig.planner.step().await.unwrap();
    let targets = rig.world.fleet.targets(&rig.agents[0].host.id).await.unwrap();
    assert_eq!(targets.guests[0].action, TargetAction::TakeAtReset);
    rig.until(&begun.id, RolloutState::Done).await;
    assert_eq!(rig.run(&rig.new), 3);
}

/// Says what a test has put down, and takes down what it was asked.
#[derive(Debug, Default)]
struct Oracle {
    words: Mutex<VecDeque<HealthWord>>,
    asked: Mutex<Vec<HealthQuestion>>,
}

#[async_trait]
impl HealthSource for Oracle {
    fn can_ask(&self, words: &HealthWords) -> Result<(), &'static str> {
        match words.query {
            None => Ok(()),
            Some(_) => Err("Prometheus"),
        }
    }

    async fn ask(&self, question: &HealthQuestion) -> HealthWord {
        self.asked.lock().unwrap().push(question.clone());
        let word = self.words.lock().unwrap().pop_front();
        word.unwrap_or(HealthWord::Well)
    }
}

async fn asking(words: Vec<HealthWord>) -> (Rig, Arc<Oracle>) {
    let oracle = Arc::new(Oracle {
        words: Mutex::new(words.into()),
        asked: Mutex::default(),
    });
    let clock = Arc::new(TestClock::default());
    let records = Arc::new(Memory::new(clock.clone()));
    let options = FleetOptions {
        health: Some(oracle.clone()),
        ..FleetOptions::default()
    };
    let world = World::with(records, clock, Arc::default(), options).await;
    (Rig::on(world, 2, 4).await, oracle)
}

fn with_webhook(rig: &Rig) -> RolloutSpec {
    let mut spec = rig.spec("all");
    spec.health.webhook = true;
    spec
}

async fn stops(rig: &mut Rig, spec: &RolloutSpec) -> RolloutView {
    let begun = rig.begin(spec).await;
    rig.until(&begun.id, RolloutState::Paused).await
}

#[tokio::test]
async fn each_wave_is_asked_about_once_it_is_through_and_the_last_one_before_the_end() {
    let (mut rig, oracle) = asking(Vec::new()).await;
    let spec = with_webhook(&rig);
    let begun = rig.begin(&spec).await;
    rig.until(&begun.id, RolloutState::Done).await;
    let asked = oracle.asked.lock().unwrap();
    let waves: Vec<(u32, u64)> = asked
        .iter()
        .map(|asked| (asked.wave, asked.healthy_count))
        .collect();
    assert_eq!(waves[0], (0, 1), "{waves:?}");
    assert_eq!(waves.len(), 3, "{waves:?}");
    assert_eq!(waves[2], (2, 8), "{waves:?}");
    assert!(asked.iter().all(|asked| asked.rollout == begun.id));
}

#[tokio::test]
async fn a_word_that_guests_are_not_well_pauses_it_and_so_does_no_word() {
    for (word, said) in [
        (
            HealthWord::Ill {
                why: "disks fail".into(),
            },
            "guests are not well: disks fail",
        ),
        (
            HealthWord::Missing {
                why: "the webhook: no answer".into(),
            },
            "nobody says whether guests are well: the webhook: no answer",
        ),
    ] {
        let (mut rig, oracle) = asking(vec![word]).await;
        let spec = with_webhook(&rig);
        let paused = stops(&mut rig, &spec).await;
        assert_eq!(paused.why.as_deref(), Some(said));
        assert_eq!(rig.run(&rig.new), 1, "nobody but the first has it");
        // A person lets it go on: it is asked again.
        rig.world
            .fleet
            .change_rollout(&paused.id, RolloutCommand::Resume, None, "a person", None)
            .await
            .unwrap();
        rig.until(&paused.id, RolloutState::Done).await;
        assert_eq!(oracle.asked.lock().unwrap().len(), 4);
    }
}

#[tokio::test]
async fn nobody_to_ask_is_told_before_anything_begins_and_pauses_on_another_server() {
    let rig = Rig::new(1, 2).await;
    let spec = with_webhook(&rig);
    let refused = rig.world.fleet.begin_rollout(&spec, "b").await;
    assert!(matches!(refused, Err(Error::NobodyToAsk { .. })), "{refused:?}");
    let (rig, _) = asking(Vec::new()).await;
    let mut spec = rig.spec("all");
    spec.health.query = Some("vector(1)".into());
    let refused = rig.world.fleet.begin_rollout(&spec, "b").await;
    assert!(
        matches!(refused, Err(Error::NobodyToAsk { lacks: "Prometheus" })),
        "{refused:?}"
    );
}
