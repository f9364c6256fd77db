//! How a rollout stands, and what leads from one state to another: every transition in one table.

use fm_api::v1::rollout::RolloutState;

use crate::{Command, Error, Result};

/// From, by what, to.
const TRANSITIONS: &[(RolloutState, Command, RolloutState)] = &[
    (RolloutState::Planned, Command::Begin, RolloutState::Running),
    (RolloutState::Planned, Command::Abort, RolloutState::Aborted),
    (RolloutState::Running, Command::Pause, RolloutState::Paused),
    (RolloutState::Running, Command::Abort, RolloutState::Aborted),
    (
        RolloutState::Running,
        Command::RollBack,
        RolloutState::RollingBack,
    ),
    (RolloutState::Running, Command::Finish, RolloutState::Done),
    (RolloutState::Paused, Command::Resume, RolloutState::Running),
    (RolloutState::Paused, Command::Abort, RolloutState::Aborted),
    (RolloutState::Paused, Command::RollBack, RolloutState::RollingBack),
    (
        RolloutState::Aborted,
        Command::RollBack,
        RolloutState::RollingBack,
    ),
    (RolloutState::Done, Command::RollBack, RolloutState::RollingBack),
    // Said again, with a word on the variables that guests wrote.
    (
        RolloutState::RollingBack,
        Command::RollBack,
        RolloutState::RollingBack,
    ),
    (
        RolloutState::RollingBack,
        Command::Finish,
        RolloutState::RolledBack,
    ),
    (RolloutState::RollingBack, Command::Abort, RolloutState::Aborted),
];

/// The state that a command leads to.
///
/// # Errors
/// [`Error::NotNow`] if it leads nowhere from there.
pub fn next(state: RolloutState, command: Command) -> Result<RolloutState> {
    TRANSITIONS
        .iter()
        .find(|(from, by, _)| *from == state && *by == command)
        .map(|(_, _, to)| *to)
        .ok_or(Error::NotNow { state, command })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [RolloutState; 8] = [
        RolloutState::Planned,
        RolloutState::Running,
        RolloutState::Paused,
        RolloutState::Aborted,
        RolloutState::RollingBack,
        RolloutState::RolledBack,
        RolloutState::Done,
        RolloutState::Unknown,
    ];

    #[test]
    fn a_state_and_a_command_lead_to_one_state_at_most() {
        for (number, (from, by, _)) in TRANSITIONS.iter().enumerate() {
            let same = TRANSITIONS.iter().skip(number + 1);
            assert!(
                same.filter(|(state, command, _)| (state, command) == (from, by))
                    .count()
                    == 0
            );
        }
    }

    #[test]
    fn whatever_has_begun_can_be_stopped_and_taken_back() {
        for state in STATES {
            let begun = matches!(
                state,
                RolloutState::Running | RolloutState::Paused | RolloutState::Done | RolloutState::Aborted
            );
            assert_eq!(
                next(state, Command::RollBack).is_ok(),
                begun || state == RolloutState::RollingBack,
                "{state:?}"
            );
        }
        assert!(next(RolloutState::Running, Command::Pause).is_ok());
    }

    #[test]
    fn nothing_leads_out_of_what_was_taken_back_or_is_not_known() {
        for state in [RolloutState::RolledBack, RolloutState::Unknown] {
            for command in Command::ALL {
                let refused = next(state, command).unwrap_err();
                assert_eq!(refused, Error::NotNow { state, command });
            }
        }
    }

    #[test]
    fn only_a_person_leads_out_of_a_pause() {
        let planner = [Command::Begin, Command::Pause, Command::Finish];
        for command in planner {
            assert!(next(RolloutState::Paused, command).is_err());
        }
    }
}
