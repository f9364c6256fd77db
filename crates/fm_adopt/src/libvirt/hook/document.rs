//! A decision of the hook's as a document.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Decision, Outcome, Step};

/// `flashmoor/libvirt-hook/1`: what the hook would do on a call.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HookDecision {
    /// `flashmoor/libvirt-hook/1`.
    pub schema: &'static str,
    /// What libvirt would be told.
    pub answer: HookAnswer,
    /// Why, where it is told a reason.
    pub reason: Option<String>,
    /// What would be done before that, in order.
    pub steps: Vec<String>,
}

/// What libvirt is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookAnswer {
    /// To go on.
    Pass,
    /// To go on, with a line for its log.
    Remark,
    /// To go on with another XML.
    Replace,
    /// To stop.
    Refuse,
}

impl HookDecision {
    /// The document of `decision`, each step and the reason in the words of the interface.
    #[must_use]
    pub fn new(
        decision: &Decision,
        step: impl Fn(&Step) -> String,
        reason: impl Fn(&super::Reason) -> String,
    ) -> Self {
        let (answer, why) = match &decision.outcome {
            Outcome::Pass => (HookAnswer::Pass, None),
            Outcome::Remark(why) => (HookAnswer::Remark, Some(why)),
            Outcome::Replace { .. } => (HookAnswer::Replace, None),
            Outcome::Refuse(why) => (HookAnswer::Refuse, Some(why)),
        };
        Self {
            schema: "flashmoor/libvirt-hook/1",
            answer,
            reason: why.map(reason),
            steps: decision.steps.iter().map(step).collect(),
        }
    }
}
