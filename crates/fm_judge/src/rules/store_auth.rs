//! Plain stores under firmware that wants authenticated variables.

use fm_formats::image::Feature;
use fm_remedy::{Action, ConvertTarget, Remedy};

use super::{store_layout, subject};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Facts, Outcome, Phase};

#[allow(clippy::trivially_copy_pass_by_ref)] // the renderer of a fact takes a reference
fn form(authenticated: &bool) -> alloc::string::String {
    if *authenticated { "authenticated" } else { "plain" }.into()
}

const KEYS: &str =
    "in a plain store there is no place for signatures, so Secure Boot keys cannot be kept in it";

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
    // Where nothing is in it nothing is lost (`atlas/damaged_store.json`).
    let holds_none = to.vars.used_bytes.value() == Some(&0);
    let is_x86 = to.code.arch.value().is_some_and(|arch| arch.is_x86());
    let (outcome, effect, why) = if form_of.value {
        (Outcome::Compatible, None, KEYS)
    } else if !is_x86 && !holds_none {
        on_virt(to)
    } else if wants {
        (Outcome::Caution, None, KEYS)
    } else {
        (Outcome::Compatible, None, KEYS)
    };
    report.find(Phase::ColdBoot, outcome, || {
        let mut draft = FindingDraft::about("the form of the variables", why)
            .source(Some(form_of), form)
            .destination(Some(features), super::text);
        draft.effect = effect;
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

/// Builds for `virt` machines keep authenticated variables alone, with Secure Boot and without.
fn on_virt(to: &Facts) -> (Outcome, Option<Effect>, &'static str) {
    if to.code.checks_list.value() == Some(&true) {
        return (
            Outcome::Incompatible,
            Some(Effect::Recreated),
            "the flash driver takes a plain store for a broken one, and makes a new one: the guest boots with all variables lost",
        );
    }
    (
        Outcome::Unknown,
        None,
        "younger builds for such machines make a new store in place of a plain one, without any variable; no run shows what this one does",
    )
}
