//! Whose firmware is judged: a rule's remedy is aimed at that guest.

use std::path::PathBuf;

use fm_host::Guest;
use fm_remedy::{Action, Remedy};

/// The guest of a side.
#[derive(Debug, Clone)]
pub(super) enum RemedyTarget {
    /// Files, a build: no guest is known.
    Nobody,
    /// One that runs here.
    Running(String),
    /// One on another host.
    Offered {
        /// The offer's file.
        offer: PathBuf,
        /// What `-name` says there.
        name: Option<String>,
    },
    /// One that is saved: it cannot be asked, and a restore brings it back.
    Saved,
}

impl RemedyTarget {
    /// A guest of this host, by the word with which commands find it.
    pub(super) fn of_guest(guest: &Guest) -> Self {
        Self::Running(
            guest
                .name()
                .map_or_else(|| guest.pid().to_string(), str::to_owned),
        )
    }

    /// The remedy of a rule, for this guest.
    pub(super) fn aim(&self, remedy: Remedy) -> Remedy {
        let Remedy { advice, actions } = remedy;
        let actions = match self {
            Self::Nobody => actions,
            Self::Running(name) => actions.into_iter().map(|action| named(action, name)).collect(),
            Self::Offered { offer, name } => {
                let offer = offer.display().to_string();
                let name_it = |action| match name {
                    Some(name) => named(action, name),
                    None => action,
                };
                without_offers_to_make(actions)
                    .into_iter()
                    .map(|action| prepared_from(name_it(action), &offer))
                    .collect()
            }
            Self::Saved => restored(without_offers_to_make(actions)),
        };
        Remedy { advice, actions }
    }
}

/// The action with this guest as its subject, where it has none and wants one.
fn named(action: Action, name: &str) -> Action {
    let guest = Some(name.to_owned());
    match action {
        Action::MakeOffer { guest: None } => Action::MakeOffer { guest },
        Action::Capture { guest: None } => Action::Capture { guest },
        Action::Harvest { guest: None } => Action::Harvest { guest },
        Action::ShutDown { guest: None } => Action::ShutDown { guest },
        other => other,
    }
}

/// The action with this offer as its subject, where it has none and wants one.
fn prepared_from(action: Action, offer: &str) -> Action {
    match action {
        Action::Prepare {
            offer: None,
            with_vars,
        } => Action::Prepare {
            offer: Some(offer.to_owned()),
            with_vars,
        },
        other => other,
    }
}

/// Without the offers that would only be made to prepare from them: there is one already.
fn without_offers_to_make(actions: Vec<Action>) -> Vec<Action> {
    let is_made_for_next = |index: usize| matches!(actions.get(index + 1), Some(Action::Prepare { .. }));
    let is_needless =
        |index: usize, action: &Action| matches!(action, Action::MakeOffer { .. }) && is_made_for_next(index);
    let kept = actions.iter().enumerate();
    kept.filter(|(index, action)| !is_needless(*index, action))
        .map(|(_, action)| action.clone())
        .collect()
}

/// A restore's plan stores the build and makes what the guest needs: it stands for preparing and capturing.
fn restored(actions: Vec<Action>) -> Vec<Action> {
    let mut restored: Vec<Action> = Vec::with_capacity(actions.len());
    for action in actions {
        let action = match action {
            Action::Prepare { .. } | Action::Capture { .. } => Action::PlanRestore { file: None },
            other => other,
        };
        if !restored.contains(&action) {
            restored.push(action);
        }
    }
    restored
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer_of(guest: Option<&str>) -> Action {
        Action::MakeOffer {
            guest: guest.map(str::to_owned),
        }
    }

    fn prepare(offer: Option<&str>, with_vars: bool) -> Action {
        Action::Prepare {
            offer: offer.map(str::to_owned),
            with_vars,
        }
    }

    fn capture(guest: Option<&str>) -> Action {
        Action::Capture {
            guest: guest.map(str::to_owned),
        }
    }

    fn shut_down(guest: Option<&str>) -> Action {
        Action::ShutDown {
            guest: guest.map(str::to_owned),
        }
    }

    /// What rules give, and what each target makes of it.
    #[test]
    fn a_remedy_is_aimed_at_the_guest_whose_firmware_is_judged() {
        const OFFER: &str = "/tmp/vm offer.json";
        let plan = || Action::PlanRestore { file: None };
        let offered = |name: Option<&str>| RemedyTarget::Offered {
            offer: OFFER.into(),
            name: name.map(str::to_owned),
        };
        let running = RemedyTarget::Running("a guest".into());
        let landing = || vec![offer_of(None), prepare(None, false)];
        for (target, given, aimed) in [
            (RemedyTarget::Nobody, landing(), landing()),
            (
                running.clone(),
                landing(),
                vec![offer_of(Some("a guest")), prepare(None, false)],
            ),
            (
                running.clone(),
                vec![capture(None)],
                vec![capture(Some("a guest"))],
            ),
            (
                running.clone(),
                vec![capture(Some("another"))],
                vec![capture(Some("another"))],
            ),
            (running, vec![shut_down(None)], vec![shut_down(Some("a guest"))]),
            (offered(Some("vm")), landing(), vec![prepare(Some(OFFER), false)]),
            (offered(None), landing(), vec![prepare(Some(OFFER), false)]),
            (
                offered(None),
                vec![prepare(None, true)],
                vec![prepare(Some(OFFER), true)],
            ),
            (
                offered(Some("vm")),
                vec![capture(None)],
                vec![capture(Some("vm"))],
            ),
            (offered(None), vec![capture(None)], vec![capture(None)]),
            // The offer of a guest that waits at the destination is still to be made.
            (
                offered(Some("vm")),
                vec![offer_of(None)],
                vec![offer_of(Some("vm"))],
            ),
            (RemedyTarget::Saved, landing(), vec![plan()]),
            (RemedyTarget::Saved, vec![prepare(None, true)], vec![plan()]),
            (
                RemedyTarget::Saved,
                vec![capture(None), prepare(None, false)],
                vec![plan()],
            ),
            (
                RemedyTarget::Saved,
                vec![capture(None), Action::ShowBuild],
                vec![plan(), Action::ShowBuild],
            ),
            (RemedyTarget::Saved, vec![offer_of(None)], vec![offer_of(None)]),
        ] {
            let remedy = Remedy {
                advice: "do it".into(),
                actions: given,
            };
            let done = target.aim(remedy);
            assert_eq!(done.actions, aimed, "{target:?}");
            assert_eq!(done.advice, "do it");
        }
    }
}
