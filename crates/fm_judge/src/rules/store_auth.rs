//! Plain stores under firmware that wants authenticated variables.

use fm_formats::image::Feature;
use fm_remedy::{Action, ConvertTarget, Remedy};

use super::{store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

#[allow(clippy::trivially_copy_pass_by_ref)] // the renderer of a fact takes a reference
fn form(authenticated: &bool) -> alloc::string::String {
    if *authenticated { "authenticated" } else { "plain" }.into()
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = pair.destination;
    let (true, Some(form_of), Some(features)) = (
        store_layout::uses_store(to),
        to.vars.authenticated.fact(),
        to.code.features.fact(),
    ) else {
        return;
    };
    let wants = features.value.has(Feature::SecureBoot);
    let outcome = if form_of.value || !wants {
        Outcome::Compatible
    } else {
        Outcome::Caution
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about(
            "the form of the variables",
            "in a plain store there is no place for signatures, so Secure Boot keys cannot be kept in it",
        )
        .source(Some(form_of), form)
        .destination(Some(features), super::text);
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            "convert the store",
            Action::ConvertVars {
                vars: subject(&to.vars.path),
                target: Some(ConvertTarget::For(subject(&to.code.path))),
            },
        ))
    });
}
