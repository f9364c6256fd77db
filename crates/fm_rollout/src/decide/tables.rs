//! Decisions at their limits, and every answer to every question.

use fm_api::v1::fleet::{ProgressState as S, TargetAction};
use fm_api::v1::rollout::{RolloutSpec, RolloutState, TakesAt};

use super::tests::{member, situation, spec};
use super::*;

#[test]
fn a_wave_is_through_when_as_many_have_settled_as_were_asked_for() {
    let settled = |healthy: usize, failed: usize, booting: usize, refused: usize, percent: u32| {
        let spec = RolloutSpec {
            advance_percent: percent,
            error_budget: 100,
            ..spec()
        };
        let counts = [
            (S::Healthy, healthy),
            (S::Failed, failed),
            (S::Booting, booting),
            (S::Refused, refused),
        ];
        let mut members = vec![member(0, S::Healthy)];
        for (state, count) in counts {
            members.extend(std::iter::repeat_n(member(1, state), count));
        }
        // The wave behind has no say.
        members.extend([member(2, S::Planned); 100]);
        let now = Situation {
            wave: 1,
            ..situation(&spec, &members)
        };
        decide(&now).is_through
    };
    // The one that went first is counted with the others.
    for (counts, percent, expected) in [
        ([9, 0, 0, 0], 100, true),
        ([8, 0, 1, 0], 100, false),
        ([8, 0, 1, 0], 91, false),
        ([8, 0, 1, 0], 90, true),
        ([7, 1, 1, 0], 90, true),
        ([7, 0, 1, 1], 89, false),
        ([7, 0, 1, 1], 88, true),
        ([0, 0, 1, 0], 51, false),
        ([0, 0, 1, 0], 50, true),
        ([0, 0, 9, 0], 11, false),
        ([0, 0, 9, 0], 10, true),
        ([0, 0, 0, 9], 100, true),
    ] {
        let [healthy, failed, booting, refused] = counts;
        let seen = settled(healthy, failed, booting, refused, percent);
        assert_eq!(seen, expected, "{counts:?} {percent}");
    }
}

#[test]
fn the_budget_is_spent_by_the_failure_behind_it_and_not_by_those_that_were_accepted() {
    for (failed, budget, accepted_count, expected) in [
        (1, 1, 0, None),
        (2, 1, 0, Some(2)),
        (2, 1, 1, None),
        (3, 1, 1, Some(3)),
        (1, 0, 0, Some(1)),
        (1, 0, 1, None),
        (1, 0, 2, None),
        (0, 0, 0, None),
    ] {
        let spec = RolloutSpec {
            error_budget: budget,
            ..spec()
        };
        let mut members = vec![member(0, S::Healthy)];
        members.extend(vec![member(1, S::Failed); failed]);
        let now = Situation {
            wave: 1,
            accepted_count,
            ..situation(&spec, &members)
        };
        let expected = expected.map(|failed_count| Stop::BudgetSpent { failed_count });
        assert_eq!(decide(&now).stop, expected, "{failed} {budget} {accepted_count}");
    }
}

#[test]
fn racks_have_limits_of_their_own_and_no_limit_is_none() {
    let on = |host: &'static str, rack, state| Member {
        host,
        rack,
        ..member(0, state)
    };
    let members = [
        on("a", Some("r"), S::Booting),
        on("b", Some("r"), S::Planned),
        on("c", Some("r"), S::Planned),
        on("d", Some("s"), S::Planned),
        on("e", None, S::Planned),
        on("e", None, S::Planned),
    ];
    for (max_per_host, max_per_rack, expected) in [
        (0, 0, vec![1, 2, 3, 4, 5]),
        (1, 0, vec![1, 2, 3, 4]),
        (0, 1, vec![3, 4, 5]),
        (0, 2, vec![1, 3, 4, 5]),
        (0, 3, vec![1, 2, 3, 4, 5]),
        (2, 2, vec![1, 3, 4, 5]),
    ] {
        let spec = RolloutSpec {
            max_per_host,
            max_per_rack,
            ..spec()
        };
        let taken = decide(&situation(&spec, &members)).take;
        assert_eq!(taken, expected, "{max_per_host} {max_per_rack}");
    }
}

const ALL_STATES: [S; 11] = [
    S::Planned,
    S::Waiting,
    S::Armed,
    S::Booting,
    S::Healthy,
    S::Failed,
    S::Refused,
    S::Reverting,
    S::Reverted,
    S::Undecided,
    S::Unknown,
];

#[test]
fn a_guest_has_a_target_while_it_is_on_its_way_and_no_other_has_one() {
    for (rollout, states, action) in [
        (
            RolloutState::Running,
            &[S::Waiting, S::Armed, S::Booting][..],
            TargetAction::Take,
        ),
        (RolloutState::Paused, &[S::Booting], TargetAction::Take),
        (
            RolloutState::RollingBack,
            &[S::Reverting, S::Undecided],
            TargetAction::Back,
        ),
        (RolloutState::Planned, &[], TargetAction::Take),
        (RolloutState::Aborted, &[], TargetAction::Take),
        (RolloutState::Done, &[], TargetAction::Take),
        (RolloutState::RolledBack, &[], TargetAction::Take),
        (RolloutState::Unknown, &[], TargetAction::Take),
    ] {
        for state in ALL_STATES {
            let expected = states.contains(&state).then_some(action);
            assert_eq!(
                target_of(&spec(), rollout, state),
                expected,
                "{rollout:?} {state:?}"
            );
        }
    }
    let newer = RolloutSpec {
        at: TakesAt::Unknown,
        ..spec()
    };
    assert_eq!(target_of(&newer, RolloutState::Running, S::Waiting), None);
}

#[test]
fn every_answer_that_a_question_can_have_is_heard_and_no_other() {
    const WAY: &[S] = &[
        S::Waiting,
        S::Armed,
        S::Booting,
        S::Healthy,
        S::Failed,
        S::Refused,
    ];
    const BACK: &[S] = &[S::Reverting, S::Reverted, S::Undecided];
    for rollout in [
        RolloutState::Running,
        RolloutState::Paused,
        RolloutState::Aborted,
        RolloutState::Done,
        RolloutState::RollingBack,
        RolloutState::Planned,
        RolloutState::RolledBack,
        RolloutState::Unknown,
    ] {
        for member in ALL_STATES {
            let answers: &[S] = match (rollout, member) {
                (RolloutState::Planned | RolloutState::RolledBack | RolloutState::Unknown, _) => &[],
                (RolloutState::RollingBack, S::Reverting | S::Undecided) => BACK,
                (RolloutState::RollingBack, _) => &[],
                (_, S::Planned) => &[S::Booting, S::Healthy, S::Failed],
                (_, S::Waiting | S::Armed | S::Booting) => WAY,
                (_, S::Failed) => &[S::Healthy],
                _ => &[],
            };
            for reported in ALL_STATES {
                let expected = (answers.contains(&reported) && reported != member).then_some(reported);
                assert_eq!(
                    heard(rollout, member, reported),
                    expected,
                    "{rollout:?} {member:?} {reported:?}"
                );
            }
        }
    }
}
