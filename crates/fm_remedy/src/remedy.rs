//! A remedy: advice in words, and the actions that carry it out.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::{Action, Input};

/// What to do about a finding or a failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remedy {
    /// What to do, in words that hold for every interface: no command and no option is named.
    pub advice: Cow<'static, str>,
    /// What carries the advice out, in the order in which it is done.
    pub actions: Vec<Action>,
}

impl Remedy {
    /// Advice that no action of ours carries out.
    #[must_use]
    pub fn advice(advice: impl Into<Cow<'static, str>>) -> Self {
        Self {
            advice: advice.into(),
            actions: Vec::new(),
        }
    }

    /// `action` carries `advice` out.
    #[must_use]
    pub fn new(advice: impl Into<Cow<'static, str>>, action: Action) -> Self {
        Self::advice(advice).then(action)
    }

    /// The user is to give `inputs`, which `advice` describes.
    #[must_use]
    pub fn give(advice: impl Into<Cow<'static, str>>, inputs: impl IntoIterator<Item = Input>) -> Self {
        Self {
            advice: advice.into(),
            actions: inputs.into_iter().map(Action::Give).collect(),
        }
    }

    /// The same with one more action behind the others.
    #[must_use]
    pub fn then(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }
}

impl From<&'static str> for Remedy {
    fn from(advice: &'static str) -> Self {
        Self::advice(advice)
    }
}

impl From<alloc::string::String> for Remedy {
    fn from(advice: alloc::string::String) -> Self {
        Self::advice(advice)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn actions_stand_in_the_order_in_which_they_are_done() {
        let remedy = Remedy::new("see it", Action::ShowBuild).then(Action::SuspendBitLocker);
        assert_eq!(remedy.advice, "see it");
        assert_eq!(remedy.actions, [Action::ShowBuild, Action::SuspendBitLocker]);
        let asks = Remedy::give("name both", [Input::SourceQemu, Input::DestinationQemu]);
        assert_eq!(asks.advice, "name both");
        let inputs = [Input::SourceQemu, Input::DestinationQemu].map(Action::Give);
        assert_eq!(asks.actions, inputs);
    }

    #[test]
    fn words_alone_are_advice_without_an_action() {
        for remedy in [
            Remedy::advice("wait"),
            Remedy::from("wait"),
            Remedy::from(String::from("wait")),
        ] {
            assert_eq!((remedy.advice.as_ref(), remedy.actions.len()), ("wait", 0));
        }
    }
}
