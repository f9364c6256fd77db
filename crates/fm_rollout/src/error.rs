//! Why a rollout cannot be planned or changed.

use fm_api::v1::rollout::RolloutState;
use fm_remedy::{Class, Failure, Remedy};

use crate::Command;

/// A failure of planning or deciding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The expression that selects guests cannot be read.
    #[error("the expression cannot be read at character {at}: {expected} is expected")]
    Selector {
        /// Where, counted in characters from 1.
        at: usize,
        /// What would be right there.
        expected: &'static str,
    },
    /// What is asked for makes no sense.
    #[error("{member} of the rollout makes no sense: {why}")]
    Spec {
        /// Which member.
        member: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A command that the state does not allow.
    #[error("a rollout that is {} cannot be {}", state_name(*.state), .command.participle())]
    NotNow {
        /// How it stands.
        state: RolloutState,
        /// What was wanted.
        command: Command,
    },
}

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A state in words.
#[must_use]
pub fn state_name(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Planned => "planned",
        RolloutState::Running => "running",
        RolloutState::Paused => "paused",
        RolloutState::Aborted => "aborted",
        RolloutState::RollingBack => "rolling back",
        RolloutState::RolledBack => "rolled back",
        RolloutState::Done => "done",
        RolloutState::Unknown => "in a state of a newer version",
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NotNow { .. } => Class::Failed,
            Self::Selector { .. } | Self::Spec { .. } => Class::Usage,
        }
    }

    fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Selector { .. } => Some(Remedy::advice(
                "write terms such as host=a, name~web, layout=2M or label:rack=r7, and join them by and, or, not, \
                 commas and parentheses",
            )),
            Self::NotNow { .. } => Some(Remedy::advice("look at how it stands first")),
            Self::Spec { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_is_wrong_how_it_counts_and_what_to_do() {
        let not_now = |state, command| Error::NotNow { state, command };
        for (error, words, class, advice) in [
            (
                Error::Selector {
                    at: 3,
                    expected: "a value",
                },
                "the expression cannot be read at character 3: a value is expected",
                Class::Usage,
                Some("write terms such as host=a"),
            ),
            (
                Error::Spec {
                    member: "waves",
                    why: "they rise",
                },
                "waves of the rollout makes no sense: they rise",
                Class::Usage,
                None,
            ),
            (
                not_now(RolloutState::Done, Command::Pause),
                "a rollout that is done cannot be paused",
                Class::Failed,
                Some("look at how it stands first"),
            ),
        ] {
            assert_eq!(error.to_string(), words);
            assert_eq!(error.class(), class);
            let given = error.remedy().map(|remedy| remedy.advice.into_owned());
            let starts = given
                .as_deref()
                .zip(advice)
                .map(|(given, advice)| given.starts_with(advice));
            assert_eq!(
                (given.is_some(), starts),
                (advice.is_some(), advice.map(|_| true)),
                "{given:?}"
            );
        }
    }

    #[test]
    fn states_and_commands_have_words_of_their_own() {
        for (state, words) in [
            (RolloutState::Planned, "planned"),
            (RolloutState::Running, "running"),
            (RolloutState::Paused, "paused"),
            (RolloutState::Aborted, "aborted"),
            (RolloutState::RollingBack, "rolling back"),
            (RolloutState::RolledBack, "rolled back"),
            (RolloutState::Done, "done"),
            (RolloutState::Unknown, "in a state of a newer version"),
        ] {
            assert_eq!(state_name(state), words);
        }
        let words = Command::ALL.map(Command::participle);
        assert_eq!(
            words,
            ["begun", "paused", "resumed", "aborted", "rolled back", "finished"]
        );
    }
}
