//! What the elected planner does next with a rollout: a function of what is known, and of nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use fm_api::v1::fleet::{ProgressState, TargetAction};
use fm_api::v1::rollout::{RolloutSpec, RolloutState, TakesAt};

/// A guest of a rollout, as far as deciding looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its wave; 0 for those that go first.
    pub wave: u32,
    /// How far it has come.
    pub state: ProgressState,
    /// The host that it is on.
    pub host: &'a str,
    /// The rack of that host, if that is known.
    pub rack: Option<&'a str>,
    /// Whether anybody has heard of that host lately.
    pub is_heard: bool,
}

/// All that is known of a rollout when it is decided.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// How it stands.
    pub state: RolloutState,
    /// What was asked for.
    pub spec: &'a RolloutSpec,
    /// The wave that has its turn.
    pub wave: u32,
    /// Troubles that a person has seen and gone on all the same.
    pub accepted_count: u64,
    /// How long this wave has been through, by the planner's own clock; nothing if it is not, as far as is known.
    pub through_for: Option<Duration>,
    /// What those said who were asked whether the guests of this wave are well; nothing as long as nobody was asked.
    pub word: Option<&'a HealthWord>,
    /// Its guests.
    pub members: &'a [Member<'a>],
}

/// What was said of the guests of a wave by those who were asked besides their hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthWord {
    /// They are well.
    Well,
    /// They are not.
    Ill {
        /// By whom, and why.
        why: String,
    },
    /// Nobody can tell: no answer, or none that says so. That is no success.
    Missing {
        /// Whose, and why.
        why: String,
    },
}

/// Why a rollout pauses by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// One of those that go first did not boot the build, or its host refused it.
    FirstFailed,
    /// More failed than were allowed to.
    BudgetSpent {
        /// How many.
        failed_count: u64,
    },
    /// Nobody knows how guests on this host are.
    Silent {
        /// Which.
        host: String,
    },
    /// Somebody who was asked says that guests are not well.
    Ill {
        /// Who, and why.
        why: String,
    },
    /// Somebody was asked whether guests are well, and did not say.
    NoWord {
        /// Who, and why.
        why: String,
    },
}

/// What is to be done next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Members, by their place in the situation, whose turn it is: they get their targets.
    pub take: Vec<usize>,
    /// Members that are to be as if their turn had not come.
    pub withdraw: Vec<usize>,
    /// Members that go back.
    pub back: Vec<usize>,
    /// It pauses, for this reason.
    pub stop: Option<Stop>,
    /// Whether the wave is through, and time passes until the next.
    pub is_through: bool,
    /// Others have to be asked whether its guests are well.
    pub asks: bool,
    /// The next wave has its turn.
    pub advance: bool,
    /// It is over.
    pub finish: bool,
}

/// Whether a guest is on its way: it has a target, and its host has not said how it went.
const fn is_on_its_way(state: ProgressState) -> bool {
    matches!(
        state,
        ProgressState::Waiting | ProgressState::Armed | ProgressState::Booting
    )
}

/// What a guest's host is to be told, in this state of the rollout; nothing: it has no target.
#[must_use]
pub fn target_of(spec: &RolloutSpec, rollout: RolloutState, member: ProgressState) -> Option<TargetAction> {
    let take = match (spec.certificates, spec.at) {
        (Some(_), _) => TargetAction::Enroll,
        (None, TakesAt::Start) => TargetAction::Take,
        (None, TakesAt::Reset) => TargetAction::TakeAtReset,
        (None, TakesAt::Unknown) => return None,
    };
    match (rollout, member) {
        (RolloutState::Running, state) if is_on_its_way(state) => Some(take),
        // It runs the build already: only the look at it goes on.
        (RolloutState::Paused, ProgressState::Booting) => Some(take),
        (RolloutState::RollingBack, ProgressState::Reverting | ProgressState::Undecided) => {
            Some(TargetAction::Back)
        }
        _ => None,
    }
}

/// How far a guest has come once its host has said so; nothing: that is an answer to an older question.
#[must_use]
pub fn heard(rollout: RolloutState, member: ProgressState, reported: ProgressState) -> Option<ProgressState> {
    use ProgressState as S;
    let fits = match (rollout, member) {
        (RolloutState::RollingBack, S::Reverting | S::Undecided) => {
            matches!(reported, S::Reverting | S::Reverted | S::Undecided)
        }
        (RolloutState::Running | RolloutState::Paused | RolloutState::Aborted | RolloutState::Done, _) => {
            let goes_on = match member {
                // What is withdrawn may have started meanwhile.
                S::Planned => matches!(reported, S::Booting | S::Healthy | S::Failed),
                S::Waiting | S::Armed | S::Booting => true,
                // A host may have taken longer than it was given, and then well.
                S::Failed => reported == S::Healthy,
                _ => false,
            };
            goes_on
                && matches!(
                    reported,
                    S::Waiting | S::Armed | S::Booting | S::Healthy | S::Failed | S::Refused
                )
        }
        _ => false,
    };
    (fits && reported != member).then_some(reported)
}

/// What is to be done next.
#[must_use]
pub fn decide(situation: &Situation<'_>) -> Decision {
    match situation.state {
        RolloutState::Running => running(situation),
        RolloutState::Paused | RolloutState::Aborted => Decision {
            withdraw: places(situation, |member| {
                matches!(member.state, ProgressState::Waiting | ProgressState::Armed)
            }),
            ..Decision::default()
        },
        RolloutState::RollingBack => rolling_back(situation),
        RolloutState::Planned | RolloutState::RolledBack | RolloutState::Done | RolloutState::Unknown => {
            Decision::default()
        }
    }
}

fn places(situation: &Situation<'_>, is_meant: impl Fn(&Member<'_>) -> bool) -> Vec<usize> {
    let members = situation.members.iter().enumerate();
    members
        .filter(|(_, member)| is_meant(member))
        .map(|(place, _)| place)
        .collect()
}

fn rolling_back(situation: &Situation<'_>) -> Decision {
    let back = places(situation, |member| {
        is_on_its_way(member.state) || matches!(member.state, ProgressState::Healthy | ProgressState::Failed)
    });
    let waits =
        |member: &Member<'_>| matches!(member.state, ProgressState::Reverting | ProgressState::Undecided);
    Decision {
        finish: back.is_empty() && !situation.members.iter().any(waits),
        back,
        ..Decision::default()
    }
}

/// Guests that did not boot the build, and those that went first and were refused: the plan was wrong about them.
#[must_use]
pub fn trouble_count<'a>(members: impl Iterator<Item = &'a Member<'a>>) -> u64 {
    members
        .filter(|member| match member.state {
            ProgressState::Failed => true,
            ProgressState::Refused => member.wave == 0,
            _ => false,
        })
        .count() as u64
}

fn running(situation: &Situation<'_>) -> Decision {
    let spec = situation.spec;
    if let Some(stop) = stop(situation) {
        return Decision {
            stop: Some(stop),
            ..Decision::default()
        };
    }
    let mut decision = Decision {
        take: take(situation),
        ..Decision::default()
    };
    if !decision.take.is_empty() || !is_through(situation) {
        return decision;
    }
    decision.is_through = true;
    let soaked = situation
        .through_for
        .is_some_and(|passed| passed >= Duration::from_secs(spec.soak_s));
    if !soaked {
        return decision;
    }
    let last = u32::try_from(spec.waves.len()).unwrap_or(u32::MAX);
    let advances = situation.wave < last;
    if !advances && situation.members.iter().any(|member| is_on_its_way(member.state)) {
        return decision;
    }
    if !spec.health.is_empty() {
        decision.stop = match situation.word {
            Some(HealthWord::Well) => None,
            Some(HealthWord::Ill { why }) => Some(Stop::Ill { why: why.clone() }),
            Some(HealthWord::Missing { why }) => Some(Stop::NoWord { why: why.clone() }),
            None => {
                decision.asks = true;
                return decision;
            }
        };
        if decision.stop.is_some() {
            return decision;
        }
    }
    decision.advance = advances;
    decision.finish = !advances;
    decision
}

fn stop(situation: &Situation<'_>) -> Option<Stop> {
    let troubles = trouble_count(situation.members.iter());
    let new = troubles.saturating_sub(situation.accepted_count);
    if situation.wave == 0 && new > 0 {
        return Some(Stop::FirstFailed);
    }
    if new > situation.spec.error_budget {
        return Some(Stop::BudgetSpent {
            failed_count: troubles,
        });
    }
    let silent = situation
        .members
        .iter()
        .find(|member| is_on_its_way(member.state) && !member.is_heard)?;
    Some(Stop::Silent {
        host: silent.host.to_owned(),
    })
}

/// Those whose turn it is, within the limits of their hosts and racks.
fn take(situation: &Situation<'_>) -> Vec<usize> {
    let spec = situation.spec;
    let mut hosts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut racks: BTreeMap<&str, u64> = BTreeMap::new();
    for member in situation
        .members
        .iter()
        .filter(|member| is_on_its_way(member.state))
    {
        *hosts.entry(member.host).or_default() += 1;
        if let Some(rack) = member.rack {
            *racks.entry(rack).or_default() += 1;
        }
    }
    let has_room = |count: u64, limit: u64| limit == 0 || count < limit;
    let mut take = Vec::new();
    for (place, member) in situation.members.iter().enumerate() {
        // Nobody is given anything on a host that nobody has heard of.
        if member.wave > situation.wave || member.state != ProgressState::Planned || !member.is_heard {
            continue;
        }
        let on_host = hosts.entry(member.host).or_default();
        if !has_room(*on_host, spec.max_per_host) {
            continue;
        }
        if let Some(rack) = member.rack {
            let in_rack = racks.entry(rack).or_default();
            if !has_room(*in_rack, spec.max_per_rack) {
                continue;
            }
            *in_rack += 1;
        }
        *on_host += 1;
        take.push(place);
    }
    take
}

/// Whether enough of the guests up to this wave have booted the build for the next to begin.
fn is_through(situation: &Situation<'_>) -> bool {
    let (mut eligible, mut settled) = (0_u64, 0_u64);
    for member in situation
        .members
        .iter()
        .filter(|member| member.wave <= situation.wave)
    {
        match member.state {
            ProgressState::Refused => {}
            ProgressState::Healthy | ProgressState::Failed => {
                eligible += 1;
                settled += 1;
            }
            _ => {
                eligible += 1;
                // Those that go first have to be all there.
                if member.wave == 0 {
                    return false;
                }
            }
        }
    }
    settled.saturating_mul(100) >= eligible.saturating_mul(u64::from(situation.spec.advance_percent))
}

#[cfg(test)]
mod tables;
#[cfg(test)]
mod tests;
