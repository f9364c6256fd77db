//! Decisions in tables, and whole rollouts of hosts and guests that do as they like.

use std::time::Duration;

use fm_api::v1::fleet::{CertificateSet, ProgressState as S, TargetAction};
use fm_api::v1::rollout::{RolloutSpec, RolloutState, TakesAt};
use proptest::prelude::*;

use super::*;

pub(super) fn spec() -> RolloutSpec {
    RolloutSpec {
        waves: vec![50, 100],
        soak_s: 10,
        ..RolloutSpec::new(vec!["a".repeat(64).parse().unwrap()], "all")
    }
}

pub(super) fn member(wave: u32, state: S) -> Member<'static> {
    Member {
        wave,
        state,
        host: "a",
        rack: None,
        is_heard: true,
    }
}

pub(super) fn situation<'a>(spec: &'a RolloutSpec, members: &'a [Member<'a>]) -> Situation<'a> {
    Situation {
        state: RolloutState::Running,
        spec,
        wave: 0,
        accepted_count: 0,
        through_for: None,
        word: None,
        members,
    }
}

#[test]
fn those_that_go_first_go_alone() {
    let spec = spec();
    let mut members = vec![
        member(0, S::Planned),
        member(1, S::Planned),
        member(2, S::Planned),
    ];
    assert_eq!(decide(&situation(&spec, &members)).take, [0]);
    for state in [S::Waiting, S::Armed, S::Booting] {
        members[0].state = state;
        assert_eq!(
            decide(&situation(&spec, &members)),
            Decision::default(),
            "{state:?}"
        );
    }
    members[0].state = S::Healthy;
    let mut now = situation(&spec, &members);
    assert!(decide(&now).is_through && !decide(&now).advance);
    now.through_for = Some(Duration::from_secs(9));
    assert!(!decide(&now).advance);
    now.through_for = Some(Duration::from_secs(10));
    assert!(decide(&now).advance);
    now.wave = 1;
    now.through_for = None;
    assert_eq!(decide(&now).take, [1]);
}

#[test]
fn one_of_those_that_go_first_stops_it_whatever_the_budget() {
    let spec = RolloutSpec {
        error_budget: 100,
        ..spec()
    };
    for state in [S::Failed, S::Refused] {
        let members = [member(0, state), member(1, S::Planned)];
        let decision = decide(&situation(&spec, &members));
        assert_eq!(decision.stop, Some(Stop::FirstFailed));
        assert!(decision.take.is_empty());
        let accepted = Situation {
            accepted_count: 1,
            through_for: Some(Duration::from_secs(60)),
            ..situation(&spec, &members)
        };
        assert!(decide(&accepted).advance, "a person has seen it and gone on");
    }
}

#[test]
fn later_failures_spend_the_budget_and_refusals_do_not() {
    let spec = RolloutSpec {
        error_budget: 1,
        ..spec()
    };
    let now = |members| Situation {
        wave: 1,
        ..situation(&spec, members)
    };
    let one = [
        member(0, S::Healthy),
        member(1, S::Failed),
        member(1, S::Refused),
        member(1, S::Planned),
    ];
    assert_eq!(decide(&now(&one)).take, [3]);
    let two = [
        member(0, S::Healthy),
        member(1, S::Failed),
        member(1, S::Failed),
        member(1, S::Planned),
    ];
    assert_eq!(
        decide(&now(&two)).stop,
        Some(Stop::BudgetSpent { failed_count: 2 })
    );
}

#[test]
fn a_host_that_nobody_hears_pauses_it_if_a_guest_there_is_on_its_way() {
    let spec = spec();
    let mut members = [member(0, S::Armed)];
    members[0].is_heard = false;
    let stop = decide(&situation(&spec, &members)).stop;
    assert_eq!(stop, Some(Stop::Silent { host: "a".into() }));
    members[0].state = S::Planned;
    assert_eq!(
        decide(&situation(&spec, &members)),
        Decision::default(),
        "it gets nothing either"
    );
}

#[test]
fn hosts_and_racks_have_so_many_on_their_way_and_no_more() {
    let spec = RolloutSpec {
        max_per_host: 2,
        max_per_rack: 3,
        ..spec()
    };
    let on = |host: &'static str, state| Member {
        host,
        rack: Some("r"),
        ..member(0, state)
    };
    let members = [
        on("a", S::Booting),
        on("a", S::Planned),
        on("a", S::Planned),
        on("b", S::Planned),
        on("b", S::Planned),
        on("c", S::Healthy),
    ];
    assert_eq!(decide(&situation(&spec, &members)).take, [1, 3]);
}

#[test]
fn a_pause_withdraws_what_has_not_started_and_nothing_else() {
    let spec = spec();
    let members = [
        S::Planned,
        S::Waiting,
        S::Armed,
        S::Booting,
        S::Healthy,
        S::Failed,
    ]
    .map(|state| member(0, state));
    for state in [RolloutState::Paused, RolloutState::Aborted] {
        let now = Situation {
            state,
            ..situation(&spec, &members)
        };
        assert_eq!(decide(&now).withdraw, [1, 2], "{state:?}");
    }
    assert_eq!(
        target_of(&spec, RolloutState::Paused, S::Booting),
        Some(TargetAction::Take)
    );
    assert_eq!(target_of(&spec, RolloutState::Paused, S::Armed), None);
}

#[test]
fn a_host_is_told_how_in_a_word_that_an_older_one_leaves_alone() {
    let at_reset = RolloutSpec {
        at: TakesAt::Reset,
        ..spec()
    };
    let certificates = RolloutSpec::of_certificates(CertificateSet::Microsoft2023, "name=web");
    for (spec, action) in [
        (spec(), TargetAction::Take),
        (at_reset, TargetAction::TakeAtReset),
        (certificates, TargetAction::Enroll),
    ] {
        assert_eq!(target_of(&spec, RolloutState::Running, S::Waiting), Some(action));
        assert_eq!(
            target_of(&spec, RolloutState::RollingBack, S::Reverting),
            Some(TargetAction::Back)
        );
    }
}

#[test]
fn a_wave_goes_on_when_those_who_are_asked_say_well_and_stops_when_they_do_not_or_say_nothing() {
    let mut spec = spec();
    spec.health.webhook = true;
    let members = [member(0, S::Healthy), member(1, S::Planned)];
    let mut now = situation(&spec, &members);
    now.through_for = Some(Duration::from_secs(9));
    assert!(
        !decide(&now).asks,
        "nobody is asked before the soak time has passed"
    );
    now.through_for = Some(Duration::from_secs(10));
    let asks = decide(&now);
    assert!(
        asks.asks && !asks.advance && asks.stop.is_none(),
        "no word yet is no success"
    );
    now.word = Some(&HealthWord::Well);
    assert!(decide(&now).advance);
    let why = || "because".to_owned();
    for (word, stop) in [
        (HealthWord::Ill { why: why() }, Stop::Ill { why: why() }),
        (HealthWord::Missing { why: why() }, Stop::NoWord { why: why() }),
    ] {
        let decision = decide(&Situation {
            word: Some(&word),
            ..now
        });
        assert_eq!(decision.stop, Some(stop));
        assert!(!decision.advance && !decision.finish);
    }
}

#[test]
fn the_last_word_is_asked_for_when_nobody_is_on_the_way_any_more() {
    let mut spec = RolloutSpec {
        advance_percent: 50,
        ..spec()
    };
    spec.health.query = Some("vector(1)".into());
    let mut members = [member(0, S::Healthy), member(2, S::Armed)];
    let mut now = situation(&spec, &members);
    (now.wave, now.through_for) = (2, Some(Duration::from_secs(10)));
    let waits = decide(&now);
    assert!(!waits.asks && !waits.finish);
    members[1].state = S::Healthy;
    let mut now = situation(&spec, &members);
    (now.wave, now.through_for) = (2, Some(Duration::from_secs(10)));
    assert!(decide(&now).asks);
    now.word = Some(&HealthWord::Well);
    assert!(decide(&now).finish);
}

#[test]
fn going_back_takes_everybody_along_who_got_something() {
    let spec = spec();
    let states = [
        S::Planned,
        S::Waiting,
        S::Armed,
        S::Booting,
        S::Healthy,
        S::Failed,
        S::Refused,
    ];
    let mut members = states.map(|state| member(0, state));
    let back = |members: &[Member<'_>]| {
        decide(&Situation {
            state: RolloutState::RollingBack,
            ..situation(&spec, members)
        })
    };
    let decision = back(&members);
    assert_eq!(decision.back, [1, 2, 3, 4, 5]);
    assert!(!decision.finish);
    for member in &mut members[1..6] {
        member.state = S::Reverted;
    }
    assert!(back(&members).finish);
    members[3].state = S::Undecided;
    assert!(!back(&members).finish);
}

#[test]
fn an_answer_to_an_older_question_changes_nothing() {
    for (rollout, member, reported, wanted) in [
        (RolloutState::Running, S::Waiting, S::Armed, Some(S::Armed)),
        (RolloutState::Running, S::Booting, S::Healthy, Some(S::Healthy)),
        (RolloutState::Running, S::Healthy, S::Armed, None),
        (RolloutState::Running, S::Failed, S::Healthy, Some(S::Healthy)),
        (RolloutState::Running, S::Planned, S::Armed, None),
        (RolloutState::Paused, S::Planned, S::Booting, Some(S::Booting)),
        (RolloutState::Aborted, S::Planned, S::Healthy, Some(S::Healthy)),
        (RolloutState::RollingBack, S::Reverting, S::Healthy, None),
        (
            RolloutState::RollingBack,
            S::Reverting,
            S::Reverted,
            Some(S::Reverted),
        ),
        (
            RolloutState::RollingBack,
            S::Undecided,
            S::Reverting,
            Some(S::Reverting),
        ),
        (RolloutState::RolledBack, S::Reverted, S::Armed, None),
        (RolloutState::Running, S::Waiting, S::Reverted, None),
        (RolloutState::Running, S::Waiting, S::Unknown, None),
    ] {
        assert_eq!(
            heard(rollout, member, reported),
            wanted,
            "{rollout:?} {member:?} {reported:?}"
        );
    }
}

/// What hosts do with guests that are on their way, one number a turn for each of them.
fn host_does(state: S, chance: u8) -> S {
    match (state, chance % 8) {
        (S::Waiting, 0) => S::Refused,
        (S::Waiting, 1..4) => S::Armed,
        (S::Armed, 0..3) => S::Booting,
        (S::Booting, 0) => S::Failed,
        (S::Booting, 1..6) => S::Healthy,
        (S::Reverting, 0..4) => S::Reverted,
        (S::Reverting, 4) => S::Undecided,
        (other, _) => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever hosts do: limits hold, those that go first go alone, no budget is overspent by what is given out after it
    /// was, and each rollout ends once everybody is heard and nobody fails any more.
    #[test]
    fn a_rollout_keeps_its_limits_and_ends(
        waves in proptest::collection::vec(0_u32..3, 1..24),
        hosts in proptest::collection::vec(0_usize..3, 24),
        chances in proptest::collection::vec(any::<u8>(), 0..1200),
        budget in 0_u64..3,
        per_host in 1_u64..4,
    ) {
        const HOSTS: [&str; 3] = ["a", "b", "c"];
        let spec = RolloutSpec { error_budget: budget, max_per_host: per_host, soak_s: 0, ..spec() };
        let mut members: Vec<Member<'_>> = waves.iter().zip(&hosts).map(|(wave, host)| Member {
            host: HOSTS[*host],
            ..member(*wave, S::Planned)
        }).collect();
        let mut state = RolloutState::Running;
        let (mut wave, mut accepted, mut pauses) = (0, 0, 0);
        let mut chances = chances.into_iter();
        for _ in 0..400 {
            let decision = decide(&Situation {
                state, spec: &spec, wave, accepted_count: accepted,
                through_for: Some(Duration::ZERO), members: &members, word: None,
            });
            if decision.stop.is_some() {
                prop_assert!(decision.take.is_empty());
                pauses += 1;
                prop_assert!(pauses <= members.len() + 1, "each pause has a new reason");
                accepted = trouble_count(members.iter());
                continue;
            }
            for place in decision.take {
                prop_assert!(members[place].wave <= wave);
                if wave == 0 {
                    prop_assert_eq!(members[place].wave, 0);
                }
                members[place].state = S::Waiting;
            }
            for host in HOSTS {
                let on_way = members.iter().filter(|member| {
                    member.host == host && matches!(member.state, S::Waiting | S::Armed | S::Booting)
                }).count();
                prop_assert!(on_way as u64 <= per_host);
            }
            if decision.advance {
                prop_assert!(members.iter().all(|member| member.wave > 0
                    || matches!(member.state, S::Healthy | S::Failed | S::Refused)));
                wave += 1;
            }
            if decision.finish {
                state = RolloutState::Done;
                break;
            }
            for member in &mut members {
                // Once there are no more chances, everybody does well.
                let chance = chances.next().unwrap_or(1);
                let reported = host_does(member.state, chance);
                if let Some(next) = heard(state, member.state, reported) {
                    member.state = next;
                }
            }
        }
        prop_assert_eq!(state, RolloutState::Done);
        let ended = |state| matches!(state, S::Healthy | S::Failed | S::Refused);
        prop_assert!(members.iter().all(|member| ended(member.state)));
    }

    /// At whatever moment it is taken back, everybody who got something goes back, and it ends.
    #[test]
    fn going_back_ends_from_wherever_it_began(states in proptest::collection::vec(0_usize..7, 1..20), chances in proptest::collection::vec(any::<u8>(), 0..200)) {
        const STATES: [S; 7] = [S::Planned, S::Waiting, S::Armed, S::Booting, S::Healthy, S::Failed, S::Refused];
        let spec = spec();
        let mut members: Vec<Member<'_>> = states.iter().map(|state| member(0, STATES[*state])).collect();
        let got = |state| !matches!(state, S::Planned | S::Refused);
        let wanted: Vec<bool> = members.iter().map(|member| got(member.state)).collect();
        let mut chances = chances.into_iter();
        let mut ended = false;
        for _ in 0..100 {
            let decision = decide(&Situation { state: RolloutState::RollingBack, ..situation(&spec, &members) });
            if decision.finish {
                ended = true;
                break;
            }
            for place in decision.back {
                members[place].state = S::Reverting;
            }
            for member in &mut members {
                let reported = match member.state {
                    // A person decides.
                    S::Undecided => S::Reverting,
                    state => host_does(state, chances.next().unwrap_or(0)),
                };
                if let Some(next) = heard(RolloutState::RollingBack, member.state, reported) {
                    member.state = next;
                }
            }
        }
        prop_assert!(ended);
        for (member, wanted) in members.iter().zip(wanted) {
            prop_assert_eq!(member.state == S::Reverted, wanted);
        }
    }
}
