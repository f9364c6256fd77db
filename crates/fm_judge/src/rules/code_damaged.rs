//! Firmware files that are not whole: cut off, damaged, or with something else in front.

use fm_remedy::{Action, Remedy};

use super::{subject, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{CodeUnit, Outcome, Phase, Soundness};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    // A guest runs: what its file is said to be cannot be what it runs if that is not whole.
    side(report, &pair.source.code, Phase::LiveMigration, |_| {
        Outcome::Unknown
    });
    side(
        report,
        &pair.destination.code,
        Phase::ColdBoot,
        |soundness| match soundness {
            Soundness::Whole => Outcome::Compatible,
            Soundness::Damaged | Soundness::Foreign => Outcome::Unknown,
            Soundness::Undecodable | Soundness::NoResetVector => Outcome::Incompatible,
        },
    );
}

fn side(report: &mut Report, code: &CodeUnit, phase: Phase, worse: fn(Soundness) -> Outcome) {
    let Some(fact) = code.soundness.fact() else {
        // Only a file shows it; the rules on what is in CODE ask for one.
        return;
    };
    let outcome = match fact.value {
        Soundness::Whole => Outcome::Compatible,
        other => worse(other),
    };
    report.find(phase, outcome, || {
        let why = match (fact.value, phase) {
            (Soundness::Whole, _) => "nothing in the image is damaged, as far as its volumes tell",
            (_, Phase::LiveMigration) => {
                "the file is not whole, so it is not what the guest runs, and what is said of it may be wrong"
            }
            (Soundness::Undecodable, _) => {
                "nearly all of the firmware is in a volume that cannot be read: it stops before it starts anything"
            }
            (Soundness::NoResetVector, _) => {
                "the processor finds nothing to run where it starts, and the guest prints nothing at all"
            }
            _ => "the file is not what a build makes, and whether it boots is not known",
        };
        let draft = FindingDraft::about("the firmware image", why);
        let draft = match phase {
            Phase::LiveMigration => draft.source(Some(fact), text),
            _ => draft.destination(Some(fact), text),
        };
        if outcome == Outcome::Compatible {
            return draft;
        }
        draft.remedy(Remedy::new(
            "take the file as its package ships it, and see what is wrong with this one",
            Action::Inspect {
                path: subject(&code.path),
            },
        ))
    });
}
