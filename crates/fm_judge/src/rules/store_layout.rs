//! The layout that CODE expects of VARS against the one that VARS has: what edk2 really does with it.

use fm_formats::image::{Feature, Layout};
use fm_remedy::{Action, ConvertTarget, Input, Remedy};

use super::{missing, subject, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{Effect, Facts, Outcome, Phase};

/// Whether variables lie in the same places.
pub(super) fn same_store(one: Layout, other: Layout) -> bool {
    one.vars_volume_size_bytes() == other.vars_volume_size_bytes()
        && one.vars_block_size_bytes() == other.vars_block_size_bytes()
}

/// Whether the firmware keeps variables in a flash store at all.
pub(super) fn uses_store(facts: &Facts) -> bool {
    facts.vars.present.value() == Some(&true)
        && facts.firmware.value() == Some(&crate::Firmware::Flash)
        && !facts
            .code
            .features
            .value()
            .is_some_and(|features| features.has(Feature::PvVars))
}

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the layouts of CODE and VARS";
    let to = pair.destination;
    if !uses_store(to) || to.vars.state.value().is_some_and(|state| !state.is_formatted()) {
        // Nothing to lay out: other rules speak of stores that are absent, blank or damaged.
        return;
    }
    let (store, code) = (to.vars.layout.fact(), to.code.layout.fact());
    let (Some(of_store), Some(of_code)) = (store, code) else {
        report.find(Phase::ColdBoot, Outcome::Unknown, || {
            missing(SUBJECT, store.is_none(), code.is_none())
                .source(store, text)
                .destination(code, text)
                .remedy(
                    Remedy::give(
                        "name the files, and see what they are",
                        [Input::SourceVars, Input::DestinationCode],
                    )
                    .then(Action::Inspect { path: None }),
                )
        });
        return;
    };
    let same = same_store(of_store.value, of_code.value);
    report.find(
        Phase::ColdBoot,
        if same { Outcome::Compatible } else { Outcome::Incompatible },
        || {
            let smm = to.code.features.value().is_some_and(|f| f.has(Feature::Smm));
            let (effect, why) = match (of_code.value, of_store.value) {
                _ if same => (Effect::Kept, "the firmware finds the variables where it looks for them"),
                (Layout::X86Size1M | Layout::X86Size2M, _) => (
                    Effect::DeadWritten,
                    "the firmware takes the end of the store for its own, writes a volume header there and dies; the variables before it stay whole",
                ),
                (Layout::X86Size4M, _) if smm => (
                    Effect::DeadUntouched,
                    "an SMM build crashes when the store has another layout, and leaves the store as it is",
                ),
                (Layout::X86Size4M, _) => (
                    Effect::Volatile,
                    "the guest boots, but variables are silently volatile: nothing it sets is ever written",
                ),
                _ => (
                    Effect::Recreated,
                    "the firmware erases the store and makes its own: the guest boots with all variables lost",
                ),
            };
            let draft = FindingDraft::about(SUBJECT, why)
                .source(store, text)
                .destination(code, text)
                .effect(effect);
            if same {
                return draft;
            }
            draft.remedy(Remedy::new(
                "convert the store first, nothing is lost",
                Action::ConvertVars {
                    vars: subject(&to.vars.path),
                    target: Some(ConvertTarget::Layout(text(&of_code.value))),
                },
            ))
        },
    );
}
