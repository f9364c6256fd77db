//! Stores that are blank or damaged: what the firmware makes of them.

use alloc::string::ToString;

use fm_remedy::{Action, Input, Remedy};
use fm_varstore::DamageKind;

use super::store_damage::{Speaker, speaker};
use super::{missing, store_layout, subject, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Facts, Outcome, Phase, StoreState};

const SUBJECT: &str = "the state of the variable store";

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    if !store_layout::uses_store(to) {
        return;
    }
    let (Some(state), Some(arch)) = (to.vars.state.fact(), to.code.arch.fact()) else {
        if to.vars.state.fact().is_none() {
            report.find(Phase::ColdBoot, Outcome::Unknown, || {
                missing(SUBJECT, false, true).remedy(Remedy::give(
                    "name the store",
                    [Input::SourceVars, Input::DestinationVars],
                ))
            });
        }
        return;
    };
    landing(to, report);
    let x86 = arch.value.is_x86();
    let outcome = match (state.value, x86) {
        (StoreState::Good | StoreState::WithoutFtw, _) => Outcome::Compatible,
        (StoreState::Zeros | StoreState::Erased, false) => Outcome::Caution,
        _ => Outcome::Incompatible,
    };
    report.find(Phase::ColdBoot, outcome, || {
        let (effect, why) = effect(state.value, x86);
        let draft = FindingDraft::about(SUBJECT, why)
            .destination(Some(state), text)
            .effect(effect);
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(remedy(to, state.value))
    });
    if outcome == Outcome::Compatible {
        unspoken(to, report);
    }
}

/// Damage that does not show in the state of the store: nobody has said what firmware makes of it.
fn unspoken(to: &Facts, report: &mut Report) {
    let Some(damage) = to.vars.damage.fact() else {
        return;
    };
    let unspoken = damage
        .value
        .iter()
        .filter(|damage| damage.kind != DamageKind::Ftw && speaker(damage.kind) == Speaker::State);
    for one in unspoken {
        report.find(Phase::ColdBoot, Outcome::Unknown, || {
            FindingDraft::about(SUBJECT, "no run shows what firmware makes of such damage")
                .destination(Some(damage), |_| one.to_string())
                .remedy(remedy(to, StoreState::StoreDamaged))
        });
    }
}

/// What the firmware makes of a store in this state.
fn effect(state: StoreState, x86: bool) -> (Effect, &'static str) {
    match (state, x86) {
        (StoreState::Good, _) => (Effect::Kept, "the firmware takes the store as it is"),
        (StoreState::WithoutFtw, _) => (
            Effect::Kept,
            "the firmware writes a new FTW header and keeps the variables",
        ),
        (StoreState::Zeros, true) => (
            Effect::Volatile,
            "the guest boots, but variables are silently volatile: nothing it sets is ever written",
        ),
        (StoreState::Erased | StoreState::VolumeDamaged, true) => (
            Effect::DeadErased,
            "the firmware erases the store, writes a volume header only, and dies now and at every later boot",
        ),
        (StoreState::StoreDamaged, true) => (
            Effect::DeadUntouched,
            "the firmware dies and leaves the store as it is",
        ),
        (StoreState::Zeros | StoreState::Erased, false) => (
            Effect::Recreated,
            "the firmware makes a store of its own, and the guest boots without any variables",
        ),
        (_, false) => (
            Effect::Recreated,
            "the firmware erases the store and makes its own: the guest boots with all variables lost",
        ),
    }
}

fn remedy(to: &Facts, state: StoreState) -> Remedy {
    let vars = subject(&to.vars.path);
    if state.is_blank() {
        let template = if to.code.arch.value().is_some_and(|arch| arch.is_x86()) {
            "/usr/share/OVMF/OVMF_VARS_4M.fd"
        } else {
            "the VARS file that its package ships"
        };
        return Remedy::new(
            alloc::format!("start from the build's template, such as {template}"),
            Action::CopyTemplate { template: None, vars },
        );
    }
    Remedy::new("repair it, with a backup kept", Action::RepairVars { vars })
}

/// A blank file where the guest's own store is to land: started before it has landed, the guest meets that.
fn landing(to: &Facts, report: &mut Report) {
    let Some(blank) = to.vars.landing.fact() else {
        return;
    };
    report.find(Phase::ColdBoot, Outcome::Caution, || {
        FindingDraft::about(
            "the landing for the variables",
            "the guest's variables are in the destination's file only after it has migrated there while it runs; started from the file as it is now, it has none",
        )
        .destination(Some(blank), text)
        .remedy(Remedy::new(
            "migrate the guest while it runs, or copy its VARS file over",
            Action::CopyVars {
                to: subject(&to.vars.path),
            },
        ))
    });
}
