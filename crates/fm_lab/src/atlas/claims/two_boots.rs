//! What two boots on a store came to, for whichever claim asks.

use fm_judge::Effect;

use super::super::hold::effect_of_two;
use super::super::{Observation, Seen};

/// What became of the guest and of the variables that its store held; nothing where it was not booted twice.
pub(super) fn effect(observation: &Observation) -> Option<Effect> {
    match &observation.seen {
        Seen::TwoBoots {
            held,
            boots,
            reads_first,
            ..
        }
        | Seen::PowerCut {
            held,
            boots,
            reads_first,
            ..
        } => Some(effect_of_two(*held, boots, *reads_first)),
        _ => None,
    }
}

/// Whether the repaired store boots with every variable that lay somewhere in it; nothing where none was repaired.
pub(super) fn repaired(observation: &Observation) -> Option<bool> {
    match observation.seen {
        Seen::TwoBoots {
            held,
            repaired: Some(repaired),
            ..
        }
        | Seen::PowerCut {
            recoverable: held,
            repaired: Some(repaired),
            ..
        } => Some(repaired.reached.is_up() && repaired.kept >= held),
        _ => None,
    }
}
