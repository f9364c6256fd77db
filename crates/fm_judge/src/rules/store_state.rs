//! Stores that are blank or damaged: what the firmware makes of them.

use super::{missing, store_layout, text};
use crate::finding::Told;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase, StoreState};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the state of the variable store";
    let to = pair.destination;
    if !store_layout::uses_store(to) {
        return;
    }
    let (Some(state), Some(arch)) = (to.vars.state.fact(), to.code.arch.fact()) else {
        if to.vars.state.fact().is_none() {
            report.find(Phase::ColdBoot, Outcome::Unknown, || {
                missing(SUBJECT, false, true).remedy("name the store: --from-vars FILE or --to-vars FILE")
            });
        }
        return;
    };
    let (outcome, why) = match (state.value, arch.value.is_x86()) {
        (StoreState::Good, _) => (Outcome::Compatible, "the firmware takes the store as it is"),
        (StoreState::WithoutFtw, true) => (
            Outcome::Compatible,
            "the firmware writes a new FTW header and keeps the variables",
        ),
        (StoreState::Zeros, true) => (
            Outcome::Incompatible,
            "the guest boots, but variables are silently volatile: nothing it sets is ever written",
        ),
        (StoreState::Erased | StoreState::VolumeDamaged, true) => (
            Outcome::Incompatible,
            "the firmware erases the store, writes a volume header only, and dies now and at every later boot",
        ),
        (StoreState::StoreDamaged, true) => (
            Outcome::Incompatible,
            "the firmware dies and leaves the store as it is",
        ),
        (StoreState::Zeros | StoreState::Erased, false) => (
            Outcome::Caution,
            "the firmware makes a store of its own, and the guest boots without any variables",
        ),
        (_, false) => (
            Outcome::Incompatible,
            "the firmware erases the store and makes its own: the guest boots with all variables lost",
        ),
    };
    report.find(Phase::ColdBoot, outcome, || {
        let told = Told::about(SUBJECT, why).destination(Some(state), text);
        match state.value {
            _ if outcome == Outcome::Compatible => told,
            StoreState::Zeros | StoreState::Erased => told.remedy(
                "start from the build's template: copy its OVMF_VARS file and give that to the guest",
            ),
            _ => told.remedy("repair it, with a backup kept: flashmoor vars repair VARS"),
        }
    });
}
