//! That the QEMU versions are known at all: messages and known troubles depend on them. On `virt` boards the processor
//! depends on them as well, unless it is the host's.

use fm_remedy::{Action, Input, Remedy};

use super::{missing, text};
use crate::finding::FindingDraft;
use crate::report::{Pair, Report};
use crate::{MachineFamily, Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    const SUBJECT: &str = "the QEMU version";
    let (source, destination) = (pair.source.qemu.fact(), pair.destination.qemu.fact());
    let known = source.is_some() && destination.is_some();
    let series = |side: &crate::Facts| side.qemu.value().map(|qemu| (qemu.major, qemu.minor));
    let machine = pair.source.machine.value();
    let on_virt = machine.is_some_and(|machine| machine.family() == MachineFamily::Virt);
    if known && on_virt && series(pair.source) != series(pair.destination) {
        report.find(Phase::LiveMigration, Outcome::Unknown, || {
            FindingDraft::about(
                SUBJECT,
                "an emulated processor of this board has other registers in other releases, and QEMU then cannot load the guest in the end; with KVM it is the host's",
            )
            .source(source, text)
            .destination(destination, text)
            .remedy(Remedy::new(
                "try it, the guest goes on at the source where it fails",
                Action::Migrate,
            ))
        });
        return;
    }
    report.find(
        Phase::LiveMigration,
        if known {
            Outcome::Compatible
        } else {
            Outcome::Unknown
        },
        || {
            if known {
                return FindingDraft::about(
                    SUBJECT,
                    "the machine type fixes what a guest looks like in any QEMU version that has it",
                )
                .source(source, text)
                .destination(destination, text);
            }
            missing(SUBJECT, source.is_none(), destination.is_none())
                .source(source, text)
                .destination(destination, text)
                .remedy(
                    Remedy::give(
                        "name it, as QEMU prints it",
                        [Input::SourceQemu, Input::DestinationQemu],
                    )
                    .then(Action::ShowQemuVersion),
                )
        },
    );
}
