//! A decision of the hook's as a document.

use fm_api::Schema;
use fm_api::v1::libvirt::{HookAnswer, HookDecision};

use super::{Decision, Outcome, Step};

/// The document of `decision`, each step and the reason in the words of the interface.
#[must_use]
pub fn decision_document(
    decision: &Decision,
    step: impl Fn(&Step) -> String,
    reason: impl Fn(&super::Reason) -> String,
) -> HookDecision {
    let (answer, why) = match &decision.outcome {
        Outcome::Pass => (HookAnswer::Pass, None),
        Outcome::Remark(why) => (HookAnswer::Remark, Some(why)),
        Outcome::Replace { .. } => (HookAnswer::Replace, None),
        Outcome::Refuse(why) => (HookAnswer::Refuse, Some(why)),
    };
    HookDecision {
        schema: Schema::default(),
        answer,
        reason: why.map(reason),
        steps: decision.steps.iter().map(step).collect(),
    }
}
