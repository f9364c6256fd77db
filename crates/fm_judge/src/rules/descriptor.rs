//! What a firmware descriptor promises and its files lack: features, enrolled keys, machine types.

use fm_remedy::{Action, Remedy};

use super::text;
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{CodeUnit, Facts, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = &pair.destination.code;
    keys(to, report);
    machines(pair.destination, report);
    let (Some(promised), Some(features)) = (to.promised.fact(), to.features.fact()) else {
        return;
    };
    let lies = promised.value.without(features.value);
    let outcome = if lies.is_empty() {
        Outcome::Compatible
    } else {
        Outcome::Caution
    };
    report.find(Phase::ColdBoot, outcome, || {
        let draft = FindingDraft::about(
            "what the descriptor promises",
            if lies.is_empty() {
                alloc::string::String::from("the binary has all that its descriptor promises")
            } else {
                alloc::format!("whoever chose the firmware by its descriptor does not get: {lies}")
            },
        )
        .source(Some(promised), text)
        .destination(Some(features), text);
        if lies.is_empty() {
            return draft;
        }
        draft.remedy(Remedy::new(
            "name the firmware file yourself, and tell the package's maintainer what the descriptor says",
            Action::Inspect { path: None },
        ))
    });
}

/// A new guest gets its variables from the template, and with them the keys or none.
fn keys(to: &CodeUnit, report: &mut Report) {
    let (Some(promised), Some(template)) = (to.promised_keys.fact(), to.template_keys.fact()) else {
        return;
    };
    if !promised.value || template.value {
        return;
    }
    let words = |enrolled: &bool| if *enrolled { "enrolled keys" } else { "no keys" }.into();
    report.find(Phase::ColdBoot, Outcome::Caution, || {
        FindingDraft::about(
            "the keys that the descriptor promises",
            "the template has no Secure Boot keys, so a guest that is made from it verifies nothing",
        )
        .source(Some(promised), words)
        .destination(Some(template), words)
        .remedy(Remedy::new(
            "enrol keys in the guest's own store, as this says",
            Action::SecureBootKeys,
        ))
    });
}

/// Management tools do not choose a descriptor for a machine that it does not list.
fn machines(to: &Facts, report: &mut Report) {
    let (Some(patterns), Some(machine)) = (to.code.promised_machines.fact(), to.machine.fact()) else {
        return;
    };
    if patterns.value.is_empty()
        || patterns
            .value
            .iter()
            .any(|pattern| fits(pattern, machine.value.name()))
    {
        return;
    }
    report.find(Phase::ColdBoot, Outcome::Caution, || {
        FindingDraft::about(
            "the machine types that the descriptor is for",
            "the descriptor does not list this machine type, so management tools do not choose its firmware for the guest",
        )
        .source(Some(patterns), |patterns| patterns.join(", "))
        .destination(Some(machine), text)
        .remedy(Remedy::new(
            "choose firmware whose descriptor lists the machine, as this shows",
            Action::Inspect { path: None },
        ))
    });
}

/// Whether a machine's name has the form of a pattern, in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.is_empty() || (open && pattern.ends_with('*'))
}
