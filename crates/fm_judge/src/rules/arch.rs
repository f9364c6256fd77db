//! The processor architecture of the firmware, against the other side's and against the machine.

use fm_remedy::{Action, Input, Remedy};

use super::{missing, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{MachineFamily, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the architecture";
    let (source, destination) = (pair.source.code.arch.fact(), pair.destination.code.arch.fact());
    let (Some(from), Some(to)) = (source, destination) else {
        report.find(Phase::ColdBoot, Outcome::Unknown, || {
            missing(SUBJECT, source.is_none(), destination.is_none())
                .source(source, text)
                .destination(destination, text)
                .remedy(Remedy::new(
                    "name a whole firmware file, and see what it is",
                    Action::Inspect { path: None },
                ))
        });
        return;
    };
    let same = from.value == to.value;
    report.find(
        Phase::ColdBoot,
        if same {
            Outcome::Compatible
        } else {
            Outcome::Incompatible
        },
        || {
            let draft = FindingDraft::about(
                SUBJECT,
                "firmware starts only boot loaders of its own architecture",
            )
            .source(source, text)
            .destination(destination, text);
            if same {
                return draft;
            }
            draft.remedy(Remedy::new(
                alloc::format!(
                    "use a firmware for {} at the destination, and see what one is for",
                    from.value
                ),
                Action::Inspect { path: None },
            ))
        },
    );
    let Some(machine) = pair.destination.machine.fact() else {
        return;
    };
    let fits = match machine.value.family() {
        MachineFamily::Q35 | MachineFamily::I440fx => to.value.is_x86(),
        MachineFamily::Virt => !to.value.is_x86(),
        MachineFamily::Other => return,
    };
    if !fits {
        report.find(Phase::ColdBoot, Outcome::Incompatible, || {
            let mut draft = FindingDraft::about(
                "the architecture and the machine type",
                "the machine's processor cannot run this firmware",
            )
            .destination(destination, text)
            .remedy(Remedy::give(
                "name the firmware or the machine type that belongs to the other",
                [Input::DestinationCode, Input::DestinationMachine],
            ));
            draft.source = Some(crate::ObservedValue {
                value: text(&machine.value),
                evidence: machine.evidence.clone(),
            });
            draft
        });
    }
}
